"""What YAML says of tables in other files: `mtl train dataset=houses.xlsx`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.config.errors import Problem
from mtl_cli.config.registry import component
from mtl_cli.config.schema import Config
from mtl_cli.data.base import Notice
from mtl_cli.data.files import opener
from mtl_cli.data.tables.config import TableSource

if TYPE_CHECKING:
    import pandas as pd


@component("dataset", "excel")
@dataclass(frozen=True, kw_only=True)
class Excel(TableSource):
    """A table as a sheet of a workbook, of Excel or of LibreOffice; its first row is the header.

    Parameters
    ----------
    path : str
    sheet : str, optional
        The sheet's name; the first sheet where null.
    """

    sheet: str | None = None

    reading_keys: ClassVar[tuple[str, ...]] = (*TableSource.reading_keys, "sheet")
    suffixes: ClassVar[tuple[str, ...]] = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")

    def check(self, config: Config) -> Iterator[Problem]:
        from mtl_cli.data.table_files.workbook import EXTRA, installed

        yield from super().check(config)
        if not installed():
            yield Problem("dataset", "reading workbooks needs python-calamine", EXTRA)

    def read_file(self, text_columns: list[str], notice: Notice) -> pd.DataFrame:
        """Read the table. Cells have types, so ``text_columns`` are not needed here."""
        from mtl_cli.data.table_files.workbook import read_workbook

        return read_workbook(opener(self.path), self.path, self.sheet, notice)


@component("dataset", "arff")
@dataclass(frozen=True, kw_only=True)
class ARFF(TableSource):
    """A table as an ARFF file, as Weka and OpenML have them: nominal attributes are categories, ``?`` is missing.

    Parameters
    ----------
    path : str
    """

    suffixes: ClassVar[tuple[str, ...]] = (".arff", ".arff.gz", ".arff.zst")

    def read_file(self, text_columns: list[str], notice: Notice) -> pd.DataFrame:
        """Read the table. Attributes have types, so ``text_columns`` are not needed here."""
        from mtl_cli.data.table_files.arff import read_arff

        return read_arff(opener(self.path), self.path, notice)


@component("dataset", "jsonl")
@dataclass(frozen=True, kw_only=True)
class JSONLines(TableSource):
    """A table as JSON, an object per line (or one list of objects); its keys are the columns.

    Parameters
    ----------
    path : str
    """

    suffixes: ClassVar[tuple[str, ...]] = (
        ".jsonl", ".ndjson", ".json", ".jsonl.gz", ".ndjson.gz", ".json.gz", ".jsonl.zst", ".ndjson.zst", ".json.zst",
    )  # fmt: skip

    def read_file(self, text_columns: list[str], notice: Notice) -> pd.DataFrame:
        """Read the table. Values have types, so ``text_columns`` are not needed here."""
        from mtl_cli.data.table_files.jsonl import read_json_lines

        return read_json_lines(opener(self.path), self.path, notice)


@component("dataset", "feather")
@dataclass(frozen=True, kw_only=True)
class Feather(TableSource):
    """A table as a Feather file; columns keep the types they have there.

    Parameters
    ----------
    path : str
    """

    suffixes: ClassVar[tuple[str, ...]] = (".feather", ".arrow")

    def read_file(self, text_columns: list[str], notice: Notice) -> pd.DataFrame:
        """Read the table. Columns have types, so ``text_columns`` are not needed here."""
        from mtl_cli.data.tables.columnar import read_feather

        return read_feather(opener(self.path), self.path, notice)
