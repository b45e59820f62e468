"""A run's network compared with other models on the test rows, by task: with baselines, and single-task networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mtl_cli.config.errors import UserError
from mtl_cli.inference.answer import Answer
from mtl_cli.inference.consistency import decide
from mtl_cli.inference.evaluate import answered, evaluate
from mtl_cli.inference.members import Outputs
from mtl_cli.inference.paired import LEVEL, Difference, difference
from mtl_cli.runs.directory import RunDirectory
from mtl_cli.training.baselines import chosen, learnt, outputs_of, why_none
from mtl_cli.training.build import Ready
from mtl_cli.training.single import outputs_alone

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
        if isinstance(ready.config.trainer.baselines, list):
            ready.progress.notice(f"trainer.baselines: {why_none(data)}")
        return
    if left_out := [name for name in data.tasks if name not in learnt(data)]:
        which = f"{', '.join(left_out[:5])}{', …' if len(left_out) > 5 else ''}"
        ready.progress.notice(f"trainer.baselines: none for {which}: no model of scikit-learn's learns such labels")
    found = {name: outputs_of(name, data, ready.config.seed) for name in names}
    rows = compared_rows(metrics)
    for name, outputs in found.items():
        for split, report in _reports(ready, outputs, metrics).items():
            for task_name, own in report.items():
                metrics["splits"][split]["tasks"][task_name].setdefault("baselines", {})[name] = own
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


def compare_with_single(ready: Ready, answer: Answer | None, metrics: dict[str, Any], folder: RunDirectory) -> None:
    """Train each task by itself, and add to the run's metrics whether sharing helps it.

    Each task's report on the test rows gets ``single``, and ``metrics`` gets ``single``: by task, by how much the run's
    network is better, and the verdict: helps, hurts, or cannot tell.

    Parameters
    ----------
    ready : Ready
    answer : Answer, optional
        What the run's network says of the test rows, if there are any.
    metrics : dict
        What ``metrics.json`` is to hold.
    folder : RunDirectory
        The run's.
    """
    if not ready.config.trainer.compare_single:
        return
    if answer is None:
        ready.progress.notice("trainer.compare_single: there are no test rows to compare on")
        return
    rows, tasks = compared_rows(metrics), {}
    for name, task in ready.data.tasks.items():
        if task.auxiliary:
            continue
        ready.progress.notice(f"trainer.compare_single: {name} by itself")
        try:
            alone = outputs_alone(ready, name, folder)
        except UserError as error:  # the run itself is trained, and is not lost for a comparison
            ready.progress.notice(f"trainer.compare_single: {name} by itself could not be trained: {error}")
            continue
        own = between(ready, name, answer.outputs, alone, rows)
        verdict = "helps" if own.better else "hurts" if own.worse else "cannot tell"
        tasks[name] = {"metric": own.metric, **own.state(), "verdict": verdict}
        for split, report in _reports(ready, alone, metrics).items():
            if name in report:
                metrics["splits"][split]["tasks"][name]["single"] = report[name]
    metrics["single"] = {"rows": rows, "level": LEVEL, "tasks": tasks}


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


def _reports(ready: Ready, outputs: Outputs, metrics: Mapping[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return another model's metrics on the test rows, and on those of them unseen, by task."""
    data, part, found = ready.data, ready.data.parts["test"], {}
    tasks = {name: data.tasks[name] for name in outputs}
    decided = decide(outputs, tasks, data.reader.hierarchy if len(tasks) == len(data.tasks) else None, None, _quiet)
    for split, rows in (("test", None), (UNSEEN, ~part.duplicates)):
        if split in metrics["splits"]:
            reports = evaluate(outputs, part, tasks, rows, decided)["tasks"]
            found[split] = {
                name: {key: value for key, value in report.items() if key not in ("rows", "constant", "classes")}
                for name, report in reports.items()
                if "skill" in report
            }
    return found


def _quiet(line: str) -> None:
    """Pass over a line that is about the network's own predictions."""
