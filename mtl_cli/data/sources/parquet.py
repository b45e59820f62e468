"""Tables as parquet files: `mtl train dataset=houses.parquet`."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import component
from mtl_cli.data.files import read_bytes
from mtl_cli.data.tables.dataset import TableDataset
from mtl_cli.data.tables.text import check_names

if TYPE_CHECKING:
    import pandas as pd


@component("dataset", "parquet")
@dataclass(frozen=True, kw_only=True)
class Parquet(TableDataset):
    """A table as a parquet file; columns keep the types they have there.

    Parameters
    ----------
    path : str
        A file, or ``-`` for standard input.
    """

    path: str

    suffixes: ClassVar[tuple[str, ...]] = (".parquet", ".pq")

    def read(self, text_columns: list[str], notice: Callable[[str], None]) -> pd.DataFrame:
        """Read the table. The arguments serve text files and are not needed here."""
        import pandas as pd
        import pyarrow

        data = read_bytes(self.path)
        if not data:
            raise UserError(self.path, "the file is empty")
        try:
            table = pd.read_parquet(io.BytesIO(data))
        except pyarrow.ArrowException as error:
            hint = "is it text? use dataset=csv" if data[:4] != b"PAR1" else None
            raise UserError(self.path, "cannot be read as parquet", hint) from error
        names = [str(name) for name in table.columns]
        check_names(names, self.path)
        if table.empty:
            raise UserError(self.path, "the table has no row")
        table.columns = pd.Index(names)
        return table.reset_index(drop=True)
