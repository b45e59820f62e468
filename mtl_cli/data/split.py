"""Which rows train, which choose the model, which test it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import numpy as np

from mtl_cli.config.convert import Bound, Seed
from mtl_cli.config.errors import Problem, UserError, did_you_mean, unknown_tasks
from mtl_cli.data.dates import as_dates
from mtl_cli.data.duplicates import OnDuplicates, find_duplicates, tell_of_duplicates

if TYPE_CHECKING:
    import pandas as pd

Size = Annotated[int | float, Bound(at_least=0)]
QUANTILES = 5
NAMES = {
    "train": "train", "training": "train", "test": "test",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
}  # fmt: skip


@dataclass(frozen=True)
class SplitConfig:
    """How rows are split.

    Parameters
    ----------
    test, val : float or int
        Below 1 a fraction of the rows, from 1 on a count of them. ``val`` is cut from the training rows; 0 is none.
    seed : int
        The random state of scikit-learn's ``train_test_split``. Apart from the run's ``seed``, so that runs compare.
    stratify : list of str
        Tasks whose labels (for regression: fifths of the range of ranks) are spread evenly.
    group : str, optional
        A column; all rows with one value of it stay on one side.
    time : str, optional
        A column; the latest rows are the test rows, those before them the validation rows.
    column : str, optional
        A column that says train, val or test.
    duplicates : {"warn", "together", "drop"}
        What to do about rows whose features are the same: say so; keep them on one side; or leave out those validation
        and test rows that are duplicates of a training row (or, for test rows, of a validation row).
    """

    test: Size = 0.2
    val: Size = 0.1
    seed: Seed = 42
    stratify: list[str] = field(default_factory=list)
    group: str | None = None
    time: str | None = None
    column: str | None = None
    duplicates: OnDuplicates = "warn"

    def named_columns(self) -> dict[str, str]:
        """Return the columns that a split reads, by their keys."""
        keys = {"group": self.group, "time": self.time, "column": self.column}
        return {key: name for key, name in keys.items() if name is not None}

    def check(self, tasks: list[str]) -> Iterator[Problem]:
        """Yield what is wrong among these keys, and tasks that are not there."""
        yield from unknown_tasks(self.stratify, tasks, "dataset.split.stratify")
        for key, size in (("test", self.test), ("val", self.val)):
            if size > 1 and size != int(size):
                yield Problem(
                    f"dataset.split.{key}", f"{size} is neither a fraction of the rows nor a count", "give 0.2, or 200"
                )
        chosen = [key for key in ("column", "time") if key in self.named_columns()]
        others = ["group"] * (self.group is not None) + ["stratify"] * bool(self.stratify)
        if len(chosen) == 2 or (chosen and others):
            both = " and ".join([*chosen, *others][:2])
            yield Problem("dataset.split", f"cannot split by {both} at once", "choose one")
        if chosen and self.duplicates == "together":
            what = f"cannot keep repeated rows together in a split by {chosen[0]}"
            yield Problem("dataset.split.duplicates", what, "use warn or drop")


@dataclass(frozen=True)
class Split:
    """Row numbers of each part, in the order in which they are used, and which of them are duplicates."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    duplicates: dict[str, np.ndarray]
    """By part: which validation rows have the features of a training row, which test rows those of either."""

    def parts(self) -> dict[str, np.ndarray]:
        """Return the row numbers by part."""
        return {"train": self.train, "val": self.val, "test": self.test}

    def names(self, rows: int) -> np.ndarray:
        """Return the part of each row, ``dropped`` for rows in none."""
        names = np.full(rows, "dropped", dtype=object)
        for part, numbers in self.parts().items():
            names[numbers] = part
        return names

    def table(self, ids: pd.Series) -> pd.DataFrame:
        """Return the id and the part of every row."""
        import pandas as pd

        return pd.DataFrame({ids.name: ids, "split": self.names(len(ids))})


def split_rows(
    config: SplitConfig,
    table: pd.DataFrame,
    duplicate_groups: np.ndarray,
    labels: Callable[[str], pd.Series],
    notice: Callable[[str], None] = lambda line: None,
) -> Split:
    """Split the rows of a table.

    Parameters
    ----------
    config : SplitConfig
    table : DataFrame
        Where the columns are that the config names.
    duplicate_groups : ndarray of int, shape (n,)
        The same number for rows with equal features.
    labels : callable
        Reads the labels of a task by name, for stratification; no task is fitted yet.
    notice : callable
        Takes a line that the user should see.

    Raises
    ------
    UserError
        If a column is missing, a part would be empty, or a class cannot be spread.
    """
    for key, name in config.named_columns().items():
        if name not in table.columns:
            raise UserError(f"dataset.split.{key}", f"there is no column '{name}'", did_you_mean(name, table.columns))
    if config.column is not None:
        train, val, test = _by_column(config, table, config.column)
    elif config.time is not None:
        train, val, test = _by_time(config, table, config.time)
    else:
        group = None if config.group is None else table[config.group]
        unit = kept_together(group, duplicate_groups if config.duplicates == "together" else None)
        strata = strata_of(config.stratify, labels, parts=2 + (config.val > 0 and config.test > 0))
        train, test = _cut(np.arange(len(table)), config.test, len(table), unit, strata, config, "test")
        train, val = _cut(train, config.val, len(table), unit, strata, config, "val")
    if len(train) < 2:
        raise UserError(
            "dataset.split", f"leaves {len(train)} of {len(table)} rows to train on", "a table needs more rows"
        )
    found = find_duplicates(train, val, test, duplicate_groups)
    tell_of_duplicates(found, config.duplicates, notice)
    if config.duplicates == "drop":
        val, test = val[~found["val"]], test[~found["test"]]
        found = {"val": np.zeros(len(val), bool), "test": np.zeros(len(test), bool)}
    return Split(train, val, test, found)


def _count(size: float, rows: int, key: str) -> int:
    """Return the rows a size asks for, rounded up as scikit-learn rounds the test size."""
    count = int(size) if size >= 1 else int(np.ceil(size * rows))
    if count >= rows:
        raise UserError(f"dataset.split.{key}", f"asks for {count} of {rows} rows", "leave some to train on")
    return count


def _cut(
    rows: np.ndarray,
    size: float,
    total: int,
    unit: np.ndarray | None,
    labels: np.ndarray | None,
    config: SplitConfig,
    key: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Cut ``size`` (of all rows) off ``rows``; with units, whole units."""
    from sklearn.model_selection import train_test_split

    if size == 0:
        return rows, rows[:0]
    count = _count(size, total, key)
    if unit is None:
        stratify = None if labels is None else labels[rows]
        items = rows
    else:
        items, first = np.unique(unit[rows], return_index=True)
        stratify = None if labels is None else labels[rows][first]
        count = max(1, round(count * len(items) / len(rows)))
    if count >= len(items):
        what = "rows" if unit is None else "groups of rows"
        raise UserError(f"dataset.split.{key}", f"asks for {count} of {len(items)} {what}", "leave some to train on")
    try:
        rest, cut = train_test_split(items, test_size=count, random_state=config.seed, stratify=stratify)
    except ValueError as error:  # more strata than rows in a part
        raise UserError("dataset.split.stratify", str(error), "stratify by fewer tasks") from error
    if unit is None:
        return np.asarray(rest), np.asarray(cut)
    inside = np.isin(unit[rows], cut)
    return rows[~inside], rows[inside]


def kept_together(group: pd.Series | None, duplicate_groups: np.ndarray | None) -> np.ndarray | None:
    """Return a number per row, the same for rows that a random split must keep on one side.

    Parameters
    ----------
    group : Series, optional
        Rows with one value of it stay together.
    duplicate_groups : ndarray, optional
        Likewise; where both are given, what either ties together.

    Returns
    -------
    ndarray or None
        None if every row is on its own.
    """
    groups = None if group is None else group.groupby(group, sort=True, dropna=False).ngroup().to_numpy()
    if groups is None or duplicate_groups is None:
        return duplicate_groups if groups is None else groups
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    offset = groups.max() + 1
    size = offset + duplicate_groups.max() + 1
    links = coo_array((np.ones(len(groups)), (groups, offset + duplicate_groups)), shape=(size, size))
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


def _by_time(config: SplitConfig, table: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    import pandas as pd

    values = table[column]
    if not pd.api.types.is_numeric_dtype(values.dtype):
        values = as_dates(values, "dataset.split.time")
    wrong = values.isna().to_numpy()
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise UserError(
            "dataset.split.time", f"'{table[column].iloc[row]}' in row {row + 1} of column '{column}' is not a time",
            "a split by time needs a date or a number in every row",
        )  # fmt: skip
    order = np.argsort(values.to_numpy(), kind="stable")
    test = _count(config.test, len(table), "test")
    val = _count(config.val, len(table), "val")
    if test + val >= len(table):
        raise UserError("dataset.split", f"test and val ask for {test + val} of {len(table)} rows")
    end = len(table) - test
    return order[: end - val], order[end - val : end], order[end:]


def _by_column(config: SplitConfig, table: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    text = table[column].map(lambda value: str(value).strip().lower(), na_action="ignore").fillna("")
    parts = text.map(NAMES)
    unknown = parts.isna().to_numpy()
    if unknown.any():
        row = int(np.flatnonzero(unknown)[0])
        what = f"'{table[column].iloc[row]}' in row {row + 1} of column '{column}' names no part"
        raise UserError("dataset.split.column", what, "write train, val or test in every row")
    train, val, test = (np.flatnonzero(parts == part) for part in ("train", "val", "test"))
    if not len(val):
        train, val = _cut(train, config.val, len(table), None, None, config, "val")
    return train, val, test
