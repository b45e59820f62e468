"""Markers: what each feature adds to the log-odds of a class, in the rows that have it as their label.

It is the mean over these rows of their integrated gradients (Sundararajan, Taly & Yan 2017, arXiv 1703.01365), from the
mean of all rows to the row, which ``attribution`` has of a single row. Summed over the features, it is the mean
log-odds of the class in its rows, less those of the mean row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from mtl_cli.config.errors import UserError
from mtl_cli.data.base import Notice
from mtl_cli.data.feature import Feature
from mtl_cli.data.inputs import DenseRows
from mtl_cli.inference.explain.attribution import STEPS, scores
from mtl_cli.inference.explain.rows import Explained

KINDS = ("binary", "multiclass", "multilabel")
MOST_ROWS = 200
"""Of a class."""
AT_ONCE = 2**22
"""Inputs that go through the network together."""


@dataclass(frozen=True)
class Marker:
    """What one feature adds to the log-odds of one class.

    Parameters
    ----------
    task, label : str
    feature : Feature
    rows : int
        Those with the label that it is the mean of.
    adds : float
    inside, outside : float
        The feature's mean in rows with the label and in the other labelled ones, as the network reads it; NaN for one
        that is several inputs.
    """

    task: str
    label: str
    feature: Feature
    rows: int
    adds: float
    inside: float
    outside: float


@dataclass(frozen=True)
class _Class:
    """A class: which output its log-odds are (or, where ``sign`` is −1, those against it), and which rows have it."""

    label: str
    output: int
    sign: float
    rows: np.ndarray


def markers(rows: Explained, notice: Notice, seed: int = 0) -> list[Marker]:
    """Return the markers of every class that has rows, those that add most first.

    Raises
    ------
    UserError
        If the tasks or the inputs are none that have markers.
    """
    if not isinstance(rows.inputs, DenseRows) or rows.examples.origin is not None:
        raise UserError("--markers", "is for tables, cells and images by themselves", "--method permutation")
    known = [name for name, task in rows.tasks.items() if task.kind in KINDS]
    if not known:
        kinds = ", ".join(dict.fromkeys(task.kind for task in rows.tasks.values()))
        raise UserError("--markers", f"is for classes, and the tasks are of kind {kinds}")
    random, features, found = np.random.default_rng(seed), rows.features(), []
    inputs = rows.inputs.values.float()
    for name in known:
        labelled = np.flatnonzero(rows.part.targets[name].mask)
        for one in _classes(rows, name):
            own = one.rows
            if not len(own):
                notice(f"task {name}: no row has the label {one.label}")
                continue
            if len(own) > MOST_ROWS:
                own = np.sort(random.choice(own, MOST_ROWS, replace=False))
            adds = one.sign * _mean_gradients(rows, name, one.output, inputs, own)
            others = np.setdiff1d(labelled, one.rows)
            inside, outside = (_means(inputs, chosen) for chosen in (one.rows, others))
            ranked = []
            for feature in features:
                places = list(feature.inputs)
                alone = (inside[places[0]], outside[places[0]]) if len(places) == 1 else (np.nan, np.nan)
                ranked.append(Marker(name, one.label, feature, len(own), float(adds[places].sum()), *map(float, alone)))
            found += sorted(ranked, key=lambda marker: -marker.adds)
    return found


def _classes(rows: Explained, name: str) -> Iterator[_Class]:
    task, target = rows.tasks[name], rows.part.targets[name]
    for number, label in enumerate(task.class_labels):
        values, mask = target.values, target.mask
        has = values[:, number] > 0.5 if task.kind == "multilabel" else values == number
        output, sign = (0, 1.0 if number else -1.0) if task.kind == "binary" else (number, 1.0)
        yield _Class(str(label), output, sign, np.flatnonzero(has & mask))


def _mean_gradients(rows: Explained, name: str, output: int, inputs: torch.Tensor, chosen: np.ndarray) -> np.ndarray:
    """Return the mean of the integrated gradients of some rows, a number for each input.

    (x − x₀) ∘ ∫ ∇f(x₀ + t (x − x₀)) dt from 0 to 1, by the midpoint rule; x₀ is the mean row.
    """
    output_of, baseline = scores(rows.model, name, output), inputs.mean(0, keepdim=True)
    total = torch.zeros(inputs[0].numel(), dtype=torch.float64)
    size = max(1, AT_ONCE // inputs[0].numel())
    for start in range(0, len(chosen), size):
        way = inputs[torch.from_numpy(chosen[start : start + size])] - baseline
        for step in range(STEPS):
            place = (baseline + (step + 0.5) / STEPS * way).requires_grad_()
            (gradient,) = torch.autograd.grad(output_of(place).sum(), place)
            total += (gradient * way).double().flatten(1).sum(0)
    return np.asarray((total / (len(chosen) * STEPS)).numpy())


def _means(inputs: torch.Tensor, chosen: np.ndarray) -> np.ndarray:
    if not len(chosen):
        return np.full(inputs[0].numel(), np.nan)
    return np.asarray(inputs[torch.from_numpy(chosen)].flatten(1).double().mean(0).numpy())
