"""Which lines of a delimited text do not fit its header; looked for where the parsed table gives reason to."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Callable, Iterator

from mtl_cli.data.tables.encoding import TextFile

LONGEST_FIELD = 2**31 - 1


@contextlib.contextmanager
def long_fields() -> Iterator[None]:
    """Let ``csv`` read fields of any length; its own limit, 128 kB, is that of the whole process."""
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def ragged(file: TextFile, separator: str, width: int) -> str | None:
    """Say which is the first line with more fields than the header has, or that cannot be read, or None."""
    with long_fields(), file.open() as stream:
        rows = csv.reader(stream, delimiter=separator, skipinitialspace=True, strict=True)
        begin = 1
        try:
            for row in rows:
                if len(row) > width:
                    return f"line {begin} has {len(row)} fields, the header has {width}"
                begin = rows.line_num + 1
        except csv.Error as error:
            return f"line {begin} cannot be read: {error}; is a quote not closed?"
    return None


def check_lines(
    file: TextFile, separator: str, header: list[str], rows: int, gaps: bool, notice: Callable[[str], None]
) -> None:
    """Tell of rows that are shorter than the header, and of quoted fields that hold what looks like rows.

    Parameters
    ----------
    file : TextFile
    separator : str
    header : list of str
    rows : int
        How many were parsed; as many lines, and one for the header, give no reason to look.
    gaps : bool
        Whether the last column has empty cells, as a row that is too short has.
    notice : callable
        Takes a line that the user should see.
    """
    width = len(header)
    if width == 1 or (file.lines == rows + 1 and not gaps):
        return
    short: list[tuple[int, int]] = []
    swallowed: list[tuple[int, int]] = []
    with long_fields(), file.open() as stream:
        found = csv.reader(stream, delimiter=separator, skipinitialspace=True)
        begin = 1
        for row in found:
            if 0 < len(row) < width and (len(row) > 1 or row[0].strip()):
                short.append((begin, len(row)))
            if found.line_num > begin and (inside := sum(_looks_like_rows(cell, separator, width) for cell in row)):
                swallowed.append((begin, inside))
            begin = found.line_num + 1
    if short:
        more = f" (and {len(short) - 1} more such lines)" if len(short) > 1 else ""
        line, fields = short[0]
        notice(
            f"{file.where}: line {line} has {fields} fields, the header has {width}{more}; the rest is read as empty"
        )
    if swallowed:
        more = f" (and {len(swallowed) - 1} more such fields)" if len(swallowed) > 1 else ""
        line, inside = swallowed[0]
        what = "a line that looks like a row" if inside == 1 else f"{inside} lines that look like rows"
        notice(f"{file.where}: a quoted field that begins in line {line} holds {what}{more}; is a quote not closed?")


def _looks_like_rows(cell: str, separator: str, width: int) -> int:
    """Return how many rows seem to end within a cell: line ends with as many separators about them as a row has."""
    lines = cell.splitlines()
    return sum(line.count(separator) >= max(1, width - 2) for line in lines[1:]) if len(lines) > 1 else 0
