"""The contract of a format of predictions, and which format a file's name implies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, ClassVar

from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.config.registry import components

if TYPE_CHECKING:
    import pandas as pd


class Format(ABC):
    """A kind of file that predictions are written to."""

    suffixes: ClassVar[tuple[str, ...]] = ()
    """How the names of such files end."""
    for_spreadsheets: ClassVar[bool] = False
    """Whether spreadsheets open such files, and run text in them that looks like a formula."""

    def check(self, output: str | None, source: str) -> None:  # noqa: B027  # most formats take anything
        """Raise UserError if the predictions of ``source``, a file or ``-``, cannot go to ``output`` (None: stdout)."""

    @abstractmethod
    def encode(self, table: pd.DataFrame, source: str) -> str | bytes:
        """Return the content of a file with the predictions of ``source``."""

    def write(self, table: pd.DataFrame, file: Path, source: str) -> None:
        """Fill a file."""
        content = self.encode(table, source)
        if isinstance(content, str):
            file.write_text(content, encoding="utf-8")
        else:
            file.write_bytes(content)

    def save(self, tables: Iterable[pd.DataFrame], file: Path, source: str) -> None:
        """Fill a file with tables, one below the other, each of them made when it is asked for.

        By default they are put together first; a format that can take a table after the other overrides this and
        ``stream``, so that no more than one is in memory.
        """
        self.write(joined(tables), file, source)

    def stream(self, tables: Iterable[pd.DataFrame], sink: BinaryIO, source: str) -> None:
        """Write tables, one below the other, to stdout."""
        content = self.encode(joined(tables), source)
        sink.write(content.encode() if isinstance(content, str) else content)


def joined(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return tables of the same columns as one."""
    import pandas as pd

    every = list(tables)
    return every[0] if len(every) == 1 else pd.concat(every)


class TextFormat(Format):
    """A format of lines, which are written table by table."""

    @abstractmethod
    def lines(self, table: pd.DataFrame, first: bool) -> str:
        """Return the lines of a table: the ``first`` of a file, or one that follows."""

    def encode(self, table: pd.DataFrame, source: str) -> str:
        """Return the content of a file."""
        return self.lines(table, True)

    def save(self, tables: Iterable[pd.DataFrame], file: Path, source: str) -> None:
        """Fill a file, a table at a time."""
        with file.open("wb") as sink:
            self.stream(tables, sink, source)

    def stream(self, tables: Iterable[pd.DataFrame], sink: BinaryIO, source: str) -> None:
        """Write a table at a time; whoever reads has each of them at once."""
        for number, table in enumerate(tables):
            sink.write(self.lines(table, number == 0).encode())
            sink.flush()


def formats() -> dict[str, Format]:
    """Return the formats by name."""
    return {name: cls() for name, cls in components("format").items()}


def format_of(output: str | None) -> str:
    """Return the format that a file's name implies; csv for stdout."""
    if output is None:
        return "csv"
    known = formats()
    for name, form in known.items():
        if form.suffixes and output.lower().endswith(form.suffixes):
            return name
    suffix = Path(output).suffix
    suffixes = [suffix for form in known.values() for suffix in form.suffixes]
    raise UserError(
        output, f"no format has the ending '{suffix}'", f"{did_you_mean(suffix, suffixes)}, or give --format"
    )
