"""The tasks' losses of a batch: per row from the tasks, then the mean over the rows that have a label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch

from mtl_cli.balancing.mixed_precision import full
from mtl_cli.data.batches import Batch
from mtl_cli.tasks.task import Task


class Losses(NamedTuple):
    """The losses of a batch, T tasks and n rows.

    Parameters
    ----------
    rows : Tensor of shape (T, n)
        With their graph.
    means : Tensor of shape (T,)
        Over the rows with a label, without a graph; 0 where there is none.
    counts : Tensor of shape (T,), or int
        Rows with a label.
    shares : Tensor of shape (T, n), optional
        A row's share in the mean, mask / count; None says 1 / n for all.
    """

    rows: torch.Tensor
    means: torch.Tensor
    counts: torch.Tensor | int
    shares: torch.Tensor | None = None

    def upstream(self, factors: torch.Tensor) -> torch.Tensor:
        """Return the gradient of Σ_t f_t L_t at ``rows``, shape (T, n), for factors f of shape (T,)."""
        if self.shares is None:
            n = self.rows.shape[1]
            return (factors / n).to(self.rows.dtype).unsqueeze(1).expand(-1, n)
        return self.shares * factors.to(self.rows.dtype).unsqueeze(1)


def task_losses(tasks: Mapping[str, Task], batch: Batch, outputs: Mapping[str, torch.Tensor]) -> Losses:
    """Return the losses of the heads' outputs."""
    rows = torch.stack([_of_rows(task, full(outputs[name]), batch.targets[name]) for name, task in tasks.items()])
    values = rows.detach()
    n = values.shape[1]
    if not any(mask is not None for mask in batch.masks.values()):
        return Losses(rows, values.mean(1), n)
    masks = [batch.masks[name] for name in tasks]
    every = values.new_ones(n)
    labelled = torch.stack([every if mask is None else mask.to(values.dtype) for mask in masks])
    counts = labelled.sum(1)
    shares = labelled / counts.where(counts > 0, 1.0).unsqueeze(1)
    return Losses(rows, (values * shares).sum(1), counts, shares)


def _of_rows(task: Task, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the loss of each row, (n,): of an ensemble's outputs, (n, members, outputs), the mean of the members'."""
    if task.level != "row" or output.dim() == 2:
        return task.loss(output, target)
    rows, members, _ = output.shape
    return task.loss(output.flatten(0, 1), target.repeat_interleave(members, 0)).view(rows, members).mean(1)
