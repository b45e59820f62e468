"""Reading tables whose columns have types: parquet, Feather, and columns of values of any type."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any

from mtl_cli.config.errors import UserError
from mtl_cli.data.files import Opener
from mtl_cli.tasks.labels import text_of

if TYPE_CHECKING:
    import pandas as pd

    from mtl_cli.data.base import Notice

DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, MemoryError)
"""What pandas and pyarrow raise, beside errors of their own, of a damaged file; MemoryError if its lengths lie."""


def read_parquet(open_bytes: Opener, where: str, notice: Notice) -> pd.DataFrame:
    """Read a parquet file. Raises UserError if it is none or damaged, or has no row."""
    import pandas as pd

    return _read(pd.read_parquet, open_bytes, where, "parquet", (b"PAR1",), notice)


def read_feather(open_bytes: Opener, where: str, notice: Notice) -> pd.DataFrame:
    """Read a Feather file. Raises UserError if it is none or damaged, or has no row."""
    from pyarrow import feather

    def read(stream: BytesIO) -> pd.DataFrame:
        table = feather.read_table(stream)
        table.validate(full=True)  # offsets that lie would be followed to anywhere in memory
        found: pd.DataFrame = table.to_pandas()
        return found

    return _read(read, open_bytes, where, "feather", (b"ARROW1", b"FEA1"), notice)


def _read(
    read: Callable[[BytesIO], pd.DataFrame],
    open_bytes: Opener,
    where: str,
    form: str,
    magic: tuple[bytes, ...],
    notice: Notice,
) -> pd.DataFrame:
    import pyarrow

    with open_bytes() as stream:
        data = stream.read()
    if not data:
        raise UserError(where, "the file is empty")
    if not data.startswith(magic):
        hint = "is it text? use dataset=csv" if data[:4].isascii() else None
        raise UserError(where, f"cannot be read as {form}", hint)
    try:
        table = read(BytesIO(data))
    except (pyarrow.ArrowException, *DAMAGE) as error:
        reason = str(error).split("\n")[0][:200]  # those of pyarrow, and of pandas for what it keeps in the file
        raise UserError(
            where, f"is damaged, it cannot be read as {form}: {reason}", "copy or fetch it again"
        ) from error
    return named(_index_as_columns(table, where, notice), where)


def _index_as_columns(table: pd.DataFrame, where: str, notice: Notice) -> pd.DataFrame:
    """Make columns of the levels of the index that have a name; others number the rows, and go."""
    import pandas as pd

    levels = [name for name in table.index.names if name is not None]
    for name in levels:
        if name in table.columns:
            raise UserError(where, f"a column and a level of the index are called '{name}'", "rename one")
    if not levels and not isinstance(table.index, pd.RangeIndex):
        notice(f"{where}: the index, such as '{table.index[0] if len(table) else ''}', has no name and is left out")
    kept = table.reset_index(level=levels) if levels else table
    return kept.reset_index(drop=True)


def named(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return a table with its columns' names as text. Raises UserError for blank or equal ones, or no row."""
    import pandas as pd

    from mtl_cli.data.tables.text import check_names, one_line

    names = [one_line(str(name)) for name in table.columns]
    check_names(names, where)
    if not len(table):
        raise UserError(where, "the table has no row")
    table.columns = pd.Index(names)
    return table


def column_of(values: list[Any]) -> pd.Series:
    """Return a column of values of any type; None is missing.

    Whole numbers stay whole, dates become datetimes, and numbers beside words become text, as they are in a file of
    text. Lists stay what they are.
    """
    import pandas as pd

    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return pd.Series(values, dtype="float64")
    if kinds <= {datetime.date, datetime.datetime}:
        return pd.Series(pd.to_datetime(pd.Series(values, dtype="object"), utc=_has_zone(values)))
    if kinds == {float} and all(value is None or (value.is_integer() and abs(value) < 2**53) for value in values):
        values = [None if value is None else int(value) for value in values]  # a workbook has no other numbers
    if kinds <= {int, float}:
        return pd.Series(pd.to_numeric(pd.Series(values, dtype="object")))
    if kinds == {bool}:
        return pd.Series(values, dtype="object").infer_objects()
    if kinds & {list, dict}:
        return pd.Series(values, dtype="object")
    return pd.Series([None if value is None else text_of(value) for value in values], dtype="str")


def _has_zone(values: list[Any]) -> bool:
    return any(isinstance(value, datetime.datetime) and value.tzinfo is not None for value in values)
