"""CSV files that grow by a row as an epoch ends."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO


class CSVLog:
    """Appends rows to a CSV file and flushes each, so that a run that is cut off keeps what it had.

    Parameters
    ----------
    path : Path
        The header is written with the first row; every row has the same keys.
    append : bool, default False
        Go on after the rows of an earlier log, whose keys these are too; one that a row lacks is left empty.
    """

    def __init__(self, path: Path, append: bool = False) -> None:
        columns = path.read_text(encoding="utf-8").partition("\n")[0] if append and path.exists() else ""
        self._file: TextIO = path.open("a" if append else "w", newline="", encoding="utf-8")
        self._writer: Any = None
        if columns:
            self._writer = csv.DictWriter(self._file, next(csv.reader([columns])), lineterminator="\n")

    def append(self, row: Mapping[str, Any]) -> None:
        """Write a row."""
        if self._writer is None:
            self._writer = csv.DictWriter(self._file, list(row), lineterminator="\n")
            self._writer.writeheader()
        self._writer.writerow(row)
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
