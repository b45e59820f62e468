"""What is compared of runs: numbers of each of them, and the repetitions that means are over."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mtl_cli.inference.evaluate import LOWER_IS_BETTER
from mtl_cli.studies.groups import Group, Repetition
from mtl_cli.studies.results import Result
from mtl_cli.studies.statistics import Interval, interval

SCORE, TEST = "score", "test"


@dataclass(frozen=True)
class Measure:
    """A number of each run.

    Parameters
    ----------
    name : str
        ``score``, on the validation rows; ``test``, the mean skill on the test rows; or ``TASK.METRIC``.
    task, metric : str, optional
        Of a metric.
    """

    name: str
    task: str | None = None
    metric: str = "skill"

    @property
    def sign(self) -> int:
        """1 if more is better, else −1."""
        return -1 if self.metric in LOWER_IS_BETTER else 1

    def of(self, result: Result) -> float:
        """Return a run's number; NaN if it has none."""
        if self.task is not None:
            value = result.tasks.get(self.task, {}).get(self.metric)
        elif self.name == SCORE:
            value = result.score
        else:
            value = result.splits.get("test", {}).get("score")
        return math.nan if value is None else float(value)


def of_task(task: str, metric: str) -> Measure:
    """Return the measure of a task's metric."""
    return Measure(f"{task}.{metric}", task, metric)


@dataclass(frozen=True)
class Repeats:
    """What means are over: runs of several seeds, or the folds of one run each.

    Parameters
    ----------
    folds : bool
    paired : bool
        Whether all groups have the same repetitions, on the same rows.
    count : tuple of int
        Repetitions of each group.
    share : float
        Rows held out to a row trained on, if they are folds; else 0.
    notes : list of str
        What the user should know.
    """

    folds: bool
    paired: bool
    count: tuple[int, ...]
    share: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def said(self) -> str:
        """What means are over, in words."""
        fewest, most = min(self.count), max(self.count)
        number = str(most) if fewest == most else f"{fewest} to {most}"
        return f"{number} {'folds' if self.folds else 'run' if most == 1 else 'seeds'}"

    def values(self, measure: Measure, group: Group) -> np.ndarray:
        """Return a group's numbers, a repetition each, in the order of the repetitions."""
        if self.folds and measure.name == SCORE:
            return np.array(list(_folds(group.results[0]).values()))
        ordered = sorted(zip(group.repetitions(), group.results, strict=True), key=lambda pair: pair[0])
        return np.array([measure.of(result) for _, result in ordered])

    def table(self, measure: Measure, groups: Sequence[Group]) -> np.ndarray | None:
        """Return the numbers of groups with the same repetitions, repetitions × groups; None if they have others."""
        if not self.paired or len(groups) < 2:
            return None
        values = np.array([self.values(measure, group) for group in groups]).T
        return values if len(values) > 1 and np.isfinite(values).all() else None

    def interval(self, measure: Measure, group: Group) -> Interval:
        """Return a group's mean of a measure."""
        if self.folds and measure.task is not None:
            tasks = group.results[0].metrics.get("cross_validation", {}).get("tasks", {})
            if (found := tasks.get(measure.task, {}).get(measure.metric)) is not None:
                mean, high = (math.nan if found[key] is None else found[key] for key in ("mean", "high"))
                return Interval(mean, high - mean, self.count[0])
        share = self.share if self.folds and measure.name == SCORE else 0.0
        return interval([float(value) for value in self.values(measure, group)], share)


def find_repeats(groups: Sequence[Group]) -> Repeats:
    """Return what means of the groups are over: seeds, if a group has several runs; else the folds of its only run."""
    folds = [_folds(group.results[0]) for group in groups]
    if all(len(group.results) == 1 for group in groups) and all(len(own) > 1 for own in folds):
        first = folds[0]
        same = all(own.keys() == first.keys() for own in folds)
        paired = same and len({group.results[0].split for group in groups}) == 1
        share = 1 / (max(fold for _, fold in first) - 1)
        return Repeats(True, paired, tuple(len(own) for own in folds), share)
    count, every = tuple(len(group.results) for group in groups), [group.repetitions() for group in groups]
    notes = []
    if any(len(set(own)) < len(own) for own in every):
        paired = False
        notes.append("some runs have the seed of another in their group: differences are not paired")
    else:
        splits = [_splits(group) for group in groups]
        paired = all(own == splits[0] for own in splits)
        if not paired and max(count) > 1:
            notes.append("the groups have other seeds, or other rows with a seed: differences are not paired")
    return Repeats(False, paired, count, 0.0, notes)


def _splits(group: Group) -> dict[Repetition, str]:
    return {own: result.split for own, result in zip(group.repetitions(), group.results, strict=True)}


def _folds(result: Result) -> dict[tuple[int, int], float]:
    """Return the scores of a run's members on the folds held out of them, by repeat and fold, from 1."""
    found: dict[tuple[int, int], list[float]] = {}
    for member in result.metrics.get("members", []):
        if member["fold"] is not None and member["score"] is not None:
            found.setdefault((member["repeat"], member["fold"]), []).append(member["score"])
    return {place: sum(scores) / len(scores) for place, scores in sorted(found.items())}
