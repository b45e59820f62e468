"""The tasks' losses of a batch: per row from the tasks, then the mean over the rows that have a label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from mtl_cli.data.batches import Batch
from mtl_cli.tasks.task import Task


@dataclass(frozen=True)
class Losses:
    """The losses of a batch, T tasks and n rows.

    Parameters
    ----------
    rows : list of Tensor
        By task, (n,), with their graph.
    means : Tensor of shape (T,)
        Over the rows with a label, without a graph; 0 where there is none.
    counts : Tensor of shape (T,), or int
        Rows with a label.
    shares : Tensor of shape (T, n), optional
        mask / count: a row's share in the mean. None says 1 / n for all.
    """

    rows: list[torch.Tensor]
    means: torch.Tensor
    counts: torch.Tensor | int
    shares: torch.Tensor | None = None

    @property
    def present(self) -> torch.Tensor | None:
        """Which tasks have a label in the batch; None says all."""
        return None if isinstance(self.counts, int) else self.counts > 0

    def backward(self, weights: torch.Tensor) -> None:
        """Send the gradient of Σ_t w_t L_t back, the means' part of it by hand."""
        rows = self.rows
        weights = weights.to(rows[0].dtype).unsqueeze(1)
        shares = (weights / len(rows[0])).expand(-1, len(rows[0])) if self.shares is None else weights * self.shares
        torch.autograd.backward(rows, shares.unbind())


def task_losses(
    tasks: Mapping[str, Task],
    heads: Mapping[str, torch.nn.Module],
    batch: Batch,
    representations: Mapping[str, torch.Tensor],
) -> Losses:
    """Run the heads and return the losses."""
    rows = [task.loss(heads[name](representations[name]), batch.targets[name]) for name, task in tasks.items()]
    return _mean(rows, [batch.masks[name] for name in tasks])


def _mean(rows: list[torch.Tensor], masks: Sequence[torch.Tensor | None]) -> Losses:
    with torch.no_grad():
        stacked = torch.stack(rows)
        if all(mask is None for mask in masks):
            return Losses(rows, stacked.mean(1), stacked.shape[1])
        every = stacked.new_ones(stacked.shape[1])
        labelled = torch.stack([every if mask is None else mask.to(stacked.dtype) for mask in masks])
        counts = labelled.sum(1)
        shares = labelled / counts.clamp(min=1).unsqueeze(1)
        return Losses(rows, (stacked * shares).sum(1), counts, shares)
