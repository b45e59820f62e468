"""Which rows train, which choose the model, which test it: drawn at random, or as a column, time, ids or a file say."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from mtl_cli.config.convert import Bound, Seed
from mtl_cli.config.errors import Problem, UserError, did_you_mean, unknown_tasks
from mtl_cli.data.duplicates import OnDuplicates, find_duplicates, tell_of_duplicates
from mtl_cli.data.folds import folds
from mtl_cli.data.split_by import PART, Parts, as_column_says, as_file_says, by_hash, by_time, id_heading, times_of
from mtl_cli.data.stratify import binned, deal, strata
from mtl_cli.io import user_path

if TYPE_CHECKING:
    import pandas as pd

Size = Annotated[int | float, Bound(at_least=0)]


@dataclass(frozen=True)
class SplitConfig:
    """How rows are split.

    Parameters
    ----------
    test, val : float or int
        Below 1 a fraction of all rows, from 1 on a count of them. ``val`` is cut from the training rows; 0 is none.
    seed : int
        Of a random split, and of one by id. Apart from the run's ``seed``, so that runs compare.
    stratify : list of str
        Tasks whose labels (numbers by fifths of their ranks) are spread evenly over the parts.
    group : str, optional
        A column; all rows with one value of it stay on one side.
    time : str, optional
        A column; the latest rows are the test rows, those before them the validation rows. Rows of one time stay
        together.
    by : {"id"}, optional
        A row's part follows from its id and the seed alone, wherever it stands and whatever other rows there are.
    column : str, optional
        A column that says train, val or test.
    file : str, optional
        The ``splits.csv`` of another run: each row is where it is there.
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
    by: Literal["id"] | None = None
    column: str | None = None
    file: str | None = None
    duplicates: OnDuplicates = "warn"

    def named_columns(self) -> dict[str, str]:
        """Return the columns that a split reads, by their keys."""
        keys = {"group": self.group, "time": self.time, "column": self.column}
        return {key: name for key, name in keys.items() if name is not None}

    def check(self, tasks: list[str], has_ids: bool = True) -> Iterator[Problem]:
        """Yield what is wrong among these keys, and tasks that are not there."""
        yield from unknown_tasks(self.stratify, tasks, "dataset.split.stratify")
        for key, size in (("test", self.test), ("val", self.val)):
            if size > 1 and size != int(size):
                yield Problem(
                    f"dataset.split.{key}", f"{size} is neither a fraction of the rows nor a count", "give 0.2, or 200"
                )
            if size >= 1 and self.by == "id":
                what = "must be a fraction: by id, nobody counts rows"
                yield Problem(f"dataset.split.{key}", what, f"dataset.split.{key}=0.2")
        given = {"file": self.file, "column": self.column, self.by or "id": self.by, "time": self.time}
        chosen = [key for key, value in given.items() if value is not None]
        others = ["group"] * (self.group is not None) + ["stratify"] * bool(self.stratify)
        if len(chosen) >= 2 or (chosen and others):
            both = " and ".join([*chosen, *others][:2])
            yield Problem("dataset.split", f"cannot split by {both} at once", "choose one")
        if chosen and self.duplicates == "together":
            what = f"cannot keep repeated rows together in a split by {chosen[0]}"
            yield Problem("dataset.split.duplicates", what, "use warn or drop")
        if self.file is not None and not user_path(self.file).is_file():
            yield Problem("dataset.split.file", f"there is no file {self.file}", "give the splits.csv of a run")
        if self.by == "id" and not has_ids:
            yield Problem("dataset.split.by", "needs to know the column of the ids", "dataset.id=COLUMN")


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
        """Return the id and the part of every row; ids called ``split`` or ``fold`` themselves, as ``id``."""
        import pandas as pd

        return pd.DataFrame({id_heading(ids): ids, PART: self.names(len(ids))})


@dataclass(frozen=True)
class Rows:
    """What a split may ask about the rows, n of them, beside the columns of their table.

    Parameters
    ----------
    duplicate_groups : ndarray of int, shape (n,)
        The same number for rows with equal features.
    labels : callable
        Returns what is to be spread evenly of a task, by its name (``TaskConfig.strata``); no task is fitted yet.
    ids : Series, optional
        The ids; None if rows have no more than a number.
    read_as : callable, optional
        Reads the table as another run's reader does, by that reader's state; raises UserError if it is another table.
    """

    duplicate_groups: np.ndarray
    labels: Callable[[str], pd.Series]
    ids: pd.Series | None = None
    read_as: Callable[[dict[str, Any]], object] | None = None


def split_rows(
    config: SplitConfig, table: pd.DataFrame, rows: Rows, notice: Callable[[str], None] = lambda line: None
) -> Split:
    """Split the rows of a table.

    Parameters
    ----------
    config : SplitConfig
    table : DataFrame
        Where the columns are that the config names.
    rows : Rows
    notice : callable
        Takes a line that the user should see.

    Raises
    ------
    UserError
        If a column is missing, a part would be empty, or rows cannot be split as asked.
    """
    for key, name in config.named_columns().items():
        if name not in table.columns:
            raise UserError(f"dataset.split.{key}", f"there is no column '{name}'", did_you_mean(name, table.columns))
    if config.file is not None:
        train, val, test = as_file_says(config.file, len(table), rows.ids, rows.read_as, notice)
    elif config.column is not None:
        train, val, test = as_column_says(table[config.column])
        if not len(val):
            train, val = _cut(train, config.val, len(table), None, None, config, "val")
    elif config.by == "id":
        assert rows.ids is not None
        train, val, test = by_hash(rows.ids, config.test, config.val, config.seed)
    elif config.time is not None:
        sizes = [_count(size, len(table), key) for key, size in (("val", config.val), ("test", config.test))]
        train, val, test = by_time(times_of(table[config.time]), sizes[0], sizes[1], notice)
    else:
        train, val, test = _at_random(config, table, rows, notice)
    if len(train) < 2:
        raise UserError(
            "dataset.split", f"leaves {len(train)} of {len(table)} rows to train on", "a table needs more rows"
        )
    found = find_duplicates(train, val, test, rows.duplicate_groups)
    tell_of_duplicates(found, config.duplicates, notice)
    if config.duplicates == "drop":
        val, test = val[~found["val"]], test[~found["test"]]
        found = {"val": np.zeros(len(val), bool), "test": np.zeros(len(test), bool)}
    return Split(train, val, test, found)


def split_folds(
    config: SplitConfig, table: pd.DataFrame, rows: Rows, chosen: np.ndarray, k: int, seed: int | None = None
) -> np.ndarray:
    """Return the fold, 0 to k − 1, of each of the rows ``chosen``: those that are no test rows, divided as they are.

    By time, id, group, with duplicates together, and balanced over the tasks of ``stratify``, as the config says; see
    ``folds``. Where a column or a file says which rows are test rows, folds are drawn at random.

    Parameters
    ----------
    config, table, rows
        As for ``split_rows``.
    chosen : ndarray of int
        Numbers of rows.
    k : int
    seed : int, optional
        The split's own by default.
    """
    seed = config.seed if seed is None else seed
    if config.time is not None:
        return folds(len(chosen), k, seed, times=times_of(table[config.time])[chosen])
    if config.by == "id" and rows.ids is not None:
        return folds(len(chosen), k, seed, ids=rows.ids.iloc[chosen])
    group = None if config.group is None else table[config.group]
    unit = kept_together(group, rows.duplicate_groups if config.duplicates == "together" else None)
    columns = {name: rows.labels(name).iloc[chosen].reset_index(drop=True) for name in config.stratify}
    return folds(len(chosen), k, seed, columns, None if unit is None else unit[chosen])


def _at_random(config: SplitConfig, table: pd.DataFrame, rows: Rows, notice: Callable[[str], None]) -> Parts:
    total = len(table)
    group = None if config.group is None else table[config.group]
    unit = kept_together(group, rows.duplicate_groups if config.duplicates == "together" else None)
    columns = {name: rows.labels(name) for name in config.stratify}
    counts = [_count(size, total, key) for key, size in (("test", config.test), ("val", config.val)) if size]
    combined = None if unit is not None else _combined(columns, 1 + len(counts), min(counts, default=total))
    if columns and combined is None:
        return _balanced(config, columns, unit, total, notice)
    train, test = _cut(np.arange(total), config.test, total, unit, combined, config, "test")
    train, val = _cut(train, config.val, total, unit, combined, config, "val")
    return train, val, test


def _balanced(
    config: SplitConfig,
    columns: Mapping[str, pd.Series],
    unit: np.ndarray | None,
    total: int,
    notice: Callable[[str], None],
) -> Parts:
    """Split so that each task's labels are spread evenly, though not each combination of them."""
    test, val = _count(config.test, total, "test"), _count(config.val, total, "val")
    if test + val >= total:
        raise UserError("dataset.split", f"test and val ask for {test + val} of {total} rows", "leave some to train on")
    found = strata(columns)
    sizes = [total - val - test, val, test]
    parts = sum(size > 0 for size in sizes)
    if rare := [(name, int(n)) for name, n in zip(found.names, found.counts, strict=True) if n < parts]:
        shown = ", ".join(f"{name} ({n})" for name, n in rare[:3]) + (f" and {len(rare) - 3} more" * (len(rare) > 3))
        notice(f"dataset.split.stratify: fewer rows than the {parts} parts: {shown}")
    where = deal(found, sizes, config.seed, unit)
    for number, key in enumerate(("train", "val", "test")):
        if sizes[number] and not (where == number).any():
            raise UserError("dataset.split", f"leaves no row for {key}", "there are too few groups of rows")
    return np.flatnonzero(where == 0), np.flatnonzero(where == 1), np.flatnonzero(where == 2)


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
    """Cut ``size`` (of all rows) off ``rows``: with units, whole units, else in each stratum alike."""
    from sklearn.model_selection import train_test_split

    if size == 0:
        return rows, rows[:0]
    count, items = _count(size, total, key), rows
    if unit is not None:
        items = np.unique(unit[rows])
        count = max(1, round(count * len(items) / len(rows)))
    if count >= len(items):
        what = "rows" if unit is None else "groups of rows"
        raise UserError(f"dataset.split.{key}", f"asks for {count} of {len(items)} {what}", "leave some to train on")
    stratify = None if labels is None else labels[rows]
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


def _combined(columns: Mapping[str, pd.Series], parts: int, smallest: int) -> np.ndarray | None:
    """Return a number per row for its combination of the tasks' labels.

    None if there is no task, a combination has fewer rows than there are parts, there are more combinations than rows
    in the smallest part, or a row may have several labels of a task: then each label has to be spread by itself.
    """
    if not columns or any(isinstance(value, frozenset) for column in columns.values() for value in column.dropna()[:1]):
        return None
    texts = [binned(column).fillna("(missing)") for column in columns.values()]
    joined = functools.reduce(lambda left, right: left.str.cat(right, sep=", "), texts)
    counts = joined.value_counts()
    return None if counts.min() < parts or len(counts) > smallest else np.asarray(joined.factorize()[0])
