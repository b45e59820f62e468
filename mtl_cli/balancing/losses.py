"""The tasks' losses of a batch: per row from the tasks, and the mean over the rows that have a label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch

from mtl_cli.balancing.mixed_precision import full
from mtl_cli.data.batches import Batch
from mtl_cli.tasks.task import Learnt


class Losses(NamedTuple):
    """The losses of a batch.

    Parameters
    ----------
    rows : Tensor of shape (T, n)
        Each row's, with their graph.
    shares : Tensor of shape (T, n), or None
        How much each row counts in its task's mean; None says 1/n for all.
    means : Tensor of shape (T,)
        Over the rows with a label; 0 where there is none.
    counts : Tensor of shape (T,), or int
        Rows with a label.
    """

    rows: torch.Tensor
    shares: torch.Tensor | None
    means: torch.Tensor
    counts: torch.Tensor | int

    def total(self, factors: torch.Tensor) -> torch.Tensor:
        """Return Σ_t f_t L_t, with its graph, for factors f of shape (T,)."""
        means = self.rows.mean(1) if self.shares is None else (self.rows * self.shares).sum(1)
        return torch.dot(means, factors.to(means.dtype))


def task_losses(tasks: Mapping[str, Learnt], batch: Batch, outputs: Mapping[str, torch.Tensor]) -> Losses:
    """Return the losses of the heads' outputs."""
    found = [_of_rows(name, task, batch, full(outputs[name])) for name, task in tasks.items()]
    rows, masks = torch.stack([losses for losses, _ in found]), [mask for _, mask in found]
    values = rows.detach()
    if not any(mask is not None for mask in masks):
        return Losses(rows, None, values.mean(1), rows.shape[1])
    labelled = torch.stack([rows.new_ones(rows.shape[1]) if mask is None else mask.to(rows.dtype) for mask in masks])
    counts = labelled.sum(1)
    shares = labelled / counts.where(counts > 0, 1.0).unsqueeze(1)
    return Losses(rows, shares, (values * shares).sum(1), counts)


def _of_rows(name: str, task: Learnt, batch: Batch, output: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the loss of each row, (n,), and its weight: of an ensemble's outputs, (n, members, outputs), the mean."""
    target, mask = batch.targets[name], batch.masks[name]
    if task.level != "row" or output.dim() == 2:
        return task.batch_loss(output, target, mask)
    if task.couples:  # each member among the batch's rows, of which the same ones count for all
        found = [task.batch_loss(own, target, mask) for own in output.unbind(1)]
        return torch.stack([losses for losses, _ in found]).mean(0), found[0][1]
    losses = task.loss(output.flatten(0, 1), target.repeat_interleave(output.shape[1], 0))
    return losses.view(len(output), -1).mean(1), mask
