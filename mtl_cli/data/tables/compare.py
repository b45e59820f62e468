"""In what the rows of a new table differ from the training rows, found piece by piece of a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mtl_cli.data.tables.columns import Column, numbers

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 5
"""Columns that lie outside the training range and are told one by one."""
FEW = 3
"""Rows just outside the training range that may well be chance."""


@dataclass
class Seen:
    """What is known of one column of the new rows."""

    values: int = 0
    unknown: set[str] = field(default_factory=set)
    """Levels that training did not have."""
    others: int = 0
    """Numbers that are neither 0 nor 1, where training had only those."""
    above: int = 0
    below: int = 0
    least: float = np.inf
    most: float = -np.inf


def without_value(where: str, column: str) -> str:
    """Return what is told of a column without any value."""
    return f"{where}: the column '{column}' has no value; it is filled in as in training"


class Comparison:
    """Tells what a user should know of new rows: columns without values, unknown levels, numbers far from training's.

    Parameters
    ----------
    columns : sequence of Column
        Fitted to the training rows.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = columns
        self.rows = 0
        self.seen = [Seen() for _ in columns]

    def add(self, table: pd.DataFrame, where: str) -> None:
        """Look at some rows."""
        self.rows += len(table)
        for column, seen in zip(self.columns, self.seen, strict=True):
            values = table[column.name]
            seen.values += int(values.notna().sum())
            seen.others += column.other_numbers(values)
            seen.unknown |= set(column.unknown_levels(values))
            if column.kind == "numeric" and column.low:
                found = numbers(values, column, where)[:, 0]
                found = found[~np.isnan(found)]
                seen.above += int((found > column.high[0]).sum())
                seen.below += int((found < column.low[0]).sum())
                seen.least, seen.most = (
                    min(seen.least, found.min(initial=np.inf)),
                    max(seen.most, found.max(initial=-np.inf)),
                )

    def tell(self, where: str, notice: Callable[[str], None]) -> None:
        """Tell of all the rows that were looked at."""
        outside = []
        for column, seen in zip(self.columns, self.seen, strict=True):
            if not seen.values:
                notice(without_value(where, column.name))
            elif seen.others:
                what = f"was only 0 and 1 in training; {seen.others} rows hold others"
                notice(f"{where}: the column '{column.name}' {what}")
            elif seen.unknown:
                unknown = sorted(seen.unknown)
                shown = ", ".join(f"'{' '.join(level.split())[:60]}'" for level in unknown[:3])
                shown += ", …" if len(unknown) > 3 else ""
                notice(f"{where}: the column '{column.name}' has levels that training did not have: {shown}")
            elif line := self._outside(column, seen):
                outside.append(line)
        for line in outside[:SHOWN]:
            notice(f"{where}: {line}")
        if len(outside) > SHOWN:
            notice(f"{where}: and {len(outside) - SHOWN} more columns lie outside their training range")

    def _outside(self, column: Column, seen: Seen) -> str | None:
        """Say how many rows lie outside the training range; None if few do, and none farther than the range is wide."""
        if not column.low or not seen.above + seen.below:
            return None
        low, high = column.low[0], column.high[0]
        far = seen.most > high + (high - low) or seen.least < low - (high - low)
        many = seen.above + seen.below >= FEW and seen.above + seen.below > self.rows / 2
        if not far and not many:
            return None
        range_ = f"(training: {low:.6g} to {high:.6g})"
        if not seen.below:
            return (
                f"{seen.above} of {self.rows} rows: {column.name} above all of training, up to {seen.most:.6g} {range_}"
            )
        if not seen.above:
            return (
                f"{seen.below} of {self.rows} rows: {column.name} below all of training, to {seen.least:.6g} {range_}"
            )
        both = f"{seen.least:.6g} to {seen.most:.6g} {range_}"
        return f"{seen.above + seen.below} of {self.rows} rows: {column.name} outside all of training, {both}"
