"""Predictions as JSON lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from mtl_cli.config.registry import component
from mtl_cli.inference.formats.base import TextFormat

if TYPE_CHECKING:
    import pandas as pd


@component("format", "jsonl")
class JSONLines(TextFormat):
    """A JSON object per row, each on a line of its own."""

    suffixes: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson")

    def lines(self, table: pd.DataFrame, first: bool) -> str:
        return table.to_json(orient="records", lines=True, force_ascii=False)
