"""Tables as delimited text: `mtl train dataset=houses.csv`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.config.registry import component
from mtl_cli.data.files import read_bytes
from mtl_cli.data.tables.dataset import TableDataset
from mtl_cli.data.tables.text import MISSING, read_text_table

if TYPE_CHECKING:
    import pandas as pd


@component("dataset", "csv")
@dataclass(frozen=True, kw_only=True)
class CSV(TableDataset):
    """A table as delimited text with a header, plain or gzipped.

    Parameters
    ----------
    path : str
        A file, ``-`` for standard input, or ``builtin:NAME``.
    separator : str, optional
        Found from the first lines where null.
    encoding : str, optional
        Where null: UTF-8, UTF-16 by its byte-order mark, else cp1252 with a notice.
    decimal : str
        The decimal mark of numbers.
    missing : list of str
        What stands for an empty cell, in labels too; an empty cell always does.
    """

    path: str
    separator: str | None = None
    encoding: str | None = None
    decimal: str = "."
    missing: list[str] = field(default_factory=lambda: list(MISSING))

    suffixes: ClassVar[tuple[str, ...]] = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")

    def read(self, text_columns: list[str], notice: Callable[[str], None]) -> pd.DataFrame:
        """Read the table; columns in ``text_columns`` stay as they are written."""
        data = read_bytes(self.path)
        return read_text_table(
            data, self.path, self.separator, self.encoding, self.decimal, text_columns, self.missing, notice
        )
