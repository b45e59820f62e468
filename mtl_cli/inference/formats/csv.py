"""Predictions as CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from mtl_cli.config.registry import component
from mtl_cli.inference.formats.base import TextFormat

if TYPE_CHECKING:
    import pandas as pd


@component("format", "csv")
class CSV(TextFormat):
    """A line per row, with a header."""

    suffixes: ClassVar[tuple[str, ...]] = (".csv",)

    for_spreadsheets: ClassVar[bool] = True

    def lines(self, table: pd.DataFrame, first: bool) -> str:
        return table.to_csv(index=False, header=first)
