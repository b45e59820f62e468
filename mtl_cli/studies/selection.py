"""What a method is judged by: its runs at the point of the search that did best on the validation rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mtl_cli.studies.groups import labels_of
from mtl_cli.studies.protocol import Wanted, weights_of
from mtl_cli.studies.results import Result

Settings = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Chosen:
    """A method at the point that was chosen for it.

    Parameters
    ----------
    label : str
        What the method is called beside the others.
    method, search : dict of str to str
        What its words set, and what was chosen.
    results : list of Result
        A run for each repetition, in their order.
    """

    label: str
    method: Mapping[str, str]
    search: Mapping[str, str]
    results: list[Result]

    @property
    def weights(self) -> list[float] | None:
        """The static weights, if it is a point of the sweep of them."""
        return weights_of(self.method)


def choose(runs: Sequence[tuple[Wanted, Result]]) -> list[Chosen]:
    """Return each method at the point of the search with the best mean score over all repetitions.

    The score is the mean of the tasks' skills on the validation rows, with static weights the mean weighted by them. A
    point at which a run failed is out, unless that is so at all of them: then only repetitions count that are done.
    """
    repeats = list(dict.fromkeys(tuple(wanted.repeat.items()) for wanted, _ in runs))
    found: dict[Settings, dict[Settings, dict[Settings, Result]]] = {}
    for wanted, result in runs:
        own = found.setdefault(tuple(wanted.method.items()), {}).setdefault(tuple(wanted.search.items()), {})
        if result.done and result.metrics:
            own[tuple(wanted.repeat.items())] = result
    chosen = []
    for method, label in _labels([method for method, points in found.items() if any(points.values())]).items():
        most = max(map(len, found[method].values()))
        points = {search: own for search, own in found[method].items() if len(own) == most}
        scores = {search: _score(dict(method), list(own.values())) for search, own in points.items()}
        best = max(scores, key=scores.__getitem__)
        results = [points[best][repeat] for repeat in repeats if repeat in points[best]]
        chosen.append(Chosen(label, dict(method), dict(best), results))
    return chosen


def _labels(methods: Sequence[Settings]) -> dict[Settings, str]:
    """Return what the methods are called; points of a sweep of weights by these."""
    named = [method for method in methods if weights_of(dict(method)) is None]
    labels = dict(zip(named, labels_of([dict(method) for method in named]), strict=True))
    return {method: labels.get(method) or str(weights_of(dict(method))) for method in methods}


def _score(method: Mapping[str, str], results: Sequence[Result]) -> float:
    found = [_of_run(result, weights_of(method)) for result in results]
    return sum(found) / len(found)


def _of_run(result: Result, weights: Sequence[float] | None) -> float:
    """Return a run's score on the validation rows; minus infinity if it has none."""
    if weights is None:
        return -math.inf if result.score is None else result.score
    tasks = result.splits.get("val", {}).get("tasks", {}).values()
    skills = [-math.inf if task["skill"] is None else float(task["skill"]) for task in tasks]
    return sum(weight * skill for weight, skill in zip(weights, skills, strict=True)) / sum(weights)
