"""Which rows repeat each other, what a random split keeps together, and what it spreads evenly."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from mtl_cli.config.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

QUANTILES = 5


def repeats_of(table: pd.DataFrame, features: list[str]) -> np.ndarray:
    """Return a number per row, the same for rows whose features are the same."""
    return table.groupby(features, sort=False, dropna=False).ngroup().to_numpy()


def units_of(group: pd.Series | None, repeat: np.ndarray | None) -> np.ndarray | None:
    """Return a number per row, the same for rows that must stay on one side.

    Parameters
    ----------
    group : Series, optional
        Rows with one value of it stay together.
    repeat : ndarray, optional
        Likewise; where both are given, what either ties together.

    Returns
    -------
    ndarray or None
        None if every row is on its own.
    """
    groups = None if group is None else group.groupby(group, sort=True, dropna=False).ngroup().to_numpy()
    if groups is None or repeat is None:
        return repeat if groups is None else groups
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    offset = groups.max() + 1
    size = offset + repeat.max() + 1
    links = coo_array((np.ones(len(groups)), (groups, offset + repeat)), shape=(size, size))
    return np.asarray(connected_components(links, directed=False)[1][groups])


def strata_of(tasks: list[str], labels: Callable[[str], pd.Series], parts: int) -> np.ndarray | None:
    """Return a number per row for its combination of the tasks' labels (numbers by fifths of their ranks).

    Raises
    ------
    UserError
        If a combination has fewer rows than there are parts.
    """
    import pandas as pd

    if not tasks:
        return None
    columns = []
    for name in tasks:
        column = labels(name)
        if pd.api.types.is_float_dtype(column.dtype):
            column = pd.qcut(column.rank(method="first"), QUANTILES, labels=False)
        columns.append(column.map(str, na_action="ignore").fillna("(missing)"))
    joined = functools.reduce(lambda left, right: left.str.cat(right, sep=", "), columns)
    counts = joined.value_counts()
    if counts.min() < parts:
        label, count = counts.idxmin(), counts.min()
        rows = "a single row" if count == 1 else f"{count} rows"
        hint = f"stratifying into {parts} parts needs {parts}; leave those rows out or do not stratify"
        raise UserError("dataset.split.stratify", f"the class '{label}' of {', '.join(tasks)} has {rows}", hint)
    return np.asarray(joined.factorize()[0])
