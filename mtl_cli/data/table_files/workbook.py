"""Reading a sheet of a workbook, of Excel or of LibreOffice, through calamine."""

from __future__ import annotations

import datetime
import importlib.util
from io import BytesIO
from typing import TYPE_CHECKING, Any

from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.data.files import Opener
from mtl_cli.data.tables.columnar import column_of, named

if TYPE_CHECKING:
    import pandas as pd

    from mtl_cli.data.base import Notice

EXTRA = "pip install 'mtl-cli[excel]'"


def installed() -> bool:
    """Return whether calamine is there."""
    return importlib.util.find_spec("python_calamine") is not None


def read_workbook(open_bytes: Opener, where: str, sheet: str | None, notice: Notice) -> pd.DataFrame:
    """Read a sheet whose first row is the header.

    Parameters
    ----------
    open_bytes : callable
    where : str
        The file's name for messages.
    sheet : str, optional
        By default the first; where there is no sheet of that name, its number from 1.
    notice : callable
        Takes a line that the user should see.

    Raises
    ------
    UserError
        If it is no workbook or locked, has no such sheet, or the sheet is no table.
    """
    import pandas as pd

    if not installed():
        raise UserError(where, "reading workbooks needs python-calamine", EXTRA)
    rows, name = _rows(open_bytes, where, sheet, notice)
    header = [_text(cell) for cell in rows[0]] if rows else []
    body = [row for row in rows[1:] if any(cell != "" for cell in row)]
    columns = {}
    for number, title in enumerate(header):
        values = [_value(row[number]) for row in body]
        if title or any(value is not None for value in values):
            columns[number] = column_of(values)
    if not columns:
        raise UserError(where, f"the sheet '{name}' is empty")
    table = pd.DataFrame(columns, copy=False)
    table.columns = pd.Index([header[number] for number in columns])
    return named(table, where)


def _rows(open_bytes: Opener, where: str, sheet: str | None, notice: Notice) -> tuple[list[list[Any]], str]:
    """Return the cells of a sheet, and its name."""
    import python_calamine

    with open_bytes() as stream:
        data = stream.read()
    if not data:
        raise UserError(where, "the file is empty")
    try:
        with python_calamine.CalamineWorkbook.from_filelike(BytesIO(data)) as book:
            name = _sheet(book.sheet_names, where, sheet, notice)
            return book.get_sheet_by_name(name).to_python(), name
    except python_calamine.PasswordError as error:
        raise UserError(where, "is locked with a password", "save it without one") from error
    except (python_calamine.CalamineError, OSError, ValueError) as error:
        if data.startswith((b"PK", b"\xd0\xcf\x11\xe0")):
            what, hint = "is damaged, or no workbook", "save or copy it again, or export it as CSV"
        else:
            what, hint = "is not a workbook", "is it text? use dataset=csv"
        raise UserError(where, f"{what}: {str(error).splitlines()[0][:200]}", hint) from error


def _sheet(names: list[str], where: str, sheet: str | None, notice: Notice) -> str:
    if not names:
        raise UserError(where, "has no sheet")
    if sheet is None:
        if len(names) > 1:
            others = ", ".join(f"'{name}'" for name in names[1:4]) + (", …" if len(names) > 4 else "")
            notice(f"{where}: the first sheet, '{names[0]}', is read; dataset.sheet=NAME takes another: {others}")
        return names[0]
    if sheet in names:
        return sheet
    if sheet.isdecimal() and 1 <= int(sheet) <= len(names):
        return names[int(sheet) - 1]
    raise UserError("dataset.sheet", f"{where} has no sheet '{sheet}'", did_you_mean(sheet, names))


def _value(cell: Any) -> Any:
    """Return a cell's value, None where it is empty; calamine has those empty whose formula fails."""
    if isinstance(cell, str):
        return cell.strip() or None
    return cell.total_seconds() if isinstance(cell, datetime.timedelta) else cell


def _text(cell: Any) -> str:
    """Return a cell of the header as text: a year is 2020, not 2020.0."""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip()
