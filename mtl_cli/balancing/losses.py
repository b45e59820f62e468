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
    attached : Tensor of shape (T,)
        Means over the rows with a label, with their graph; 0 where there is none.
    means : Tensor of shape (T,)
        The same without it.
    counts : Tensor of shape (T,), or int
        Rows with a label.
    """

    attached: torch.Tensor
    means: torch.Tensor
    counts: torch.Tensor | int

    def total(self, factors: torch.Tensor) -> torch.Tensor:
        """Return Σ_t f_t L_t, with its graph, for factors f of shape (T,)."""
        return torch.dot(self.attached, factors.to(self.attached.dtype))


def task_losses(tasks: Mapping[str, Learnt], batch: Batch, outputs: Mapping[str, torch.Tensor]) -> Losses:
    """Return the losses of the heads' outputs."""
    found = [_of_rows(name, task, batch, full(outputs[name])) for name, task in tasks.items()]
    rows, masks = torch.stack([losses for losses, _ in found]), [mask for _, mask in found]
    if not any(mask is not None for mask in masks):
        means = rows.mean(1)
        return Losses(means, means.detach(), rows.shape[1])
    labelled = torch.stack([rows.new_ones(rows.shape[1]) if mask is None else mask.to(rows.dtype) for mask in masks])
    counts = labelled.sum(1)
    means = (rows * (labelled / counts.where(counts > 0, 1.0).unsqueeze(1))).sum(1)
    return Losses(means, means.detach(), counts)


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
