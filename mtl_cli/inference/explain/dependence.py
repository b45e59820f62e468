"""Partial dependence: what a model predicts on average when one feature has the same value in all rows.

Friedman 2001 (doi 10.1214/aos/1013203451), equation 51. Rows with values that do not go together count as well: of
correlated features it may say how the model goes on where there are no data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mtl_cli.data.feature import Feature
from mtl_cli.inference.explain.importance import Importance
from mtl_cli.inference.explain.rows import Explained
from mtl_cli.tasks.answer_columns import CLASS_PROBABILITY
from mtl_cli.tasks.task import Task

POINTS, TOP = 15, 3
"""Values of a feature, and features of a task, by default."""


@dataclass(frozen=True)
class Dependence:
    """What is predicted of one task over the values of one feature.

    Parameters
    ----------
    task : str
    feature : Feature
    values : list
        As the user knows them.
    predicted : dict of str to list of float
        The mean prediction at each value: of a number, or by class the mean probability.
    """

    task: str
    feature: Feature
    values: list[Any]
    predicted: dict[str, list[float]]


def top_features(found: Sequence[Importance], top: int = TOP) -> dict[str, list[Feature]]:
    """Return each task's features of most importance, correlated ones apart; none that nothing is lost without."""
    tasks = dict.fromkeys(one.task for one in found)
    ranked = {task: [one for one in found if one.task == task and not one.members and one.lost > 0] for task in tasks}
    return {task: [one.feature for one in own[:top]] for task, own in ranked.items()}


def dependence(rows: Explained, wanted: dict[str, list[Feature]], points: int = POINTS) -> list[Dependence]:
    """Return the partial dependence of each task on its features; nothing where a value alone cannot be set."""
    every = {(feature.dataset, feature.name): feature for own in wanted.values() for feature in own}
    found = []
    for key, feature in every.items():
        tasks = [task for task, own in wanted.items() if key in [(f.dataset, f.name) for f in own]]
        if (grid := rows.model.reader.grid(feature, rows.examples, points)) is None:
            continue
        values, blocks = grid
        of = rows.of(feature)
        means: dict[str, list[dict[str, float]]] = {task: [] for task in tasks}
        for block in blocks:
            changed = rows.inputs.replaced(feature.inputs, torch.from_numpy(block.astype("float32")), of)
            outputs = rows.outputs(changed)
            for task in tasks:
                output = outputs[task] if of is None else outputs[task][of]
                means[task].append(mean_prediction(rows.tasks[task], output))
        found += [
            Dependence(task, feature, values, {name: [mean[name] for mean in each] for name in each[0]})
            for task, each in means.items()
            if each and each[0]
        ]
    order = list(wanted)
    return sorted(found, key=lambda one: order.index(one.task))


def mean_prediction(task: Task, output: np.ndarray) -> dict[str, float]:
    """Return the mean of a prediction: the number, or the probability of each class; nothing of labels of tokens."""
    if task.level != "row":
        return {}
    columns = task.probabilities(output) or task.decode(output)
    labels = {column.name: column.of for column in task.answer_columns() if column.kind == CLASS_PROBABILITY}
    found = {labels[name]: values for name, values in columns.items() if name in labels}
    found = found or {name.removeprefix("predicted_"): v for name, v in columns.items() if v.dtype.kind == "f"}
    return {name: float(values.mean()) for name, values in found.items()}
