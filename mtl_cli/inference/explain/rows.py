"""The rows that a model is explained on: inputs that can be changed, labels, and the loss of each row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from mtl_cli.config.errors import UserError
from mtl_cli.data.base import Examples, Notice, Part
from mtl_cli.data.feature import Feature
from mtl_cli.data.inputs import InputRows
from mtl_cli.inference.evaluate import CHUNK, answered
from mtl_cli.inference.members import Outputs, calibrated
from mtl_cli.inference.trained import TrainedModel
from mtl_cli.tasks.task import Task

MOST_NUMBERS = 2**26
"""Inputs that are held in memory at once; of more rows, some are drawn."""


@dataclass(frozen=True)
class Losses:
    """The losses of the rows of one task that have a label and an answer, m of them.

    Parameters
    ----------
    rows : ndarray of int, shape (m,)
        Which rows these are.
    model, constant : ndarray of shape (m,)
        The model's, and the best constant's.
    counts : ndarray of shape (m,)
        How many labels each row stands for.
    """

    rows: np.ndarray
    model: np.ndarray
    constant: np.ndarray
    counts: np.ndarray

    @property
    def skill(self) -> float:
        """1 − loss / loss of the best constant."""
        return float(1 - self.counts @ self.model / (self.counts @ self.constant))


@dataclass(frozen=True)
class Explained:
    """A model and the rows that it is explained on.

    Parameters
    ----------
    model : TrainedModel
    examples : Examples
        Inputs are dense: see ``InputRows.dense``.
    part : Part
        The same rows with their labels.
    tasks : dict of str to Task
        Those that have labels here.
    """

    model: TrainedModel
    examples: Examples
    part: Part
    tasks: dict[str, Task]

    @property
    def inputs(self) -> InputRows:
        """The inputs of all rows."""
        return self.part.inputs

    def features(self) -> list[Feature]:
        """Return what can be asked about."""
        return self.model.reader.places(self.examples)

    def of(self, feature: Feature) -> np.ndarray | None:
        """Return the rows of a feature's data set, where several are joined."""
        origin = self.examples.origin
        return None if origin is None else np.asarray(origin.of_rows == feature.dataset)

    def tasks_of(self, feature: Feature) -> list[str]:
        """Return the tasks whose rows have a feature."""
        origin = self.examples.origin
        return [name for name in self.tasks if origin is None or origin.of_tasks[name] == feature.dataset]

    def outputs(self, inputs: InputRows) -> Outputs:
        """Return what the model says of inputs, calibrated, as it is measured."""
        return calibrated(self.model.outputs(inputs), self.model.tasks)

    def losses(self, name: str, output: np.ndarray, rows: np.ndarray | None = None) -> Losses:
        """Return the losses of outputs, on the rows that are given, or on all that have a label and an answer."""
        task, target = self.tasks[name], self.part.targets[name]
        if rows is None:
            rows = np.flatnonzero(target.mask & answered(output, self.inputs.lengths))
        values, found = target.values[rows], output[rows]
        shape = values.shape[: 1 if task.level == "row" else 2]
        constant = np.broadcast_to(task.baseline, (*shape, task.outputs))
        counts = np.ones(len(rows)) if target.weights is None else target.weights[rows].astype("float64")
        return Losses(rows, _row_losses(task, found, values), _row_losses(task, constant, values), counts)


def explained(model: TrainedModel, examples: Examples, notice: Notice, seed: int = 0) -> Explained:
    """Return the rows of ``examples`` that a model is explained on: those whose inputs are finite, or some of them.

    Raises
    ------
    UserError
        If they have no labels, or are fewer than two.
    """
    keep = np.ones(len(examples.inputs), bool)
    if (finite := examples.inputs.finite()) is not None:
        keep = finite
    rows = np.flatnonzero(keep)
    most = MOST_NUMBERS // max(model.reader.spec.width, 1) if model.reader.spec.shape else len(rows)
    if len(rows) > most:
        notice(f"{examples.where}: {most:,} of its {len(rows):,} rows are drawn, to fit in memory")
        rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
    if len(rows) < 2:
        raise UserError(examples.where, "has too few rows to explain a model on", "two are needed at least")
    chosen = examples.select(rows)
    part = model.labelled(chosen, notice)
    inputs = part.inputs.dense()
    part = Part(inputs, part.targets, part.ids, part.labels, part.duplicates, part.weights, part.origin)
    whole = Examples(inputs, chosen.table, chosen.ids, chosen.where, None, chosen.origin)
    return Explained(model, whole, part, {name: model.tasks[name] for name in part.targets})


def skills(rows: Explained, outputs: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return the skill of outputs by task, of tasks that have a label here."""
    found = {name: rows.losses(name, outputs[name]) for name in rows.tasks}
    return {name: losses.skill for name, losses in found.items() if len(losses.rows)}


def _row_losses(task: Task, output: np.ndarray, values: np.ndarray) -> np.ndarray:
    losses = np.empty(len(values))
    for start in range(0, len(values), CHUNK):
        some = slice(start, start + CHUNK)
        target, found = torch.from_numpy(values[some]), torch.from_numpy(np.ascontiguousarray(output[some]))
        losses[some] = task.loss(found, target).numpy()
    return losses
