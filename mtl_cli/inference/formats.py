"""The files that predictions are written to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mtl_cli.config.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd


class Format(NamedTuple):
    """A kind of file.

    Parameters
    ----------
    suffixes : tuple of str
        How the names of such files end.
    write : callable
        Takes the predictions, the file to fill, and the file that was predicted (or ``-``).
    text : callable, optional
        Makes text of the predictions, where such a file is text.
    """

    suffixes: tuple[str, ...]
    write: Callable[[pd.DataFrame, Path, str], None]
    text: Callable[[pd.DataFrame], str] | None = None


def _csv(table: pd.DataFrame) -> str:
    return table.to_csv(index=False)


def _jsonl(table: pd.DataFrame) -> str:
    return table.to_json(orient="records", lines=True, force_ascii=False)


def _parquet(table: pd.DataFrame, file: Path, source: str) -> None:
    table.to_parquet(file, index=False)


def _h5ad(table: pd.DataFrame, file: Path, source: str) -> None:
    from mtl_cli.data.cells.file import copy_with_columns

    copy_with_columns(source, file, table[[name for name in table.columns if name.startswith("predicted_")]])


FORMATS = {
    "csv": Format((".csv",), lambda table, file, _: _write_text(_csv(table), file), _csv),
    "parquet": Format((".parquet", ".pq"), _parquet),
    "jsonl": Format((".jsonl", ".ndjson"), lambda table, file, _: _write_text(_jsonl(table), file), _jsonl),
    "h5ad": Format((".h5ad",), _h5ad),
}


def _write_text(text: str, file: Path) -> None:
    file.write_text(text, encoding="utf-8")


def format_of(output: str | None) -> str:
    """Return the format that a file's name tells; csv for stdout."""
    if output is None:
        return "csv"
    for name, form in FORMATS.items():
        if output.lower().endswith(form.suffixes):
            return name
    suffix = Path(output).suffix
    known = [suffix for form in FORMATS.values() for suffix in form.suffixes]
    raise UserError(output, f"no format is known by '{suffix}'", f"{did_you_mean(suffix, known)}, or give --format")
