"""How the methods of a benchmark stand in each problem: figures with intervals, leads over the baseline, ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mtl_cli.studies.compare import ALLOW, Choices, Comparison, common_tasks, compare
from mtl_cli.studies.front import distance, front, hypervolume
from mtl_cli.studies.groups import Repetition, repetition
from mtl_cli.studies.measures import TEST, Measure, of_task
from mtl_cli.studies.protocol import Protocol
from mtl_cli.studies.results import Result
from mtl_cli.studies.selection import Chosen, rivals_of
from mtl_cli.studies.statistics import Interval, error_variance

Row = dict[str, Any]


@dataclass(frozen=True)
class Distance(Measure):
    """How far a run lies behind the front of static weights that was swept with the same repetition.

    Parameters
    ----------
    found : dict of Path to float
        By the run's folder.
    """

    found: dict[Path, float] | None = None

    @property
    def sign(self) -> int:
        return -1

    def of(self, result: Result) -> float:
        return math.nan if self.found is None else self.found.get(result.path, math.nan)


@dataclass(frozen=True)
class Problem:
    """What came out in a problem.

    Parameters
    ----------
    name : str
    chosen : dict of str to Chosen
        Each method by its label.
    found : Comparison
        Of the methods.
    volumes : dict of str to tuple of (float, float)
        By method, mean over repetitions: the volume that the front of static weights dominates, and what the method's
        point adds to it; empty where no weights are swept.
    """

    name: str
    chosen: dict[str, Chosen]
    found: Comparison
    volumes: dict[str, tuple[float, float]]

    def value(self, method: str) -> Interval:
        """Return a method's figure."""
        row = next((row for row in self.found.rows if row.group.label == method), None)
        return Interval(math.nan, math.nan, 0) if row is None else row.cells[self.found.by.name]

    @property
    def noise(self) -> float:
        """How far a mean may be from another of runs that differ in rounding alone: three of its standard errors.

        That is of what is left of the runs' figures without the means of methods and of repetitions: data and splits
        are the same wherever it is run.
        """
        values = self.found.values
        return 0.0 if values is None else 3 * math.sqrt(error_variance(values) / len(values))

    def lead(self, method: str, baseline: str) -> tuple[Interval | None, bool]:
        """Return by how much a method is better than the baseline, and whether that, or the contrary, is told."""
        labels, tested = self.found.labels, self.found.tested
        if tested is None or method == baseline or not {method, baseline} <= set(labels):
            return None, False
        i, j = labels.index(method), labels.index(baseline)
        pair = (min(i, j), max(i, j))
        apart = tested.differences[pair]
        return Interval(apart.mean if i < j else -apart.mean, apart.half, apart.n), pair in tested.told


def stand(protocol: Protocol, name: str, chosen: Sequence[Chosen]) -> list[Problem]:
    """Compare the methods of a problem: by one figure, or by that of each task."""
    named = [one for one in chosen if one.weights is None]
    named += rivals_of(named[0], protocol.rivals)
    results = [replace(result, settings={"method": one.label}) for one in named for result in one.results]
    by, volumes = {name: Measure(TEST)}, dict[str, tuple[float, float]]()
    if protocol.measure == "distance":
        measure, volumes = _distances(named, [one for one in chosen if one.weights is not None])
        by = {name: measure}
    elif protocol.measure == "primary":
        by = {f"{name}.{task}": of_task(task, results[0].primary(task)) for task in common_tasks(results)}
    methods = {one.label: one for one in named}
    return [Problem(key, methods, compare(results, Choices(one, allow=ALLOW)), volumes) for key, one in by.items()]


def _distances(named: Sequence[Chosen], swept: Sequence[Chosen]) -> tuple[Measure, dict[str, tuple[float, float]]]:
    """Return the measure of how far runs lie behind the front, and the volumes by method."""
    swept_in: dict[Repetition, list[np.ndarray]] = {}
    for result in (result for one in swept for result in one.results):
        if np.isfinite(point := point_of(result)).all():
            swept_in.setdefault(repetition(result), []).append(point)
    fronts = {key: (np.array(points), hypervolume(front(np.array(points)))) for key, points in swept_in.items()}
    distances: dict[Path, float] = {}
    volumes = {}
    for one in named:
        found = []
        for result in (result for result in one.results if repetition(result) in fronts):
            (points, volume), point = fronts[repetition(result)], point_of(result)
            if np.isfinite(point).all():
                distances[result.path] = distance(point, points)
                found.append((volume, hypervolume(front(np.vstack([points, point]))) - volume))
        if found:
            volumes[one.label] = (float(np.mean([a for a, _ in found])), float(np.mean([b for _, b in found])))
    return Distance("distance", found=distances), volumes


def point_of(result: Result) -> np.ndarray:
    """Return each task's skill on the test rows; NaN if it is not finite."""
    return np.array([task.get("skill", math.nan) for task in result.tasks.values()])


def records(problems: Sequence[Problem], protocol: Protocol, budget: str) -> list[Row]:
    """Return a row for each method of each problem, the best first; what a reference holds."""
    rows = list[Row]()
    for one in problems:
        for label in one.found.labels:
            value, (lead, told), chosen = one.value(label), one.lead(label, protocol.baseline), one.chosen[label]
            points = np.array([point_of(result) for result in chosen.results]).mean(axis=0)
            tasks = zip(chosen.results[0].tasks, points, strict=True)
            volume, gain = one.volumes.get(label, (None, None))
            rows.append(
                {
                    "budget": budget, "problem": one.name, "method": label, "measure": one.found.by.name,
                    "value": _rounded(value.mean), "tolerance": _rounded(protocol.tolerance + one.noise),
                    "runs": len(chosen.results), "half": _rounded(value.half),
                    "lead": None if lead is None else _rounded(lead.mean),
                    "lead_half": None if lead is None else _rounded(lead.half), "told": told,
                    "skills": [f"{task}={skill:.3f}" for task, skill in tasks],
                    "chosen": [f"{key}={text}" for key, text in chosen.search.items()],
                    "front_volume": _rounded(volume), "adds_volume": _rounded(gain),
                }
            )  # fmt: skip
    return rows


def _rounded(value: float | None) -> float | None:
    """Return a number as it is kept: more decimals are the machine's."""
    return None if value is None or math.isnan(value) else round(value, 5)
