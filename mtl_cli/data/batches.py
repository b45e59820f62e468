"""Batches cut from tensors that already lie on the device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from mtl_cli.data.prepared import Part


@dataclass(frozen=True)
class Batch:
    """Some rows.

    Parameters
    ----------
    inputs : Tensor of shape (n, inputs)
    targets : dict of str to Tensor
        By task, (n,) or (n, labels).
    masks : dict of str to Tensor or None
        By task, (n,) of 0 and 1: which rows have a label. None says all of them have.
    """

    inputs: torch.Tensor
    targets: dict[str, torch.Tensor]
    masks: dict[str, torch.Tensor | None]

    def __len__(self) -> int:
        return len(self.inputs)


class TensorBatches:
    """Iterates over a part in batches, in a fresh order each time.

    Parameters
    ----------
    part : Part
    device : torch.device
        All rows are copied there once.
    batch_size : int, optional
        None takes all rows at once, in their own order.
    seed : int
        Of the order; it does not touch torch's global generator.
    smallest : int, default 1
        Leave out a last batch of fewer rows (batch norm needs two).
    """

    def __init__(
        self, part: Part, device: torch.device, batch_size: int | None = None, seed: int = 0, smallest: int = 1
    ) -> None:
        self.whole = Batch(
            torch.from_numpy(part.inputs).to(device),
            {name: torch.from_numpy(target.values).to(device) for name, target in part.targets.items()},
            {
                name: None if target.mask.all() else torch.from_numpy(target.mask).to(device, torch.float32)
                for name, target in part.targets.items()
            },
        )
        self.rows = len(part)
        self.batch_size = min(batch_size or self.rows, self.rows)
        self.generator = torch.Generator().manual_seed(seed)
        self.smallest = smallest
        self.shuffle = batch_size is not None

    def __len__(self) -> int:
        rest = self.rows % self.batch_size
        return self.rows // self.batch_size + (rest >= self.smallest and rest > 0)

    def __iter__(self) -> Iterator[Batch]:
        if not self.shuffle:
            yield self.whole
            return
        order = torch.randperm(self.rows, generator=self.generator).to(self.whole.inputs.device)
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield self.take(order[start : start + self.batch_size])

    def take(self, rows: torch.Tensor) -> Batch:
        """Return the batch of these row numbers."""
        whole = self.whole
        return Batch(
            whole.inputs[rows],
            {name: target[rows] for name, target in whole.targets.items()},
            {name: None if mask is None else mask[rows] for name, mask in whole.masks.items()},
        )
