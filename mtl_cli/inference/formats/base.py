"""The contract of a format of predictions, and which format a file's name implies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.config.registry import components

if TYPE_CHECKING:
    import pandas as pd


class Format(ABC):
    """A kind of file that predictions are written to."""

    suffixes: ClassVar[tuple[str, ...]] = ()
    """How the names of such files end."""

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
