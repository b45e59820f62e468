"""The figures of a comparison, written into a folder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np

from mtl_cli.config.errors import UserError
from mtl_cli.reports import comparison
from mtl_cli.reports.comparison import Point, draw
from mtl_cli.reports.figures.layout import Axes
from mtl_cli.reports.plots import read_columns
from mtl_cli.runs.directory import file_name, weights_name
from mtl_cli.studies.compare import Comparison
from mtl_cli.studies.measures import Measure
from mtl_cli.studies.results import Result
from mtl_cli.studies.statistics import critical_difference, mean_ranks

MOST_PANELS, MOST_PAIRS = 5, 6
"""Measures, and pairs of tasks, that are drawn."""
FEWEST = 2
"""Repetitions that mean ranks are worth a picture from."""
Weights = dict[str, tuple[np.ndarray, np.ndarray]]


def write_pictures(found: Comparison, folder: Path) -> list[Path]:
    """Draw what there is to draw of a comparison, and return the files."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(str(folder), f"cannot be made: {error.strerror}") from error
    return [draw(folder / f"{stem}.png", on) for stem, on in drawings_of(found).items()]


def drawings_of(found: Comparison) -> dict[str, Callable[[Axes], None]]:
    """Return what there is to draw of a comparison, by the stem of its file's name."""
    shown = [found.by, *(measure for measure in found.measures if measure != found.by)][:MOST_PANELS]
    points = {
        one.name: [Point(row.cells[one.name].mean, row.cells[one.name].half) for row in found.rows] for one in shown
    }
    values = {one.name: [found.repeats.values(one, row.group) for row in found.rows] for one in shown}
    drawn: dict[str, Callable[[Axes], None]] = {
        "intervals": partial(comparison.intervals, labels=found.labels, points=points, values=values)
    }
    if found.values is not None and found.values.shape[1] > 2 and len(found.values) >= FEWEST:
        n, k = found.values.shape
        ranks = [float(rank) for rank in mean_ranks(found.values)]
        title = f"Mean rank of {found.by.name} over {found.repeats.said}; joined groups cannot be told apart (Nemenyi)"
        drawn["critical_difference"] = partial(
            comparison.critical_difference,
            labels=found.labels,
            ranks=ranks,
            critical=critical_difference(n, k),
            title=title,
        )
    weights = {row.group.label: own for row in found.rows if (own := _weights(row.group.results)) is not None}
    tasks = [task for task in found.tasks if all(task in own for own in weights.values())]
    if weights and tasks:
        drawn["weights"] = partial(comparison.weights, tasks=tasks, groups=weights, order=found.labels)
    for first, second in list(combinations(_primary(found), 2))[:MOST_PAIRS]:
        stem = f"pareto_{file_name(str(first.task))}_{file_name(str(second.task))}"
        drawn[stem] = _pair(found, first, second)
    return drawn


def _pair(found: Comparison, first: Measure, second: Measure) -> Callable[[Axes], None]:
    axes = [
        [np.array([one.of(result) for result in row.group.results]) for row in found.rows] for one in (first, second)
    ]
    return partial(
        comparison.pareto, labels=found.labels, first=axes[0], second=axes[1],
        names=(first.name, second.name), signs=(first.sign, second.sign),
    )  # fmt: skip


def _primary(found: Comparison) -> list[Measure]:
    first: dict[str, Measure] = {}
    for measure in found.measures:
        if measure.task is not None:
            first.setdefault(measure.task, measure)
    return list(first.values())


def _weights(results: list[Result]) -> Weights | None:
    """Return the weights of runs, as far as all of them were trained; None if they never change.

    Of a run's members they are the mean.
    """
    every = [own for result in results if (own := _of_run(result))]
    if len(every) < len(results) or not any(
        len(set(row)) > 1 for own in every for key, row in own.items() if key != "step"
    ):
        return None
    steps = min((own["step"] for own in every), key=len)
    names = [key for key in every[0] if key != "step" and all(key in own for own in every)]
    return {
        name.removeprefix("weight_"): (np.array(steps), np.array([own[name][: len(steps)] for own in every]))
        for name in names
    }


def _of_run(result: Result) -> dict[str, list[float]]:
    file = result.path / weights_name(str(result.config.get("balancer", {}).get("name")))
    if not file.is_file():
        return {}
    columns = read_columns(file)
    if not columns.get("step"):
        return {}
    own = {key: values for key, values in columns.items() if key == "step" or key.startswith("weight_")}
    members = columns.get("member")
    if members is None:
        return own
    numbers = list(dict.fromkeys(members))
    pieces = [
        {key: [v for v, m in zip(values, members, strict=True) if m == number] for key, values in own.items()}
        for number in numbers
    ]
    length = min(len(piece["step"]) for piece in pieces)
    return {key: [sum(piece[key][i] for piece in pieces) / len(pieces) for i in range(length)] for key in own}
