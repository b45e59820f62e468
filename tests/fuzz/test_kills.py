"""The kill test for each kind of run; the default suite has one kill in ``tests/training/test_resume.py``."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.fuzz.kills import CASES, differences, killed, whole

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", CASES)
def test_runs_that_are_killed_end_as_if_they_had_not_been(tmp_path: Path, name: str) -> None:
    (tmp_path / "whole").mkdir()
    seconds = whole(CASES[name], tmp_path / "whole")
    for number in range(3):
        own = tmp_path / str(number)
        own.mkdir()
        told = killed(CASES[name], own, random.Random(f"{name} {number}"), seconds)
        assert differences(tmp_path / "whole" / "run", own / "run") == [], told
