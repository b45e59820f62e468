"""The table of a benchmark for people, and what it tells: from its rows, or from those of a reference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mtl_cli.inference.evaluate import LOWER_IS_BETTER
from mtl_cli.studies.statistics import Interval, mean_ranks
from mtl_cli.studies.tables import interval_text

BETTER, WORSE = "↑", "↓"
"""Marks of what is significantly better or worse than the baseline."""
SHOWN = 8
"""Methods that a sentence names."""
Row = dict[str, Any]


def overview(rows: Sequence[Row]) -> list[Row]:
    """Return a row for each method, the best mean rank first, and a column for each problem."""
    problems, methods = (list(dict.fromkeys(row[key] for row in rows)) for key in ("problem", "method"))
    cells = {(row["method"], row["problem"]): row for row in rows}
    order = ranks(rows, problems, methods)
    found = []
    for method in sorted(methods, key=lambda method: order.get(method, math.inf)):
        line: Row = {"method": method, "rank": round(order[method], 1) if method in order else None}
        own = {problem: cells.get((method, problem)) for problem in problems}
        found.append({**line, **{problem: "-" if row is None else _cell(row) for problem, row in own.items()}})
    return found


def _cell(row: Row) -> str:
    half = math.nan if row["half"] is None else row["half"]
    mark = "" if not row["told"] else BETTER if row["lead"] > 0 else WORSE
    return f"{interval_text(Interval(row['value'], half, row['runs']), 3)}{mark}"


def ranks(rows: Sequence[Row], problems: Sequence[str], methods: Sequence[str]) -> dict[str, float]:
    """Return the mean rank over the problems, 1 the best, of the methods that have a figure in all of them."""
    values = np.full((len(problems), len(methods)), np.nan)
    for row in rows:
        if row["value"] is not None:
            place = problems.index(row["problem"]), methods.index(row["method"])
            values[place] = row["value"] * _sign(row["measure"])
    known = np.isfinite(values).all(axis=0)
    kept = [method for method, is_known in zip(methods, known, strict=True) if is_known]
    return dict(zip(kept, mean_ranks(values[:, known]).tolist(), strict=True)) if kept else {}


def _sign(measure: str) -> int:
    """Return 1 if more is better, else −1."""
    return -1 if measure == "distance" or measure.rpartition(".")[2] in LOWER_IS_BETTER else 1


def sentences(rows: Sequence[Row], baseline: str) -> list[str]:
    """Return which methods differ significantly from the baseline in each problem, and how many do not."""
    found = []
    for problem in dict.fromkeys(row["problem"] for row in rows):
        others = [row for row in rows if row["problem"] == problem and row["method"] != baseline]
        better, worse = (
            [row["method"] for row in others if row["told"] and row["lead"] * sign > 0] for sign in (1, -1)
        )
        if not others:
            continue
        if all(row["lead"] is None for row in others):
            found.append(f"{problem}: one run of each proves nothing; seed=0,1,2 makes three")
            continue
        said = [f"better than {baseline}: {_some(better)}"] if better else []
        said += [f"worse: {_some(worse)}"] if worse else []
        rest = len(others) - len(better) - len(worse)
        said += [f"no significant difference from {baseline} for {rest} of {len(others)}"] if rest else []
        found.append(f"{problem}: {'; '.join(said)}")
    return found


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
