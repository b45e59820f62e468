"""A data source: `mtl train dataset=houses.fwf`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.config.registry import component
from mtl_cli.data.tables.config import TableSource

if TYPE_CHECKING:
    import pandas as pd


@component("dataset", "fixed_width")
@dataclass(frozen=True, kw_only=True)
class FixedWidth(TableSource):
    """A table as text whose columns begin at the same place in every line."""

    suffixes: ClassVar[tuple[str, ...]] = (".fwf",)

    def read_file(
        self, text_columns: list[str], notice: Callable[[str], None]
    ) -> pd.DataFrame:
        import pandas as pd

        text = dict.fromkeys(text_columns, str)
        return pd.read_fwf(self.path, dtype=text)
