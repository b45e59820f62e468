"""The figures of a benchmark beside those that it is checked against."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtl_cli.config.errors import UserError

NEEDED = ("budget", "problem", "method", "value", "tolerance")
NUMBERS = ("value", "tolerance", "half", "lead", "lead_half", "front_volume", "adds_volume")
Row = dict[str, Any]


@dataclass(frozen=True)
class Outside:
    """A figure that is not what the reference says.

    Parameters
    ----------
    problem, method : str
    value : float, optional
        None if there is none.
    reference, tolerance : float
    """

    problem: str
    method: str
    value: float | None
    reference: float
    tolerance: float

    def __str__(self) -> str:
        what = "there is no figure" if self.value is None else f"{self.value:.4f}"
        wanted = f"{self.reference:.4f} ± {self.tolerance:.4f}"
        return f"{self.problem}, {self.method}: {what}, where the reference has {wanted}"


def read_reference(file: Path, budget: str, problems: Iterable[str]) -> list[Row]:
    """Return the rows of a reference that are of one budget and of these problems, as ``records`` makes them.

    Raises
    ------
    UserError
        If it is none, or holds none of them.
    """
    if not file.is_file():
        raise UserError("--check", f"there is no reference {file}", "mtl benchmark NAME --format csv > FILE makes one")
    with file.open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    if not rows or not set(NEEDED) <= set(rows[0]):
        raise UserError(str(file), f"is not a reference: it needs the columns {', '.join(NEEDED)}")
    budgets = dict.fromkeys(row["budget"] for row in rows)
    if budget not in budgets:
        hint = "add --small" if budgets == {"small": None} else "leave out --small" if "small" not in budgets else None
        raise UserError("--check", f"{file.name} has no figures of the {budget} budget", hint)
    wanted = set(problems)
    return [_record(row) for row in rows if row["budget"] == budget and row["problem"].partition(".")[0] in wanted]


def _record(row: dict[str, str]) -> Row:
    """Return a row of a file with its numbers as such; an empty cell is None."""
    numbers = {key: float(row[key]) if row.get(key) else None for key in NUMBERS}
    return {**row, **numbers, "runs": int(row.get("runs") or 0), "told": row.get("told") == "True"}


def outside(reference: Sequence[Row], records: Sequence[Row]) -> list[Outside]:
    """Return the figures of the reference that are not met within their tolerance."""
    found = {(row["problem"], row["method"]): row["value"] for row in records}
    result = []
    for row in reference:
        if row["value"] is None:
            continue
        value = found.get((row["problem"], row["method"]))
        if value is None or not abs(value - row["value"]) <= row["tolerance"]:
            result.append(Outside(row["problem"], row["method"], value, row["value"], row["tolerance"]))
    return result
