"""The first look in words: three to eight lines, fitted to 80 columns, whatever the table."""

from __future__ import annotations

import pytest

from mtl_cli.data.look import ColumnLook, FeatureLook, Look, TargetLook
from mtl_cli.data.suspects import Finding
from mtl_cli.reports.first_look import first_lines, full_lines

PARTS = {"train": 1119, "val": 160, "test": 320}


def wide(columns: int, targets: int, findings: int) -> Look:
    names = [f"a sensor with a rather long name, number {i}" for i in range(columns)]
    numbers = {f"measured {i}": TargetLook("regression", 1599 - i, {}, 0.0, 0.5, 1.0) for i in range(targets - 1)}
    classes = {f"c{i}": 1 / 40 for i in range(40)}
    found = [Finding("far", [name], f"'{name}' has one value far from the others", "h") for name in names[:findings]]
    columns_look = {name: ColumnLook("numeric", 3, 0.0, 1.0) for name in names}
    left = {f"id of the {i}th kind": "names the rows" for i in range(20)} | {"row": "counts the rows"}
    return Look(
        PARTS, 0, {"class": TargetLook("multiclass", 1599, classes), **numbers}, "features", (columns,),
        FeatureLook(columns_look, 0, columns, left, found),
    )  # fmt: skip


@pytest.mark.parametrize("targets", [1, 3, 12, 1000])
@pytest.mark.parametrize(("columns", "findings"), [(3, 0), (400, 2), (400, 40)])
def test_three_to_eight_lines_of_eighty_columns(columns: int, targets: int, findings: int) -> None:
    lines = first_lines(wide(columns, targets, findings), 80)
    assert 3 <= len(lines) <= 8
    assert all(len(line) <= 80 for line in lines)
    assert lines[0] == "1,599 rows: 1,119 to train (70%), 160 to validate (10%), 320 to test (20%)"
    assert any(line.startswith(f"{columns} features: {columns} numeric") for line in lines)
    assert any("left out: id of the 0th kind" in line and "more (names the rows)" in line for line in lines)
    if findings == 40:
        assert "more; mtl inspect shows all" in lines[-1]


def test_what_inspect_shows_is_everything() -> None:
    lines = full_lines(wide(400, 3, 40), 80)
    assert sum(line.startswith("check: ") for line in lines) == 40
    assert "left out: row (counts the rows)" in lines
    assert lines[-1] == "and 340 more features; --format json shows all"
