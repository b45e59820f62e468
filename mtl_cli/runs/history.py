"""CSV files that grow by a row as an epoch ends."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from mtl_cli.io import atomic


class CSVLog:
    """Appends rows to a CSV file and flushes each, so that a run that is cut off keeps what it had.

    Parameters
    ----------
    path : Path
        The header is written with the first row; every row has the same keys. Rows that are there already have these
        keys too, and a key that a row lacks is left empty.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO = path.open("a", newline="", encoding="utf-8")
        self._writer: Any = None

    def append(self, row: Mapping[str, Any]) -> None:
        """Write a row."""
        if self._writer is None:
            with self._path.open(newline="", encoding="utf-8") as file:
                before = next(csv.reader(file), None)
            columns = before or list(row)
            self._writer = csv.DictWriter(self._file, columns, lineterminator="\n")
            if not before:
                self._writer.writeheader()
        self._writer.writerow(row)
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def sort_by_member(path: Path) -> None:
    """Bring the rows of members that were trained in turn in their order, whenever each was written."""
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    column = header.index("member")
    ordered = sorted(rows, key=lambda row: int(row[column]))
    if ordered != rows:
        atomic(path, lambda file: _write(file, [header, *ordered]))


def _write(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
