"""Rows on stdout."""

from __future__ import annotations

import json
import math

from mtl_cli.reports.rows import aligned, rendered

ROWS = [
    {"name": "a|b", "value": 1.23456789, "count": 1200, "yes": True, "none": None, "list": ["x", "y"]},
    {"name": "c,d", "value": math.nan, "count": 3, "yes": False, "none": None, "list": []},
]


def test_numbers_are_exact_in_csv_and_short_in_tables() -> None:
    assert rendered(ROWS, "csv").splitlines() == [
        "name,value,count,yes,none,list", "a|b,1.23456789,1200,True,,x|y", '"c,d",,3,False,,',
    ]  # fmt: skip
    assert json.loads(rendered(ROWS, "json"))[1]["value"] is None
    assert rendered(ROWS, "md").splitlines()[2] == r"| a\|b | 1.235 | 1,200 | yes |  | x, y |"
    assert rendered(ROWS, "table").splitlines() == [
        "name  value  count  yes  list", "a|b   1.235  1,200  yes  x, y", "c,d              3  no",
    ]  # fmt: skip
    assert rendered([], "csv") == rendered([], "table") == "" and rendered([], "json") == "[]\n"


def test_a_table_that_is_too_wide_has_texts_cut_and_then_columns_left_out() -> None:
    columns, cells = ["text", "one", "two"], [["x" * 30, "1.5", "22222"]]
    right = [False, True, True]
    assert aligned(columns, cells, right, 25)[1] == f"{'x' * 12}…  1.5  22222"
    lines = aligned(columns, cells, right, 15)
    assert lines == ["text      one", f"{'x' * 7}…  1.5", "not shown: two; --format csv has all"]
    assert max(len(line) for line in aligned(columns, cells, right, None)) == 42
