"""Predictions as what a request is answered with: the values that `mtl predict` writes, in JSON or CSV."""

from __future__ import annotations

import datetime
import json
import math
from typing import Any

import numpy as np
import pandas as pd


def plain_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table in values that JSON has: the numbers that CSV has, null where a cell is empty."""
    columns = [[_plain(value) for value in _values(table[name])] for name in table.columns]
    names = [str(name) for name in table.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _values(column: pd.Series) -> list[Any]:
    if column.dtype == np.float32:  # in CSV with as many digits as it takes to tell it from its neighbours
        return [float(str(value)) for value in column.to_numpy()]
    return column.astype(object).tolist()


def _plain(value: Any) -> Any:
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, datetime.datetime):
        return str(value)
    return str(value)


def to_json(model: str, table: pd.DataFrame, notes: list[str]) -> bytes:
    """Return an answer in JSON."""
    content = {"model": model, "rows": plain_rows(table), "notes": notes}
    return json.dumps(content, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")


def to_csv(table: pd.DataFrame) -> bytes:
    """Return an answer in CSV, byte for byte what `mtl predict` writes."""
    return table.to_csv(index=False).encode("utf-8", "backslashreplace")
