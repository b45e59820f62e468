"""How a table's column is encoded, in words."""

from __future__ import annotations

import numpy as np

from mtl_cli.data.dates import DATE_PARTS
from mtl_cli.data.feature import Feature, Field
from mtl_cli.data.tables.columns import Column

SHOWN = 6
"""Levels of a category that are named."""


def features_of(columns: list[Column]) -> list[Feature]:
    """Return the features that columns are, with the inputs of each."""
    found, start = [], 0
    for column in columns:
        inputs = range(start, start + len(column.names))
        found.append(Feature(column.name, column.kind, encoding(column), inputs, int(column.has_missing)))
        start = inputs.stop
    return found


def fields_of(columns: list[Column]) -> list[Field]:
    """Return what a person gives of a row for columns, with their usual values in training."""
    return [_field(column) for column in columns]


def _field(column: Column) -> Field:
    if column.kind == "categorical":
        level = column.commonest or next(iter(column.levels), None)
        return Field(column.name, column.kind, level, levels=column.levels, others=column.has_other)
    usual, low, high = (values[0] if values else None for values in (column.fill, column.low, column.high))
    if column.kind == "boolean":
        return Field(column.name, column.kind, bool(usual), empty=column.impute)
    if column.kind == "date":
        return Field(column.name, column.kind, _day(usual), _day(low), _day(high), empty=column.impute)
    return Field(column.name, column.kind, usual, low, high, empty=column.impute)


def _day(number: float | None) -> str | None:
    return None if number is None else str(np.datetime64(int(number // 1), "D"))


def encoding(column: Column) -> str:
    """Return how a column becomes inputs."""
    if column.kind == "categorical":
        return f"{_levels(column)}, an input each{', and one for an empty cell' * column.has_missing}"
    if column.kind == "date":
        words = f"{', '.join(DATE_PARTS)}, an input each, standardized"
    elif column.kind == "boolean":
        words = "1 for true, 0 for false"
    else:
        words = _scaling(column)
    if not column.impute:
        return f"{words}; an empty cell is refused"
    empty = "" if column.kind == "date" else f" is read as {column.fill[0]:.6g}"
    return f"{words}; an empty cell{empty or ' is read as the mean date'}{' and marked' * column.has_missing}"


def _scaling(column: Column) -> str:
    if column.landmarks and column.landmarks[0]:
        return "the normal quantile of its rank in training"
    center, scale = column.center[0], column.scale[0]
    if (center, scale) == (0.0, 1.0):
        return "as it is"
    less = "+" if center < 0 else "−"
    words = f"(x {less} {abs(center):.6g}) / {scale:.6g}{', smoothly clipped to ±3' * column.clip}"
    if not column.bounds:
        return words
    (low,), (high,) = column.bounds
    return f"{words}, pulled in below {low:.6g} and above {high:.6g}"


def _levels(column: Column) -> str:
    named = ", ".join(column.levels[:SHOWN]) + (", …" if len(column.levels) > SHOWN else "")
    if not column.levels:
        return "one level for all values"
    return f"{len(column.levels)} levels ({named}){' and one for all others' * column.has_other}"
