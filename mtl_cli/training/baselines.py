"""Baselines: scikit-learn's models of one task each, trained on the run's rows to be compared with its network.

They read the inputs that the network reads, learn the targets that its loss takes, with the same weights of rows and
classes, and have scikit-learn's default settings. Each learns from all rows that are not test rows and have a label of
the task: those that trained the network, and those that chose its epoch. No prediction of the run is made with them.
Of a family of sequences, which a network reads as tokens, ridge reads which differences from the reference a row has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mtl_cli.config.schema import FAMILY_BASELINE
from mtl_cli.data.base import Part, Prepared
from mtl_cli.models.family_linear import FamilyInputs
from mtl_cli.tasks.task import Task

if TYPE_CHECKING:
    from mtl_cli.data.inputs import InputSpec

AUTO = ("ridge", "forest", "boosting")
"""Those of ``trainer.baselines: auto``, the cheapest first to be left out last."""
AUTO_ROWS = 50_000
"""Rows to learn from, and below ``AUTO_CELLS`` numbers of them in a table, up to which ``auto`` makes any."""
AUTO_CELLS = 20_000_000
STEP_SECONDS = 1e-3
"""What a step of training is taken to cost: measured for the default network on one core, early stopping counted in."""
LEAST = 1e-6
"""A class is given at least this probability: a forest's 0 would cost it an infinite loss."""


@dataclass(frozen=True)
class Baseline:
    """One of the models.

    Parameters
    ----------
    regressor, classifier : callable
        Make it, with a seed.
    seconds : callable
        Roughly what one costs to train on a core: of rows, inputs, and classes (0: a number is learnt).
    """

    regressor: Callable[[int], Any]
    classifier: Callable[[int], Any]
    seconds: Callable[[int, int, int], float]


def _linear(seed: int) -> Any:
    from sklearn.linear_model import Ridge

    return Ridge()


def _logistic(seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000)


def _ensemble(name: str) -> Callable[[int], Any]:
    def make(seed: int) -> Any:
        import sklearn.ensemble

        return vars(sklearn.ensemble)[name](random_state=seed)

    return make


def _trees(number: float, classes: float) -> Callable[[int, int, int], float]:
    """Return the cost of 100 whole trees: each level sorts all rows by the inputs that are tried."""

    def seconds(rows: int, inputs: int, of: int) -> float:
        return rows * math.log2(rows + 1) * (classes * math.sqrt(inputs) if of else number * inputs)

    return seconds


BASELINES = {
    "ridge": Baseline(_linear, _logistic, lambda n, d, c: 1e-9 * n * d * (d if c == 0 else 100 * c)),
    "forest": Baseline(
        _ensemble("RandomForestRegressor"), _ensemble("RandomForestClassifier"), _trees(6e-6, 1e-5)
    ),
    "extra_trees": Baseline(
        _ensemble("ExtraTreesRegressor"), _ensemble("ExtraTreesClassifier"), _trees(3e-6, 4e-6)
    ),
    "boosting": Baseline(
        _ensemble("HistGradientBoostingRegressor"),
        _ensemble("HistGradientBoostingClassifier"),
        lambda n, d, c: (0.2 + d * (0.007 + 1.6e-6 * n)) * (1 if c <= 2 else c),
    ),
}  # fmt: skip
"""By the names of ``config.schema.BASELINES``; the constants of their costs were measured."""


def chosen(asked: str | Sequence[str], data: Prepared, steps: int) -> list[str]:
    """Return which baselines a run has.

    ``auto`` takes as many of ``AUTO`` as together are expected to cost no more than the training itself, of tables up
    to a size. It goes by sizes, not by a clock, so that a run has the same ones wherever it is made.

    Parameters
    ----------
    asked : str or sequence of str
        ``trainer.baselines``.
    data : Prepared
    steps : int
        Of the training, at most.
    """
    tasks, spec = learnt(data), data.reader.spec
    if asked == "none" or "test" not in data.parts or not (spec.kind == "features" or spec.reference) or not tasks:
        return []
    if not isinstance(asked, str):
        return list(dict.fromkeys(asked))
    parts, inputs = _parts(data), spec.width
    rows = sum(map(len, parts))
    if rows > AUTO_ROWS:
        return []
    if spec.reference:
        return [FAMILY_BASELINE]
    if rows * inputs > AUTO_CELLS:
        return []
    found, left = [], steps * STEP_SECONDS
    costs = {name: sum(_seconds(BASELINES[name], task, parts, inputs) for task in tasks.values()) for name in AUTO}
    for name in sorted(AUTO, key=costs.__getitem__):
        if costs[name] <= left:
            found.append(name)
            left -= costs[name]
    return sorted(found, key=AUTO.index)


def why_none(data: Prepared) -> str:
    """Return why ``chosen`` has none of those that were asked for."""
    if "test" not in data.parts:
        return "there are no test rows to measure baselines on"
    if not learnt(data):
        return "no model of scikit-learn's learns such labels"
    return "these sequences are no family, whose few differences ridge would read"


def outputs_of(name: str, data: Prepared, seed: int) -> dict[str, np.ndarray]:
    """Train a baseline for each task that it can learn, and return what it says of the test rows, as outputs."""
    from threadpoolctl import threadpool_limits

    parts, baseline, found = _parts(data), BASELINES[name], {}
    train, test = _inputs(parts, data.reader.spec), _inputs([data.parts["test"]], data.reader.spec)
    with threadpool_limits(1):
        for task_name, task in learnt(data).items():
            values, rows, weights = labelled(task_name, task, parts)
            found[task_name] = _predict(baseline, task, train[rows], values, weights, test, seed)
    return found


def learnt(data: Prepared) -> dict[str, Task]:
    """Return the tasks that one of scikit-learn's models can learn."""
    return {name: task for name, task in data.tasks.items() if task.learns is not None and task.level == "row"}


def _predict(
    baseline: Baseline,
    task: Task,
    inputs: Any,
    values: np.ndarray,
    weights: np.ndarray | None,
    test: Any,
    seed: int,
) -> np.ndarray:
    if task.learns == "number":
        return task.output_of(baseline.regressor(seed).fit(inputs, values, weights).predict(test))
    if task.learns == "class":
        return task.output_of(_stated(baseline.classifier(seed), inputs, values, weights, test, task.number_of_classes))
    columns = []
    for i, known in enumerate((values >= 0).T):
        own = None if weights is None else weights[known, i]
        columns.append(_stated(baseline.classifier(seed), inputs[known], values[known, i], own, test, 2))
    return task.output_of(np.stack([column[:, 1] for column in columns], axis=1))


def _stated(
    model: Any, inputs: Any, values: np.ndarray, weights: np.ndarray | None, test: Any, classes: int
) -> np.ndarray:
    """Return the probability of each class, (rows, classes), also of those that no row to learn from has."""
    numbers = values.astype("int64")
    if len(np.unique(numbers)) == 1:
        stated = np.ones((test.shape[0], 1))
        there = numbers[:1]
    else:
        model.fit(inputs, numbers, weights)
        stated, there = model.predict_proba(test), model.classes_
    found = np.zeros((test.shape[0], classes))
    found[:, there] = stated
    found = found.clip(LEAST, 1 - LEAST)
    return np.asarray(found / found.sum(1, keepdims=True))


def _parts(data: Prepared) -> list[Part]:
    return [part for name, part in data.parts.items() if name != "test"]


def _inputs(parts: Sequence[Part], spec: InputSpec) -> Any:
    """Return what a baseline reads, (n, inputs): an array; or of a family of sequences, a sparse one."""
    if spec.reference:
        from scipy.sparse import vstack

        reads = FamilyInputs(spec.reference, spec.shape[0])
        return vstack([reads.table(part.inputs) for part in parts]).tocsr()
    found = []
    for part in parts:
        taken = part.inputs.take(slice(None))
        assert not isinstance(taken, tuple)
        found.append(np.asarray(taken.cpu().numpy()))
    return np.concatenate(found)


def labelled(name: str, task: Task, parts: Sequence[Part]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return the labels of the rows that have one, which rows these are, and how much each label counts."""
    rows = np.concatenate([part.targets[name].mask for part in parts])
    values = np.concatenate([part.targets[name].values for part in parts])[rows]
    weights = task.label_weights(values)
    if any(name in part.weights for part in parts):
        own = np.concatenate([part.weights.get(name, np.ones(len(part), "float32")) for part in parts])[rows]
        own = own.reshape(-1, *[1] * (values.ndim - 1)) * np.ones_like(values, dtype="float32")
        weights = own if weights is None else weights * own
    return values, rows, weights


def _seconds(baseline: Baseline, task: Task, parts: Sequence[Part], inputs: int) -> float:
    rows = sum(int(part.targets[task.name].mask.sum()) for part in parts)
    if task.learns == "labels":
        return task.outputs * baseline.seconds(rows, inputs, 2)
    return baseline.seconds(rows, inputs, 0 if task.learns == "number" else task.number_of_classes)
