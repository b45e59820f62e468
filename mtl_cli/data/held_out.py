"""Which rows are held out of the training of each member of a run: folds of the rows that are not test rows.

Features are encoded once, as all these rows have them: no label takes part in that. Tasks are fitted for each fold to
its training rows alone, so that nothing of a row's label is known where the row is held out. Test rows take no part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mtl_cli.config.errors import UserError
from mtl_cli.data.base import Notice, Part, Prepared, fit_tasks
from mtl_cli.data.folding import ALWAYS, Folding, HeldOut
from mtl_cli.data.split import Rows, Split, SplitConfig, kept_together, split_folds

if TYPE_CHECKING:
    import pandas as pd

    from mtl_cli.tasks.task import Task, TaskConfig

AUTO_FOLDS = {"features": 8, "text": 5}
"""What ``trainer.folds: auto`` makes, where it makes any, by what the network reads."""
FEWER_FOLDS = 5
"""What it makes where so many cannot be made, such as of a class of few rows."""
FEW_ROWS = {"features": 200, "text": 500}
"""Validation rows below which it does; networks on anything else take long to train once."""


def without_fold(data: Prepared, repeat: int, fold: int) -> Prepared:
    """Return the data of the member that a fold is held out of; ``data`` has all the rows as its training part."""
    held = data.held_out
    assert held is not None
    own, tasks = held.numbers[repeat], held.tasks[repeat][fold]
    chosen = {"train": own != fold, "val": own == fold}
    parts = {name: select(data.parts["train"], np.flatnonzero(rows), tasks) for name, rows in chosen.items()}
    return replace(data, tasks=tasks, parts=parts, held_out=None)


def select(part: Part, rows: np.ndarray, tasks: Mapping[str, Task]) -> Part:
    """Return some rows of a part, their labels encoded for ``tasks``."""
    labels = part.labels.iloc[rows]
    return Part(
        part.inputs.select(rows),
        {name: task.encode(labels[name]) for name, task in tasks.items()},
        part.ids.iloc[rows],
        labels,
        part.duplicates[rows],
        {name: weights[rows] for name, weights in part.weights.items() if name in tasks},
        None if part.origin is None else part.origin.select(rows),
    )


def hold_out(
    folding: Folding | None,
    config: SplitConfig,
    split: Split,
    table: pd.DataFrame,
    rows: Rows,
    tasks: Mapping[str, TaskConfig],
    labels: pd.DataFrame,
    notice: Notice,
) -> tuple[Split, HeldOut | None]:
    """Join the validation rows to the training rows, and let all of them fall into folds.

    Under ``few``, one split does where many rows are left for validation, or none, or those that a column names.
    As the split is: blocks in time's order, or whole groups at random. Rows with equal features share a fold, unless
    rows are in time's order, or that would tie groups together to more than half a fold; classes are spread evenly over
    the folds, of all tasks or those in ``split.stratify``.

    Parameters
    ----------
    folding : Folding, optional
        None asks for no folds.
    config : SplitConfig
    split : Split
        With the test rows taken off.
    table : DataFrame
        Where the columns are that the split reads.
    rows : Rows
        As for ``split_rows``.
    tasks : mapping of str to TaskConfig
    labels : DataFrame
        Where the tasks find their columns.
    notice : callable
        Takes a line that the user should see.

    Returns
    -------
    Split
        Without validation rows; as it was if there are no folds.
    HeldOut or None

    Raises
    ------
    UserError
        If there are more folds than rows or groups, a class has fewer rows, or a task cannot be fitted; not if
        ``folding.few`` leaves the choice.
    """
    if folding is None or (len(split.val) == 0 and (folding.few is not None or folding.folds == 1)):
        return split, None
    if folding.few is not None and (len(split.val) >= folding.few or config.column is not None):
        if not folding.pool:
            return split, None
        folding = Folding(1)
    pool = np.concatenate([split.train, split.val])
    try:
        if folding.folds == 1:
            numbers = np.repeat([ALWAYS, 0], [len(split.train), len(split.val)])[None]
        else:
            numbers = _numbers(folding, config, pool, table, rows, _classes(tasks, labels, pool))
        fitted = [
            [fit_tasks(tasks, labels, pool[own != k], _no_notice) for k in range(own.max() + 1)] for own in numbers
        ]
    except UserError as error:
        if folding.few is None:
            raise
        if folding.folds > FEWER_FOLDS:
            fewer = replace(folding, folds=FEWER_FOLDS)
            return hold_out(fewer, config, split, table, rows, tasks, labels, notice)
        fit_tasks(tasks, labels, split.train, _no_notice)  # what is wrong without folds too is no reason against them
        notice(f"trainer.folds=auto: one split, for {folding.folds} folds cannot be made: {error}")
        return split, None
    joined = replace(split, train=pool, val=split.val[:0], duplicates={**split.duplicates, "val": np.zeros(0, bool)})
    return joined, HeldOut(pool, numbers, fitted)


def _no_notice(line: str) -> None:
    """Pass over a line: what is so for all rows has been told, what is so for one fold of them is too much."""


def _classes(tasks: Mapping[str, TaskConfig], labels: pd.DataFrame, pool: np.ndarray) -> dict[str, pd.Series]:
    """Return the labels of the rows by task, of tasks whose labels are classes."""
    import pandas as pd

    found = {}
    for name, task in tasks.items():
        if task.level == "row" and not task.several_columns:
            column = task.strata(name, labels).iloc[pool]
            if not pd.api.types.is_float_dtype(column.dtype):
                found[name] = column
    return found


def _numbers(
    folding: Folding,
    config: SplitConfig,
    pool: np.ndarray,
    table: pd.DataFrame,
    rows: Rows,
    classes: Mapping[str, pd.Series],
) -> np.ndarray:
    """Return each row's fold, shape (repeats, n). Raises UserError if a class cannot be in every fold."""
    for name, column in classes.items():
        counts = column.dropna().value_counts()
        if len(counts) and counts.min() < folding.folds:
            has = f"the class '{counts.idxmin()}' of {name} has {_count(counts.min())}"
            hint = "choose fewer folds, or leave those rows out"
            raise UserError("trainer.folds", f"{has}, and {folding.folds} folds need one each", hint)
    if config.time is not None and folding.repeats > 1:
        raise UserError("trainer.repeats", "folds in time's order are the same each time", "trainer.repeats=1")
    drawn = replace(config, stratify=config.stratify or list(classes))
    if not _tie_too_much(config, pool, table, rows, folding.folds):
        drawn = replace(drawn, duplicates="together")
    try:
        made = [
            split_folds(drawn, table, rows, pool, folding.folds, config.seed + repeat)
            for repeat in range(folding.repeats)
        ]
    except UserError as error:
        raise UserError.of(replace(problem, where="trainer.folds") for problem in error.problems) from error
    return np.stack(made)


def _tie_too_much(config: SplitConfig, pool: np.ndarray, table: pd.DataFrame, rows: Rows, folds: int) -> bool:
    """Whether groups that have equal rows make up more than half a fold, as documents with a "Thank you" each do."""
    if config.group is None:
        return False
    tied, groups = (kept_together(table[config.group], own) for own in (rows.duplicate_groups, None))
    assert tied is not None and groups is not None
    largest, own = (int(np.bincount(units[pool]).max()) for units in (tied, groups))
    return largest > max(own, len(pool) / folds / 2)


def _count(count: int) -> str:
    return "a single row" if count == 1 else f"{count} rows"
