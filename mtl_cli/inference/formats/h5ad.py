"""Predictions in a copy of the cells' own file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import component
from mtl_cli.inference.formats.base import Format

if TYPE_CHECKING:
    import pandas as pd


@component("format", "h5ad")
class H5AD(Format):
    """A copy of the .h5ad file or .zarr store that was predicted, with the predictions as columns of its ``obs``."""

    suffixes: ClassVar[tuple[str, ...]] = (".h5ad",)

    def check(self, output: str | None, source: str) -> None:
        """Raise UserError unless a file of cells is copied to another file."""
        if output is None or not source.rstrip("/").lower().endswith((".h5ad", ".zarr")):
            what, hint = (
                "h5ad is for a copy of an .h5ad file or .zarr store",
                "mtl predict RUN cells.h5ad -o labelled.h5ad",
            )
            raise UserError(output or "--format", what, hint)

    def encode(self, table: pd.DataFrame, source: str) -> bytes:
        """Return the copy's bytes."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "copy.h5ad"
            self.write(table, file, source)
            return file.read_bytes()

    def write(self, table: pd.DataFrame, file: Path, source: str) -> None:
        """Copy the file, with the predictions."""
        from mtl_cli.data.cells.file import copy_with_columns

        copy_with_columns(source, file, table[[name for name in table.columns if name.startswith("predicted_")]])
