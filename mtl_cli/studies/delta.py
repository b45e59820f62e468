"""Δm: by how much multi-task runs are better than single-task ones, in percent of each task's metric.

Δm = 100 / T · Σ_t (−1)^{l_t} (M_t − B_t) / |B_t|, where M_t is a run's metric in task t, B_t the baseline's, and l_t is
1 if less is better (Maninis et al. 2019, arXiv 1904.08918, equation 4).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mtl_cli.studies.groups import Group, Repetition, repetition
from mtl_cli.studies.measures import Measure
from mtl_cli.studies.results import Result
from mtl_cli.studies.statistics import Interval, interval


def delta(group: Group, baseline: Sequence[Result] | None, tasks: Sequence[Measure]) -> Interval:
    """Return a group's Δm.

    Parameters
    ----------
    group : Group
    baseline : sequence of Result, optional
        A run is set against that of the same seed on the same rows, or else against their mean. By default each run is
        set against what ``trainer.compare_single`` measured beside it.
    tasks : sequence of Measure
        One of each task.
    """
    found = []
    for result in group.results:
        against = _beside(result, tasks) if baseline is None else _matching(result, baseline, tasks)
        found.append(of_run({task.name: task.of(result) for task in tasks}, against, tasks))
    return interval(found)


def of_run(values: Mapping[str, float], baseline: Mapping[str, float], tasks: Sequence[Measure]) -> float:
    """Return the Δm of numbers by measure; tasks in which the baseline is 0 or unknown are left out."""
    parts = [
        task.sign * (values[task.name] - baseline[task.name]) / abs(baseline[task.name])
        for task in tasks
        if math.isfinite(baseline[task.name]) and baseline[task.name] != 0
    ]
    return 100 * sum(parts) / len(parts) if parts else math.nan


def _matching(result: Result, baseline: Sequence[Result], tasks: Sequence[Measure]) -> dict[str, float]:
    own: tuple[Repetition, str] = (repetition(result), result.split)
    matching = [other for other in baseline if (repetition(other), other.split) == own] or list(baseline)
    return {task.name: sum(task.of(other) for other in matching) / len(matching) for task in tasks}


def _beside(result: Result, tasks: Sequence[Measure]) -> dict[str, float]:
    found = {task.name: result.single.get(str(task.task), {}).get(task.metric) for task in tasks}
    return {name: math.nan if value is None else float(value) for name, value in found.items()}
