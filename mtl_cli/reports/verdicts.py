"""What comparing a run's network with other models came to, in a line or two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtl_cli.inference.paired import Difference
from mtl_cli.runs.directory import METRICS

SHOWN, MOST = 3, 12
"""Tasks that a line about baselines tells of, and that have a line about sharing each."""


def about_baselines(metrics: Mapping[str, Any]) -> list[str]:
    """Say which baselines are better than the network, on which tasks and by how much: a line, if there are any.

    Parameters
    ----------
    metrics : mapping
        What ``metrics.json`` holds.
    """
    compared = metrics.get("baselines")
    if compared is None:
        return []
    better = [
        f"{found['best']} is better on {task} by {_difference(found, found['best'])}"
        for task, found in compared["tasks"].items()
        if found["better"]
    ]
    names, rows = ", ".join(compared["names"]), metrics["splits"][compared["rows"]]["rows"]
    of = "unseen test rows" if compared["rows"] != "test" else "test rows"
    if not better:
        return [f"no baseline is better ({names}; {rows:,} {of})"]
    more = len(better) - SHOWN
    line = ", ".join(better[:SHOWN]) + (f", and others on {more} more tasks, in {METRICS}" if more > 0 else "")
    others = len(compared["tasks"]) - len(better)
    line += f"; none on {others} of {len(compared['tasks'])} tasks" if others else ""
    return [f"{line} ({rows:,} {of})"]


def about_sharing(metrics: Mapping[str, Any]) -> list[str]:
    """Say of each task whether sharing helps it, or of many tasks how many; nothing if that was not asked for."""
    if "single" not in metrics:
        return []
    tasks = metrics["single"]["tasks"]
    if len(tasks) > MOST:
        verdicts = [found["verdict"] for found in tasks.values()]
        counts = ", ".join(f"{verdict} {verdicts.count(verdict)}" for verdict in ("helps", "hurts", "cannot tell"))
        return [f"sharing, {len(tasks)} tasks: {counts}; each in {METRICS}"]
    lines = []
    for name, found in tasks.items():
        apart = Difference(found["metric"], found["difference"], found["high"] - found["difference"])
        told = found["verdict"] != "cannot tell"
        verdict = f"sharing {found['verdict']} {name}" if told else f"cannot tell whether sharing helps {name}"
        way = "worse" if apart.value < 0 else "better"
        by = f"{way} by {apart}" if apart.known else f"{apart.metric} cannot be compared on these rows"
        lines.append(f"{verdict}: {by}")
    return lines


def _difference(found: Mapping[str, Any], name: str) -> Difference:
    kept = found["differences"][name]
    return Difference(found["metric"], kept["difference"], kept["high"] - kept["difference"])
