"""The tasks' losses of a batch: per row from the tasks, then the mean over the rows that have a label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import torch

from mtl_cli.balancing.mixed_precision import full
from mtl_cli.data.batches import Batch
from mtl_cli.tasks.task import Level


class Learnt(Protocol):
    """What a training step needs of a task; ``Task`` is one."""

    @property
    def weight(self) -> float:
        """The task's own weight."""

    @property
    def level(self) -> Level:
        """What it has labels for."""

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss of each row, (n,)."""

    def same_loss(self, other: Any) -> bool:
        """Whether ``loss`` is the same for another of its kind."""


class Losses(NamedTuple):
    """The losses of a batch.

    Parameters
    ----------
    with_graph : Tensor of shape (T,)
        Each task's mean over the rows with a label, from which a backward pass may start; 0 where there is none.
    means : Tensor of shape (T,)
        The same numbers alone.
    counts : Tensor of shape (T,), or int
        Rows with a label.
    """

    with_graph: torch.Tensor
    means: torch.Tensor
    counts: torch.Tensor | int

    def total(self, factors: torch.Tensor) -> torch.Tensor:
        """Return Σ_t f_t L_t with its graph, for factors f of shape (T,)."""
        return torch.dot(self.with_graph, factors.to(self.with_graph.dtype))


def task_losses(tasks: Mapping[str, Learnt], batch: Batch, outputs: Mapping[str, torch.Tensor]) -> Losses:
    """Return the losses of the heads' outputs."""
    rows = torch.stack([_of_rows(task, full(outputs[name]), batch.targets[name]) for name, task in tasks.items()])
    n = rows.shape[1]
    if not any(mask is not None for mask in batch.masks.values()):
        means = rows.mean(1)
        return Losses(means, means.detach(), n)
    masks = [batch.masks[name] for name in tasks]
    every = rows.new_ones(n)
    labelled = torch.stack([every if mask is None else mask.to(rows.dtype) for mask in masks])
    counts = labelled.sum(1)
    means = (rows * (labelled / counts.where(counts > 0, 1.0).unsqueeze(1))).sum(1)
    return Losses(means, means.detach(), counts)


def _of_rows(task: Learnt, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the loss of each row, (n,): of an ensemble's outputs, (n, members, outputs), the mean of the members'."""
    if task.level != "row" or output.dim() == 2:
        return task.loss(output, target)
    rows, members, _ = output.shape
    return task.loss(output.flatten(0, 1), target.repeat_interleave(members, 0)).view(rows, members).mean(1)
