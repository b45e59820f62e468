"""What a model is worth on some rows: losses, skill, score and metrics. The one place where the score is defined."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from mtl_cli.data.batches import Batch
from mtl_cli.data.prepared import Part
from mtl_cli.models.network import Network
from mtl_cli.tasks.task import Task

CHUNK = 16_384
"""Rows per forward pass where no gradient is needed."""


def skill(loss: float, baseline: float) -> float:
    """Return 1 − loss / baseline loss: R² for squared error, McFadden's pseudo-R² for likelihoods.

    Parameters
    ----------
    loss : float
        The model's mean loss over some rows.
    baseline : float
        That of the best constant predictor of the training rows, over the same rows.
    """
    return 1 - loss / baseline if baseline > 0 else math.nan


def score(skills: Mapping[str, float], tasks: Mapping[str, Task]) -> float:
    """Return the mean skill over the tasks that are not auxiliary; over all if all are."""
    main = [name for name, task in tasks.items() if not task.auxiliary] or list(tasks)
    known = [skills[name] for name in main if not math.isnan(skills.get(name, math.nan))]
    return sum(known) / len(known) if known else math.nan


@torch.no_grad()
def outputs(model: Network, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return each task's outputs, in evaluation mode, a chunk of rows at a time."""
    was_training = model.training
    model.eval()
    chunks = [model(chunk) for chunk in torch.split(inputs, CHUNK)]
    model.train(was_training)
    return {name: torch.cat([chunk[name] for chunk in chunks]) for name in model.heads}


class Validation:
    """Scores a model on one part during training, with one wait for the device. Some row must have a label.

    Parameters
    ----------
    batch : Batch
        The whole part.
    tasks : dict of str to Task
    """

    def __init__(self, batch: Batch, tasks: dict[str, Task]) -> None:
        self.batch = batch
        self.rows = {name: None if mask is None else mask.nonzero()[:, 0] for name, mask in batch.masks.items()}
        labelled = [name for name, rows in self.rows.items() if rows is None or len(rows)]
        self.tasks = {name: task for name, task in tasks.items() if name in labelled}
        self.all_tasks = tasks
        constant = {
            name: torch.from_numpy(task.baseline).to(batch.inputs.device).expand(len(batch), -1)
            for name, task in tasks.items()
        }
        self.baselines = dict(zip(self.tasks, self._measure(constant)[0].tolist(), strict=True))

    def _measure(self, found: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        losses, metrics = [], []
        for name, task in self.tasks.items():
            output, target, rows = found[name], self.batch.targets[name], self.rows[name]
            if rows is not None:
                output, target = output[rows], target[rows]
            losses.append(task.loss(output, target).mean())
            metrics.append(task.monitor(output, target))
        return torch.stack(losses), torch.stack(metrics)

    def __call__(self, model: Network) -> dict[str, float]:
        """Return ``val_loss_<task>``, ``val_<metric>_<task>`` and ``val_score``."""
        losses, metrics = torch.stack(self._measure(outputs(model, self.batch.inputs))).tolist()
        row = {f"val_loss_{name}": loss for name, loss in zip(self.tasks, losses, strict=True)}
        row |= {
            f"val_{task.primary}_{name}": metric
            for (name, task), metric in zip(self.tasks.items(), metrics, strict=True)
        }
        skills = {name: skill(loss, self.baselines[name]) for name, loss in zip(self.tasks, losses, strict=True)}
        return row | {"val_score": score(skills, self.all_tasks)}


def evaluate(
    found: Mapping[str, np.ndarray], part: Part, tasks: Mapping[str, Task], rows: np.ndarray | None = None
) -> dict[str, Any]:
    """Return the metrics of some rows, with those of the best constant predictor beside them.

    Parameters
    ----------
    found : mapping of str to ndarray
        The model's outputs by task.
    part : Part
    tasks : mapping of str to Task
    rows : ndarray of bool, optional
        Which rows of the part to take; all if None.

    Returns
    -------
    dict
        ``rows``, ``score``, and per task ``rows``, ``loss``, ``skill``, the metrics, and ``constant`` with the constant
        predictor's.
    """
    chosen = np.ones(len(part), bool) if rows is None else rows
    report: dict[str, Any] = {"rows": int(chosen.sum()), "score": math.nan, "tasks": {}}
    skills = {}
    for name, task in tasks.items():
        labelled = chosen & part.targets[name].mask
        if not labelled.any():
            report["tasks"][name] = {"rows": 0}
            continue
        values, output = part.targets[name].values[labelled], found[name][labelled]
        constant = np.repeat(task.baseline[None], len(values), axis=0)
        loss, baseline = _mean_loss(task, output, values), _mean_loss(task, constant, values)
        skills[name] = skill(loss, baseline)
        report["tasks"][name] = {
            "rows": len(values),
            "loss": loss,
            "skill": skills[name],
            **task.metrics(output, values),
            "constant": {"loss": baseline, **task.metrics(constant, values)},
        }
    report["score"] = score(skills, tasks)
    return report


def _mean_loss(task: Task, output: np.ndarray, values: np.ndarray) -> float:
    return float(task.loss(torch.from_numpy(output), torch.from_numpy(values)).mean())
