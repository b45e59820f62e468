"""A run's network compared with other models on the test rows: with baselines, and what that says for each task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mtl_cli.inference.evaluate import answered, evaluate
from mtl_cli.inference.members import Outputs
from mtl_cli.inference.paired import LEVEL, Difference, difference
from mtl_cli.inference.trained import Answer, joined
from mtl_cli.tasks.task import Task
from mtl_cli.training.baselines import chosen, outputs_of
from mtl_cli.training.build import Ready

UNSEEN = "test_unseen"
"""The test rows that repeat no row trained on: where there are others, models are compared on these. What remembers
rows is no better for it on new ones."""


def compare_with_baselines(ready: Ready, answer: Answer | None, metrics: dict[str, Any], steps: int) -> None:
    """Train the run's baselines, and add what they come to to the run's metrics.

    Each task's report on the test rows gets ``baselines``, and ``metrics`` gets ``baselines``: by task, the metric that
    models are compared by, by how much each baseline is better than the network, and the one that is better most.

    Parameters
    ----------
    ready : Ready
    answer : Answer, optional
        What the network says of the test rows, if there are any.
    metrics : dict
        What ``metrics.json`` is to hold.
    steps : int
        Of the training, at most.
    """
    data = ready.data
    names = chosen(ready.config.trainer.baselines, data, steps)
    if not names or answer is None:
        if isinstance(ready.config.trainer.baselines, list) and answer is None:
            ready.progress.notice("trainer.baselines: there are no test rows to measure baselines on")
        return
    found = {name: outputs_of(name, data, ready.config.seed) for name in names}
    rows = compared_rows(metrics)
    for name, outputs in found.items():
        _report(ready, outputs, name, metrics)
    tasks = {}
    for task_name in found[names[0]]:
        differences = {
            name: between(ready, task_name, outputs, answer.outputs, rows, len(names))
            for name, outputs in found.items()
        }
        best = max(differences, key=lambda name: np.nan_to_num(differences[name].value, nan=-np.inf))
        tasks[task_name] = {
            "metric": data.tasks[task_name].compared,
            "differences": {name: one.state() for name, one in differences.items()},
            "best": best,
            "better": differences[best].better,
        }
    metrics["baselines"] = {"names": names, "rows": rows, "level": LEVEL, "tasks": tasks}


def compared_rows(metrics: Mapping[str, Any]) -> str:
    """Return the part of the split that models are compared on."""
    return UNSEEN if UNSEEN in metrics["splits"] and metrics["splits"][UNSEEN]["rows"] > 1 else "test"


def between(ready: Ready, name: str, first: Outputs, second: Outputs, rows: str, together: int = 1) -> Difference:
    """Return by how much one model is better than another in a task, on the test rows or those of them unseen.

    Parameters
    ----------
    ready : Ready
    name : str
        The task's.
    first, second : dict of str to ndarray
        The models' outputs on the test rows by task.
    rows : str
        ``test`` or ``test_unseen``.
    together : int
        Models that the second is compared with.
    """
    part, task = ready.data.parts["test"], ready.data.tasks[name]
    lengths = part.inputs.lengths
    known = part.targets[name].mask & answered(first[name], lengths) & answered(second[name], lengths)
    if rows == UNSEEN:
        known &= ~part.duplicates
    return difference(task, first[name][known], second[name][known], part.targets[name].values[known], together)


def _report(ready: Ready, outputs: Outputs, name: str, metrics: dict[str, Any]) -> None:
    """Add a baseline's metrics on the test rows to each task's."""
    data = ready.data
    tasks: dict[str, Task] = {task: data.tasks[task] for task in outputs}
    answer = joined([outputs], tasks, data.reader.hierarchy, None, lambda line: None)
    part = data.parts["test"]
    for split, rows in (("test", None), (UNSEEN, ~part.duplicates)):
        if split not in metrics["splits"]:
            continue
        report = evaluate(answer.outputs, part, tasks, rows, answer.decided)
        for task, values in report["tasks"].items():
            if "skill" in values:
                own = {key: value for key, value in values.items() if key not in ("rows", "constant", "classes")}
                metrics["splits"][split]["tasks"][task].setdefault("baselines", {})[name] = own
