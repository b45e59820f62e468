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
        self._path, self._append = path, append
        self._file: TextIO = path.open("a" if append else "w", newline="", encoding="utf-8")
        self._writer: Any = None

    def append(self, row: Mapping[str, Any]) -> None:
        """Write a row."""
        if self._writer is None:
            before = self._path.read_text(encoding="utf-8").partition("\n")[0] if self._append else ""
            columns = next(csv.reader([before])) if before else list(row)
            self._writer = csv.DictWriter(self._file, columns, lineterminator="\n")
            if not before:
                self._writer.writeheader()
        self._writer.writerow(row)
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
