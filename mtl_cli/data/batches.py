"""A part of a data set in batches: what training iterates over."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch

from mtl_cli.data.base import Part
from mtl_cli.data.inputs import Inputs
from mtl_cli.tasks.task import Target


@dataclass(frozen=True)
class Batch:
    """Some rows.

    Parameters
    ----------
    inputs : Tensor of shape (n, …), or tuple of them
    targets : dict of str to Tensor
        By task, (n,) or (n, labels).
    masks : dict of str to Tensor or None
        By task, (n,): how much a row counts in the task's loss, 0 where it has no label. None says 1 for all of them.
    """

    inputs: Inputs
    targets: dict[str, torch.Tensor]
    masks: dict[str, torch.Tensor | None]

    def __len__(self) -> int:
        return len(next(iter(self.targets.values())))


class Batches:
    """Iterates over a part in batches, in a fresh order each time. A batch is whole until the next is asked for.

    Parameters
    ----------
    part : Part
    device : torch.device
        All rows are brought there once, as far as their inputs' form has it.
    batch_size : int, optional
        None takes all rows at once, in their own order.
    seed : int
        Of the order.
    smallest : int, default 1
        Leave out a last batch of fewer rows (batch norm needs two).

    Attributes
    ----------
    waited : float
        Seconds that whoever iterates has waited for batches so far.
    """

    def __init__(
        self, part: Part, device: torch.device, batch_size: int | None = None, seed: int = 0, smallest: int = 1
    ) -> None:
        self.device, self.inputs = device, part.inputs.to(device)
        self.targets = {name: torch.from_numpy(target.values).to(device) for name, target in part.targets.items()}
        self.masks = {name: _mask(target, part.weights.get(name), device) for name, target in part.targets.items()}
        self.rows, self.waited = len(part), 0.0
        self.batch_size = min(batch_size or self.rows, self.rows)
        self._order = None if batch_size is None else part.inputs.order(batch_size, smallest, seed, device)

    def __len__(self) -> int:
        return 1 if self._order is None else len(self._order)

    def order(self) -> Iterator[torch.Tensor]:
        """Yield the row numbers of the next epoch's batches, of rows that lie in one tensor."""
        if self._order is None:
            yield torch.arange(self.rows, device=self.device)
            return
        for chosen in self._order:
            assert isinstance(chosen, torch.Tensor)
            yield chosen

    def state_dict(self) -> dict[str, Any]:
        """Return what the next epoch's order depends on."""
        return {} if self._order is None else self._order.state_dict()

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""
        if self._order is not None:
            self._order.load_state_dict(saved)

    def __iter__(self) -> Iterator[Batch]:
        return self.after(0)

    def after(self, done: int) -> Iterator[Batch]:
        """Yield the batches of the next epoch without the first ``done``, whose rows are not touched."""
        if self._order is None:
            if not done:
                yield Batch(self.inputs.take(slice(None)), self.targets, self.masks)
            return
        began = time.perf_counter()
        for chosen, inputs in self.inputs.each(islice(self._order, done, None)):
            rows = torch.cat(chosen) if isinstance(chosen, tuple) else chosen
            batch = Batch(
                inputs,
                {name: target[rows] for name, target in self.targets.items()},
                {name: None if mask is None else mask[rows] for name, mask in self.masks.items()},
            )
            self.waited += time.perf_counter() - began
            yield batch
            began = time.perf_counter()


def _mask(target: Target, row_weights: np.ndarray | None, device: torch.device) -> torch.Tensor | None:
    if target.mask.all() and target.weights is None and row_weights is None:
        return None
    mask = torch.from_numpy(target.mask).to(torch.float32)
    for weights in (target.weights, row_weights):
        if weights is not None:
            mask *= torch.from_numpy(weights)
    return mask.to(device)
