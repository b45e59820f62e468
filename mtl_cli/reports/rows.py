"""Rows of a command's answer on stdout: a table for people, CSV, JSON or Markdown for what reads on."""

from __future__ import annotations

import csv
import io
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from mtl_cli.io import to_json

FORMATS = ("table", "csv", "json", "md")
Rows = Sequence[Mapping[str, Any]]


def chosen(style: str | None) -> str:
    """Return the form of the answer: as asked for, else what suits where it goes."""
    return style or ("table" if sys.stdout.isatty() else "csv")


def rendered(rows: Rows, style: str) -> str:
    """Return rows of the same keys in one of ``FORMATS``, with a line end behind."""
    if style == "json":
        return to_json(list(rows), indent=2) + "\n"
    if not rows:
        return ""
    columns = list(rows[0])
    if style == "csv":
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_exact(row[column]) for column in columns] for row in rows)
        return out.getvalue()
    cells = [[_short(row[column]) for column in columns] for row in rows]
    if style == "md":
        lines = [columns, ["---"] * len(columns), *cells]
        return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
    numbers = [all(_is_number(row[column]) for row in rows) for column in columns]
    return "".join(f"{line}\n" for line in aligned(columns, cells, numbers, width()))


def width() -> int | None:
    """Return how wide a table may be: as the terminal; any width in a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def aligned(
    columns: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[bool], room: int | None
) -> list[str]:
    """Return lines of columns, numbers to the right; a table that is too wide has its widest texts cut."""
    widths = [max(len(row[i]) for row in [columns, *cells]) for i in range(len(columns))]
    texts = [i for i, is_right in enumerate(right) if not is_right]
    while room is not None and texts and sum(widths) + 2 * (len(widths) - 1) > room:
        widest = max(texts, key=lambda i: widths[i])
        if widths[widest] <= 8:
            break
        widths[widest] -= 1
    lines = []
    for row in [columns, *cells]:
        cut = [cell if len(cell) <= w else f"{cell[: w - 1]}…" for cell, w in zip(row, widths, strict=True)]
        done = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(cut, widths, right, strict=True)]
        lines.append("  ".join(done).rstrip())
    return lines


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _exact(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return "|".join(map(str, value))
    return "" if value is None or value != value else value


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)
