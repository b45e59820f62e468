"""The kill test for each kind of run; ``tests/training/test_resume.py`` has runs that are cut off in other ways."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.fuzz.kills import CASES, differences, killed, whole

pytestmark = pytest.mark.slow
SEEDS = {"joint": 1, "folds": 1, "in_turn": 1}
"""Of kills before a run has ended; of the others 3. `python -m tests.fuzz.kills` tries as many as are wanted, and up to
three in a run."""


@pytest.mark.parametrize("name", CASES)
def test_runs_that_are_killed_end_as_if_they_had_not_been(tmp_path: Path, name: str) -> None:
    for folder in ("whole", "own"):
        (tmp_path / folder).mkdir()
    seconds = whole(CASES[name], tmp_path / "whole", warm=False)
    draw = random.Random(f"{name} {SEEDS.get(name, 3)}")
    told = killed(CASES[name], tmp_path / "own", draw, seconds, most=1)
    assert told.count("Kill(") > 0, "it ended before"
    assert differences(tmp_path / "whole" / "run", tmp_path / "own" / "run") == [], told
