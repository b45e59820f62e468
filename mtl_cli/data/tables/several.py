"""Several files that are one table: their rows one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from mtl_cli.config.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from mtl_cli.data.base import Notice


class OneFile(Protocol):
    """A file of a table."""

    @property
    def path(self) -> str:
        """Where it is."""

    def read_file(self, text_columns: list[str], notice: Notice) -> pd.DataFrame:
        """Read it; columns in ``text_columns`` stay as they are written."""


def read_several(files: Sequence[OneFile], where: str, text_columns: list[str], notice: Notice) -> pd.DataFrame:
    """Read the rows of all files, in their order; columns may be in another order, but must be the same.

    Raises
    ------
    UserError
        If a file cannot be read, or lacks a column that the first one has, or has one more.
    """
    import pandas as pd

    first, last = files[0].path, files[-1].path
    tables = [file.read_file(text_columns, notice) for file in files]
    for file, table in zip(files, tables, strict=True):
        _check_columns(table.columns, tables[0].columns, file.path, first)
    if mixed := [name for name in tables[0].columns if len({_form(table[name]) for table in tables} - {None}) > 1]:
        tables = [file.read_file([*text_columns, *mixed], lambda line: None) for file in files]
    if len(files) > 1:
        notice(f"{where}: {len(files)} files, {first} to {last}")
    table = pd.concat(tables, ignore_index=True)
    for name in mixed:
        table[name] = table[name].astype("str")
    return table


def _check_columns(names: pd.Index, expected: pd.Index, path: str, first: str) -> None:
    lacking, more = expected.difference(names, sort=False), names.difference(expected, sort=False)
    if len(lacking):
        raise UserError(path, f"has no column '{lacking[0]}', which {first} has", did_you_mean(lacking[0], names))
    if len(more):
        raise UserError(path, f"has a column '{more[0]}', which {first} does not have")


def _form(values: pd.Series) -> str | None:
    """Return how a column is read: "text", "number" …; None where it has no value."""
    from pandas.api import types

    if values.isna().all():
        return None
    if types.is_bool_dtype(values.dtype):
        return "bool"
    if types.is_numeric_dtype(values.dtype):
        return "number"
    return "date" if types.is_datetime64_any_dtype(values.dtype) else "text"
