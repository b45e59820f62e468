"""Reading a table of JSON objects, one per line or in one list."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TextIO

from mtl_cli.config.errors import UserError
from mtl_cli.data.files import Opener
from mtl_cli.data.tables.columnar import column_of, named
from mtl_cli.data.tables.encoding import look_at

if TYPE_CHECKING:
    import pandas as pd

    from mtl_cli.data.base import Notice


def read_json_lines(open_bytes: Opener, where: str, notice: Notice) -> pd.DataFrame:
    """Read objects as rows; a key that a row lacks is missing there. Raises UserError naming the line at fault."""
    file = look_at(open_bytes, where, None, notice)
    with file.open() as stream:
        rows = _list(stream, where) if file.head.lstrip().startswith("[") else _lines(stream, where)
        return table_of_rows(rows, where)


def table_of_rows(rows: Iterable[tuple[str, Any]], where: str, empty: str = "the file is empty") -> pd.DataFrame:
    """Return the table of objects of JSON, each with what to call it. Raises UserError if one is no object."""
    import pandas as pd

    columns = _columns(rows, where)
    if not columns:
        raise UserError(where, empty)
    return named(pd.DataFrame({name: column_of(values) for name, values in columns.items()}, copy=False), where)


def _lines(stream: TextIO, where: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(stream, 1):
        if line.strip():
            try:
                yield f"line {number}", json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                fault = error.msg if isinstance(error, json.JSONDecodeError) else "it is nested too deep"
                raise UserError(where, f"line {number} is not JSON: {fault}", "a row is {…} in one line") from error


def _list(stream: TextIO, where: str) -> Iterator[tuple[str, Any]]:
    try:
        rows = json.load(stream)
    except (json.JSONDecodeError, RecursionError) as error:
        raise UserError(where, f"is not JSON: {error}", "a row per line, or one list of rows") from error
    for number, row in enumerate(rows, 1):
        yield f"row {number}", row


def _columns(rows: Iterable[tuple[str, Any]], where: str) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    count = 0
    for place, row in rows:
        if not isinstance(row, dict):
            raise UserError(
                where, f"{place} is not an object with the columns' names", 'such as {"area": 80.5, "sold": true}'
            )
        for name, value in row.items():
            column = columns.setdefault(name, [])
            column += [None] * (count - len(column))
            column.append(None if isinstance(value, str) and not value.strip() else value)
        count += 1
    for column in columns.values():
        column += [None] * (count - len(column))
    return columns
