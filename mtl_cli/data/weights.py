"""Row weights: how much each row counts in each task's training loss.

With w_ti the weight of row i in task t, m_ti 1 where it has a label and else 0, the loss of a batch is
L_t = Σ_i w_ti m_ti l_ti / Σ_i w_ti m_ti. A balancer sees these losses, or their gradients, and no rows: weights are
exact in each of them. w_ti is the product of ``dataset.weight`` and ``tasks.T.weight_column``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mtl_cli.config.errors import Problem, UserError, did_you_mean
from mtl_cli.data.base import Part
from mtl_cli.tasks.labels import refuse_values
from mtl_cli.tasks.task import TaskConfig

if TYPE_CHECKING:
    import pandas as pd


def weight_columns(weight: str | None, tasks: Mapping[str, TaskConfig]) -> dict[str, str]:
    """Return the columns of weights by the keys that name them."""
    keys = {f"tasks.{name}.weight_column": task.weight_column for name, task in tasks.items()}
    return {key: column for key, column in {"dataset.weight": weight, **keys}.items() if column is not None}


def weighted(
    part: Part, table: pd.DataFrame, rows: np.ndarray, weight: str | None, tasks: Mapping[str, TaskConfig]
) -> Part:
    """Return the training rows with the weights of each task, of mean 1 over those with a label.

    Parameters
    ----------
    part : Part
    table : DataFrame
    rows : ndarray of int
        Which rows of the table they are.
    weight : str, optional
        The column of weights for all tasks.
    tasks : mapping
        The tasks' configs.

    Raises
    ------
    UserError
        For what is no number ≥ 0, and for each task whose labelled rows lack weights or all have weight 0.
    """
    columns = weight_columns(weight, tasks)
    read = {key: _numbers(table[column], key) for key, column in columns.items()}
    found, problems = dict[str, np.ndarray](), list[Problem]()
    for name in tasks:
        keys = [key for key in ("dataset.weight", f"tasks.{name}.weight_column") if key in read]
        if not keys:
            continue
        labelled = part.targets[name].mask
        for key in keys:
            _refuse(np.isnan(read[key][rows]) & labelled, table[columns[key]].iloc[rows], key)
        weights = np.where(labelled, np.prod([read[key][rows] for key in keys], axis=0), 0.0)
        if labelled.any() and not weights.any():
            which = " times ".join(f"'{columns[key]}'" for key in keys)
            what = f"all {labelled.sum()} training rows with a label of '{name}' have weight 0 in column {which}"
            problems.append(Problem(keys[-1], what, "leave the task out, or give some of them a weight"))
            continue
        found[name] = np.asarray(weights / (weights[labelled].mean() if labelled.any() else 1.0), "float32")
    if problems:
        raise UserError.of(problems)
    return replace(part, weights=found)


def row_weights(table: pd.DataFrame, column: str, key: str, where: str) -> np.ndarray:
    """Return how much each row counts when a model is measured. Raises UserError for what is no weight, or all zero."""
    if column not in table.columns:
        raise UserError(key, f"{where} has no column '{column}'", did_you_mean(column, table.columns))
    weights = _numbers(table[column], key)
    _refuse(np.isnan(weights), table[column], key)
    if not weights.any():
        raise UserError(key, f"all rows have weight 0 in column '{column}'", "give some of them a weight")
    return weights


def _numbers(column: pd.Series, key: str) -> np.ndarray:
    import pandas as pd

    values = pd.to_numeric(column.astype("object"), errors="coerce").astype("float64").to_numpy()
    _refuse((np.isnan(values) & column.notna().to_numpy()) | np.isinf(values) | (values < 0), column, key)
    return np.asarray(values)


def _refuse(wrong: np.ndarray, column: pd.Series, key: str) -> None:
    refuse_values(wrong, column, key, "is not a weight", "a weight is a number, 0 or more")
