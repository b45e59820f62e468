"""CSV files that grow by a row as an epoch ends."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtl_cli.config.errors import UserError
from mtl_cli.io import atomic, naming


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
        self._file = path.open("ab", buffering=0)
        self._columns: list[str] = []

    def append(self, row: Mapping[str, Any]) -> None:
        """Write a row."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns, lineterminator="\n")
        if not self._columns:
            with self._path.open(newline="", encoding="utf-8", errors="replace") as file:
                before = next(csv.reader(file), None)
            self._columns[:] = before or list(row)
            if not before:
                writer.writeheader()
        if not set(self._columns) >= set(row):
            hint = "it was changed; start the run anew"
            raise UserError(str(self._path), "has not the columns that the run writes", hint)
        writer.writerow(row)
        self._write(text.getvalue().encode())

    def _write(self, data: bytes) -> None:
        """Write all of it or nothing."""
        size = self._path.stat().st_size
        try:
            with naming(self._path):
                while data:
                    data = data[self._file.write(data) :]
        except OSError:
            with contextlib.suppress(OSError):  # of a folder that is gone
                os.truncate(self._path, size)
            raise

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
