"""A small sample of the fuzzer of tables; `python -m tests.fuzz.csv 2000 SEED` is the whole."""

from __future__ import annotations

import collections
import dataclasses
import random
from pathlib import Path

import pytest

from tests.fuzz import csv as fuzz
from tests.fuzz.tables import make


def test_no_table_ends_in_a_traceback_or_loses_a_row() -> None:
    went = collections.Counter(fuzz.checked(4, number, trained_each=20) for number in range(40))
    assert went["used"] > 15 and went["refused"] > 5 and went["trained"] == 2


def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    case = next(
        c for c in (make(random.Random(f"0/{i}")) for i in range(99)) if c.labels and c.rows == 60 and not c.done
    )
    assert fuzz.check(case, tmp_path) == "used"
    name, labels = next(iter(case.labels.items()))
    with pytest.raises(fuzz.Fault, match="rows were written"):
        fuzz.check(dataclasses.replace(case, rows=61, ids=[*case.ids, "r60"]), tmp_path)
    with pytest.raises(fuzz.Fault, match="was read as"):
        fuzz.check(dataclasses.replace(case, labels={name: ["other", *labels[1:]]}), tmp_path)
