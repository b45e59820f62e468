"""Predictions as parquet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.config.registry import component
from mtl_cli.inference.formats.base import Format

if TYPE_CHECKING:
    import pandas as pd


@component("format", "parquet")
class Parquet(Format):
    """A parquet file, which keeps the columns' types."""

    suffixes: ClassVar[tuple[str, ...]] = (".parquet", ".pq")

    def encode(self, table: pd.DataFrame, source: str) -> bytes:
        """Return the file's bytes."""
        return table.to_parquet(index=False)

    def write(self, table: pd.DataFrame, file: Path, source: str) -> None:
        """Fill a file, without all of its bytes in memory at once."""
        table.to_parquet(file, index=False)
