"""Folds of rows: what a data set is asked for, and what it says of them. Making them is ``held_out.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from mtl_cli.tasks.task import Task

ALWAYS = -1
"""The fold number of a row that is never held out."""


@dataclass(frozen=True)
class Folding:
    """What a data set is asked for: how its rows, but for the test rows, are to fall into folds.

    Parameters
    ----------
    folds : int
        From 2 on; 1 holds the validation rows of the split out.
    repeats : int
        Times that the rows fall into folds anew.
    few : int, optional
        Only if fewer rows than these would be left for validation, and if they can; None: always.
    pool : bool
        Join the validation rows to the training rows, and hold them out, where ``few`` makes no folds.
    """

    folds: int
    repeats: int = 1
    few: int | None = None
    pool: bool = False


@dataclass(frozen=True)
class HeldOut:
    """n rows, and the folds of them that are held out in turn.

    Parameters
    ----------
    rows : ndarray of shape (n,)
        The rows' numbers in the data set, in the order of the training part.
    numbers : ndarray of shape (repeats, n)
        Each row's fold, from 0; ``ALWAYS`` if it is never held out.
    tasks : list of list of dict of str to Task
        By repeat and fold: fitted to the rows that train while the fold is held out.
    """

    rows: np.ndarray
    numbers: np.ndarray
    tasks: list[list[dict[str, Task]]]

    def table(self, splits: pd.DataFrame) -> pd.DataFrame:
        """Return the table of the parts with a column ``fold`` (``fold_2`` … for repeats), from 1, empty for none."""
        import pandas as pd

        found = splits.copy()
        for repeat, own in enumerate(self.numbers, start=1):
            column = pd.Series(pd.NA, index=range(len(splits)), dtype="Int64")
            column.iloc[self.rows[own >= 0]] = own[own >= 0] + 1
            found["fold" if repeat == 1 else f"fold_{repeat}"] = column.array
        return found
