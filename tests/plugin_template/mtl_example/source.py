"""A data source: `mtl train dataset=houses.jsonl`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.config.registry import component
from mtl_cli.data.tables.config import TableSource

if TYPE_CHECKING:
    import pandas as pd


@component("dataset", "jsonl")
@dataclass(frozen=True, kw_only=True)
class JSONLines(TableSource):
    """A table as JSON lines: an object per row."""

    suffixes: ClassVar[tuple[str, ...]] = (".jsonl",)

    def read(
        self, text_columns: list[str], notice: Callable[[str], None]
    ) -> pd.DataFrame:
        import pandas as pd

        text = dict.fromkeys(text_columns, str)
        return pd.read_json(self.path, lines=True, dtype=text)
