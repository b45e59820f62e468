"""Folds of the rows that are not test rows: each is held out of the training of one member of a run.

Features are encoded once, as all these rows have them: no label takes part in that. Tasks are fitted for each fold to
its training rows alone, so that nothing of a row's label is known where the row is held out. Test rows take no part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mtl_cli.config.errors import UserError
from mtl_cli.data.base import Notice, Part, Prepared
from mtl_cli.data.split import Split, SplitConfig, kept_together, strata_of

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
    """

    folds: int
    repeats: int = 1
    few: int | None = None


@dataclass(frozen=True)
class Folds:
    """Folds of n rows.

    Parameters
    ----------
    rows : ndarray of shape (n,)
        The rows' numbers in the data set, in the order of the training part.
    numbers : ndarray of shape (repeats, n)
        Each row's fold, from 0; ``ALWAYS`` if it is never held out.
    tasks : list of list of dict of str to Task
        By repeat and fold: fitted to the rows that train while the fold is held out.
    ordered : bool
        Whether a fold is predicted from the folds before it alone, as rows in time are.
    """

    rows: np.ndarray
    numbers: np.ndarray
    tasks: list[list[dict[str, Task]]]
    ordered: bool = False

    def part(self, data: Prepared, repeat: int, fold: int) -> Prepared:
        """Return the data of the member that a fold is held out of; ``data`` has all the rows as its training part."""
        own = self.numbers[repeat]
        tasks = self.tasks[repeat][fold]
        chosen = {"train": trained_on(own, fold, self.ordered), "val": own == fold}
        parts = {name: select(data.parts["train"], np.flatnonzero(rows), tasks) for name, rows in chosen.items()}
        return replace(data, tasks=tasks, parts=parts, folds=None)

    def table(self, splits: pd.DataFrame) -> pd.DataFrame:
        """Return the table of the parts with a column ``fold`` (``fold_2`` … for repeats), from 1, empty for no fold."""
        import pandas as pd

        found = splits.copy()
        for repeat, own in enumerate(self.numbers, start=1):
            column = pd.Series(pd.NA, index=range(len(splits)), dtype="Int64")
            column.iloc[self.rows[own >= 0]] = own[own >= 0] + 1
            found["fold" if repeat == 1 else f"fold_{repeat}"] = column.to_numpy()
        return found


def trained_on(own: np.ndarray, fold: int, ordered: bool) -> np.ndarray:
    """Return which rows train while a fold is held out, bool of shape (n,)."""
    return np.asarray(own < fold if ordered else own != fold)


def select(part: Part, rows: np.ndarray, tasks: Mapping[str, Task]) -> Part:
    """Return some rows of a part, their labels encoded for ``tasks``."""
    labels = part.labels.iloc[rows]
    return Part(
        part.inputs.select(rows),
        {name: task.encode(labels[name]) for name, task in tasks.items()},
        part.ids.iloc[rows],
        labels,
        part.duplicates[rows],
        None if part.weights is None else part.weights[rows],
        None if part.origin is None else part.origin.select(rows),
    )


def fold_rows(
    config: SplitConfig,
    split: Split,
    table: pd.DataFrame,
    duplicate_groups: np.ndarray,
    labels: Callable[[str], pd.Series],
    folding: Folding | None,
    fit: Callable[[np.ndarray], dict[str, Task]],
    notice: Notice,
) -> tuple[Split, Folds | None]:
    """Join the validation rows to the training rows, and let all of them fall into folds.

    As the split is: in the time's order, or whole groups at random, spread evenly over the classes of
    ``split.stratify``. Rows with equal features stay in one fold, unless rows are in time's order.

    Parameters
    ----------
    config : SplitConfig
    split : Split
        With the test rows taken off.
    table, duplicate_groups, labels
        As for ``split_rows``.
    folding : Folding, optional
        None asks for no folds.
    fit : callable
        Fits the tasks to rows of the table.
    notice : callable
        Takes a line that the user should see.

    Returns
    -------
    Split
        Without validation rows; as it was if there are no folds.
    Folds or None

    Raises
    ------
    UserError
        If there are more folds than rows or groups, a class has fewer rows, or a task cannot be fitted; not if
        ``folding.few`` leaves the choice.
    """
    if folding is None or (folding.few is not None and _enough(config, split, folding.few)):
        return split, None
    pool = np.concatenate([split.train, split.val])
    joined = replace(split, train=pool, val=split.val[:0], duplicates={**split.duplicates, "val": np.zeros(0, bool)})
    try:
        numbers, ordered = _numbers(config, split, pool, table, duplicate_groups, labels, folding)
        tasks = [
            [fit(pool[trained_on(own, fold, ordered)]) for fold in range(own.max() + 1)] for own in numbers
        ]
    except UserError as error:
        if folding.few is None:
            raise
        notice(f"trainer.folds=auto: one split, for these rows cannot fall into {folding.folds} folds: {error}")
        return split, None
    return joined, Folds(pool, numbers, tasks, ordered)


def _enough(config: SplitConfig, split: Split, few: int) -> bool:
    """Whether one split does: many validation rows, none wanted, or those that the user's own column names."""
    return len(split.val) >= few or len(split.val) == 0 or config.column is not None


def _numbers(
    config: SplitConfig,
    split: Split,
    pool: np.ndarray,
    table: pd.DataFrame,
    duplicate_groups: np.ndarray,
    labels: Callable[[str], pd.Series],
    folding: Folding,
) -> tuple[np.ndarray, bool]:
    """Return each row's fold, shape (repeats, n), and whether folds are in time's order."""
    if folding.folds == 1:
        held = np.full(len(pool), ALWAYS)
        held[len(split.train) :] = 0
        return held[None], False
    raise NotImplementedError
