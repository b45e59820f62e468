"""Tables of counts, drawn as cells that are shaded by their shares."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtl_cli.reports.figures.layout import Axes, distinct, resize

MOST = 30
"""Rows of cells; of more, the largest are shown, and the last row is of the others."""
LONGEST = 34
"""Characters of a name."""
DARK = 0.7
"""The share from which a cell is so dark that the text on it has to be white."""


@dataclass(frozen=True)
class Cells:
    """Counts in rows and columns.

    Parameters
    ----------
    counts : ndarray of int, shape (rows, columns)
    shares : ndarray of shape (rows, columns)
        Of what the shade of a cell tells, from 0 to 1.
    rows, columns : sequence of str
        Their names.
    sizes : ndarray of int, shape (rows,)
        What stands beside the names of the rows.
    width, height : float
        Of a cell, in inches.
    percent : str, optional
        What stands in a cell between its count and its percentage; None where there is no room for that.
    """

    counts: np.ndarray
    shares: np.ndarray
    rows: Sequence[str]
    columns: Sequence[str]
    sizes: np.ndarray
    width: float
    height: float
    percent: str | None

    def draw(self, axes: Axes) -> None:
        """Draw the cells that are not empty, with the names beside and below."""
        height, width = self.counts.shape
        resize(axes, width * self.width, height * self.height)
        axes.imshow(self.shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        size = 7 if self.percent else 5.5
        for (i, j), count in np.ndenumerate(self.counts):
            if count:
                color = "white" if self.shares[i, j] > DARK else "black"
                axes.text(j, i, self._said(i, j), ha="center", va="center", color=color, fontsize=size)
        columns, rows = (distinct(names, LONGEST) for names in (self.columns, self.rows))
        fits = max(map(len, columns)) * 0.07 < self.width
        axes.set_xticks(range(width), columns, rotation=0 if fits else 90)
        axes.set_yticks(range(height), [f"{name}  {size:,}" for name, size in zip(rows, self.sizes, strict=True)])
        axes.tick_params(length=0)

    def _said(self, row: int, column: int) -> str:
        count = int(self.counts[row, column])
        if self.percent is None:
            return short_count(count)
        return f"{count:,}{self.percent}{self.shares[row, column]:.0%}"


def short_count(count: int) -> str:
    """Write a count in four characters."""
    if count < 10_000:
        return str(count)
    return f"{count / 1e3:.0f}k" if count < 1e6 else f"{count / 1e6:.3g}M"


def largest(sizes: np.ndarray) -> np.ndarray:
    """Return which rows are shown by themselves, in order: all, or the largest of them."""
    if len(sizes) <= MOST:
        return np.arange(len(sizes))
    return np.sort(np.argsort(-sizes, kind="stable")[: MOST - 1])


def joined(counts: np.ndarray, shown: np.ndarray, axis: int) -> np.ndarray:
    """Return counts of the rows, or columns, ``shown``, and behind them the sum of the others, if there are any."""
    own = np.take(counts, shown, axis)
    others = counts.sum(axis, keepdims=True) - own.sum(axis, keepdims=True)
    return own if len(shown) == counts.shape[axis] else np.concatenate([own, others], axis)


def names_of(names: Sequence[str], shown: np.ndarray) -> list[str]:
    """Return the names of what ``joined`` returns."""
    others = len(names) - len(shown)
    return [*(names[i] for i in shown), *([f"({others} others)"] if others else [])]


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return what names are sorted by so that grade 9 comes before grade 10."""
    parts = re.split(r"(\d+)", name.casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]
