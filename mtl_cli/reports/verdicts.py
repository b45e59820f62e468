"""What comparing a run's network with other models came to, in a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtl_cli.inference.paired import Difference
from mtl_cli.runs.directory import METRICS

SHOWN = 3
"""Tasks that a line tells of."""


def about_baselines(metrics: Mapping[str, Any]) -> str | None:
    """Say which baselines are better than the network, on which tasks and by how much; None if there are none.

    Parameters
    ----------
    metrics : mapping
        What ``metrics.json`` holds.
    """
    compared = metrics.get("baselines")
    if compared is None:
        return None
    better = [
        f"{found['best']} is better on {task} by {_difference(found, found['best'])}"
        for task, found in compared["tasks"].items()
        if found["better"]
    ]
    names, rows = ", ".join(compared["names"]), metrics["splits"][compared["rows"]]["rows"]
    of = "unseen test rows" if compared["rows"] != "test" else "test rows"
    if not better:
        return f"no baseline is better ({names}; {rows:,} {of})"
    more = len(better) - SHOWN
    line = ", ".join(better[:SHOWN]) + (f", and others on {more} more tasks, in {METRICS}" if more > 0 else "")
    others = len(compared["tasks"]) - len(better)
    line += f"; none on {others} of {len(compared['tasks'])} tasks" if others else ""
    return f"{line} ({rows:,} {of})"


def _difference(found: Mapping[str, Any], name: str) -> Difference:
    kept = found["differences"][name]
    return Difference(found["metric"], kept["difference"], kept["high"] - kept["difference"])
