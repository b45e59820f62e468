"""What a method is judged by: its runs at the point of the search that did best on the validation rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mtl_cli.runs import directory
from mtl_cli.runs.records import read_record
from mtl_cli.studies.groups import labels_of
from mtl_cli.studies.protocol import Wanted
from mtl_cli.studies.results import Result

Settings = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Chosen:
    """A method at the point that was chosen for it.

    Parameters
    ----------
    label : str
        What the method is called beside the others.
    search : dict of str to str
        What was chosen.
    results : list of Result
        A run for each repetition, in their order.
    weights : list of float, optional
        Of the tasks, if it is a point of the sweep of static weights.
    """

    label: str
    search: Mapping[str, str]
    results: list[Result]
    weights: list[float] | None = None


@dataclass(frozen=True)
class Rival(Result):
    """A model of ``trainer.baselines`` as a run of its own, on the rows of the run that it was measured beside.

    Parameters
    ----------
    model : str
    """

    model: str = ""

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Its metrics on the test rows; there are no others."""
        found = read_record(self.path / directory.METRICS)
        tasks = found["splits"]["test"]["tasks"]
        own = {
            name: task["baselines"][self.model]
            for name, task in tasks.items()
            if self.model in task.get("baselines", {})
        }
        skills = [task["skill"] for task in own.values()]
        score = None if None in skills or not skills else sum(skills) / len(skills)
        return {"score": None, "primary": found["primary"], "splits": {"test": {"score": score, "tasks": own}}}


def rivals_of(chosen: Chosen, models: Sequence[str]) -> list[Chosen]:
    """Return the models that were measured beside a method's runs."""
    return [Chosen(name, {}, [Rival(one.path, one.settings, name) for one in chosen.results]) for name in models]


def choose(runs: Sequence[tuple[Wanted, Result]]) -> list[Chosen]:
    """Return each method at the point of the search with the best mean score over all repetitions.

    The score is the mean of the tasks' skills on the validation rows, with static weights the mean weighted by them. A
    point at which a run failed is out, unless that is so at all of them: then only repetitions count that are done.
    """
    repeats = list(dict.fromkeys(tuple(wanted.repeat.items()) for wanted, _ in runs))
    weights = {tuple(wanted.method.items()): wanted.weights for wanted, _ in runs}
    found: dict[Settings, dict[Settings, dict[Settings, Result]]] = {}
    for wanted, result in runs:
        own = found.setdefault(tuple(wanted.method.items()), {}).setdefault(tuple(wanted.search.items()), {})
        if result.done and result.metrics:
            own[tuple(wanted.repeat.items())] = result
    there = [method for method, points in found.items() if any(points.values())]
    chosen = []
    for method, label in _labels(there, weights).items():
        most = max(map(len, found[method].values()))
        points = {search: own for search, own in found[method].items() if len(own) == most}
        scores = {search: _score(list(own.values()), weights[method]) for search, own in points.items()}
        best = max(scores, key=scores.__getitem__)
        results = [points[best][repeat] for repeat in repeats if repeat in points[best]]
        chosen.append(Chosen(label, dict(best), results, weights[method]))
    return chosen


def _labels(methods: Sequence[Settings], weights: Mapping[Settings, list[float] | None]) -> dict[Settings, str]:
    """Return what the methods are called: by the value of their first word, if that tells them apart."""
    named = [method for method in methods if weights[method] is None]
    first = [value for (_, value), *_ in named]
    if len(set(first)) < len(named) or len({key for (key, _), *_ in named}) > 1:
        first = labels_of([dict(method) for method in named])
    labels = dict(zip(named, first, strict=True))
    return {method: labels.get(method) or str(weights[method]) for method in methods}


def _score(results: Sequence[Result], weights: Sequence[float] | None) -> float:
    found = [_of_run(result, weights) for result in results]
    return sum(found) / len(found)


def _of_run(result: Result, weights: Sequence[float] | None) -> float:
    """Return a run's score on the validation rows; minus infinity if it has none."""
    if weights is None:
        return -math.inf if result.score is None else result.score
    tasks = result.splits.get("val", {}).get("tasks", {}).values()
    skills = [-math.inf if task["skill"] is None else float(task["skill"]) for task in tasks]
    return sum(weight * skill for weight, skill in zip(weights, skills, strict=True)) / sum(weights)
