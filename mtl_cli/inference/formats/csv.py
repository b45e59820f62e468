"""Predictions as CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from mtl_cli.config.registry import component
from mtl_cli.inference.formats.base import Format

if TYPE_CHECKING:
    import pandas as pd


@component("format", "csv")
class CSV(Format):
    """A line per row, with a header."""

    suffixes: ClassVar[tuple[str, ...]] = (".csv",)

    def encode(self, table: pd.DataFrame, source: str) -> str:
        """Return the lines."""
        return table.to_csv(index=False)
