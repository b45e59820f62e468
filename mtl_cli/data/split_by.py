"""Splits in which nothing is drawn: a column or a file says where a row is, or its time or id decides."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.data.dates import as_dates
from mtl_cli.data.folds import nearest_ends, uniform_hash
from mtl_cli.io import user_path
from mtl_cli.tasks.labels import text_of

if TYPE_CHECKING:
    import pandas as pd

Parts = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Row numbers: training, validation, test."""
PART = "split"
"""The column of ``splits.csv`` with the parts' names."""
NAMES = {
    "train": "train", "training": "train", "test": "test",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
}  # fmt: skip


def id_heading(ids: pd.Series) -> str:
    """Return what the ids' column is called in ``splits.csv``, which has columns ``split`` and ``fold`` of its own."""
    return "id" if re.fullmatch(rf"{PART}|fold(_\d+)?", str(ids.name)) else str(ids.name)


def times_of(values: pd.Series) -> np.ndarray:
    """Return a column's times in a form that can be compared. Raises UserError for a row that has none."""
    import pandas as pd

    column = values
    if not pd.api.types.is_numeric_dtype(values.dtype):
        values = as_dates(values, "dataset.split.time")
    wrong = values.isna().to_numpy()
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise UserError(
            "dataset.split.time", f"'{column.iloc[row]}' in row {row + 1} of column '{column.name}' is not a time",
            "a split by time needs a date or a number in every row",
        )  # fmt: skip
    return values.to_numpy()


def by_time(times: np.ndarray, val: int, test: int, notice: Callable[[str], None]) -> Parts:
    """Return the earliest rows, ``val`` later ones and the ``test`` latest, as nearly as goes without cutting a time.

    Raises
    ------
    UserError
        If there are fewer different times than parts.
    """
    if test + val >= len(times):
        raise UserError("dataset.split", f"test and val ask for {test + val} of {len(times)} rows")
    instants, counts = np.unique(times, return_counts=True)
    rows = len(times)
    wanted = [float(end) for end, size in ((rows - test - val, val), (rows - test, test)) if size]
    if len(instants) <= len(wanted):
        what = f"the rows have {len(instants)} different times, too few for {len(wanted) + 1} parts"
        if len(instants) == 1:
            what = f"all rows have one time, {str(instants[0]).removesuffix(' 00:00:00+00:00')}"
        raise UserError("dataset.split.time", what, "split by another column")
    ends = np.cumsum(counts)[nearest_ends(counts, wanted) - 1] if wanted else []
    first = ends[0] if wanted else rows
    last = ends[-1] if test else rows
    order = np.argsort(times, kind="stable")
    found = order[:first], order[first:last], order[last:]
    if (len(found[1]), len(found[2])) != (val, test):
        notice(
            f"dataset.split.time: rows of one time stay together: {len(found[1])} validation rows and {len(found[2])} "
            f"test rows in place of {val} and {test}"
        )
    return found


def by_hash(ids: pd.Series, test: float, val: float, seed: int) -> Parts:
    """Return the rows by their ids' hashes: the lowest fraction ``test`` of them are test rows, then ``val``.

    Rows that are learnt from and chosen by come in the order of their hashes: what is fitted to them, and the batches
    that are drawn, do not depend on the order of the table.
    """
    place = uniform_hash(ids, str(seed))
    parts = (place >= test + val), (place >= test) & (place < test + val), place < test
    train, val_rows, test_rows = (np.flatnonzero(part) for part in parts)
    for key, size, rows in (("test", test, test_rows), ("val", val, val_rows)):
        if size and not len(rows):
            raise UserError(f"dataset.split.{key}", f"no id falls among {size:g} of them", "a table needs more ids")
    train, val_rows = (rows[np.argsort(place[rows], kind="stable")] for rows in (train, val_rows))
    return train, val_rows, test_rows


def as_column_says(column: pd.Series) -> Parts:
    """Return the rows by what a column names their parts. Raises UserError for a row that names none."""
    text = column.map(lambda value: str(value).strip().lower(), na_action="ignore").fillna("")
    parts = text.map(NAMES)
    unknown = parts.isna().to_numpy()
    if unknown.any():
        row = int(np.flatnonzero(unknown)[0])
        what = f"'{column.iloc[row]}' in row {row + 1} of column '{column.name}' names no part"
        raise UserError("dataset.split.column", what, "write train, val or test in every row")
    train, val, test = (np.flatnonzero(parts == part) for part in ("train", "val", "test"))
    return train, val, test


def as_file_says(
    path: str,
    rows: int,
    ids: pd.Series | None,
    read_as: Callable[[dict[str, Any]], object] | None,
    notice: Callable[[str], None],
) -> Parts:
    """Return the rows as the ``splits.csv`` of another run has them: by id, or else by number.

    By number, the table must be the one of that run, which its model file tells; without one a line says so.

    Raises
    ------
    UserError
        If the file cannot be read, or does not say where each row is.
    """
    where = "dataset.split.file"
    found = _read(path, where)
    heading = "row" if ids is None else id_heading(ids)
    if heading not in found.columns:
        hint = "dataset.id=… names the column of the ids" if ids is None else did_you_mean(heading, found.columns)
        raise UserError(where, f"{path} has no column '{heading}'", hint)
    if ids is None:
        if len(found) != rows or found[heading].tolist() != [str(row) for row in range(rows)]:
            what = f"{path} is of {len(found)} rows, the table has {rows}"
            raise UserError(where, what, "dataset.id tells rows apart")
        _check_table(Path(path), read_as, where, notice)
        names = found[PART]
    else:
        names = _of_ids(ids, found, heading, path, where, notice)
    wrong = ~names.isin(["train", "val", "test", "dropped"])
    if wrong.any():
        raise UserError(where, f"'{names[wrong].iloc[0]}' in {path} names no part", "it says train, val or test")
    train, val, test = (np.flatnonzero(names == part) for part in ("train", "val", "test"))
    return train, val, test


def _read(path: str, where: str) -> pd.DataFrame:
    import pandas as pd

    try:
        found = pd.read_csv(user_path(path), dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:  # ValueError: no table, or no text
        reason = error.strerror if isinstance(error, OSError) else "it is not a CSV file"
        raise UserError(where, f"{path} cannot be read: {reason}", "give the splits.csv of a run") from error
    if PART not in found.columns:
        raise UserError(where, f"{path} has no column '{PART}'", "give the splits.csv of a run")
    return found


def _of_ids(
    ids: pd.Series, found: pd.DataFrame, heading: str, path: str, where: str, notice: Callable[[str], None]
) -> pd.Series:
    known = found.assign(**{heading: found[heading].str.strip()}).drop_duplicates([heading, PART])
    twice = known[heading].duplicated()
    if twice.any():
        raise UserError(where, f"{path} has '{known[heading][twice].iloc[0]}' in two parts", "ids must be unique")
    text = ids.map(lambda value: text_of(value).strip(), na_action="ignore")
    names = text.map(known.set_index(heading)[PART])
    missing = names.isna().to_numpy()
    if missing.any():
        what = f"{missing.sum()} of {len(ids)} ids are not in {path}, such as '{ids.iloc[int(missing.argmax())]}'"
        raise UserError(where, what, "dataset.split.by=id gives new ids a part too")
    if extra := int((~known[heading].isin(text)).sum()):
        notice(f"{where}: {extra} ids of {path} are not in the table")
    return names


def _check_table(
    path: Path, read_as: Callable[[dict[str, Any]], object] | None, where: str, notice: Callable[[str], None]
) -> None:
    from mtl_cli.runs.directory import MODEL
    from mtl_cli.runs.model_file import load_model

    model = user_path(path).parent / MODEL
    if not model.exists() or read_as is None:
        notice(f"{where}: rows go by their numbers; no {MODEL} beside {path} tells whether the table is the same")
        return
    try:
        read_as(load_model(str(model))["data"]["reader"])
    except UserError as error:
        what = f"{path} was made from another table, or one that was read with other keys"
        raise UserError(where, what, "dataset.id tells rows apart") from error
