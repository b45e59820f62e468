"""The training rows of several members, one after the other in one tensor, and an epoch's batches of all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from mtl_cli.data.batches import Batch, Batches


@dataclass(frozen=True)
class Step:
    """A batch of each member, of M members; n rows in the largest.

    Parameters
    ----------
    batch : Batch
        Inputs (M, n, features), targets and masks (M, n, …); rows beyond a member's own only fill.
    lengths : list of int
        Each member's rows; 0 for one whose epoch is over.
    padded : Tensor of shape (M, n), optional
        1 where there is a row, 0 where one fills; None if none does.
    """

    batch: Batch
    lengths: list[int]
    padded: torch.Tensor | None


class JointRows:
    """Makes the steps of an epoch, with each member's batches in the order that it would have alone.

    Parameters
    ----------
    members : sequence of Batches
        Of one batch size.
    """

    def __init__(self, members: Sequence[Batches]) -> None:
        self.members = list(members)
        names = list(members[0].targets)
        inputs = [batches.inputs.take(slice(None)) for batches in members]
        self._inputs = torch.cat([own for own in inputs if isinstance(own, torch.Tensor)])
        self._targets = {name: torch.cat([batches.targets[name] for batches in members]) for name in names}
        self._masks = {name: self._join([batches.masks[name] for batches in members]) for name in names}
        sizes = [batches.rows for batches in members]
        self._starts = [sum(sizes[:i]) for i in range(len(sizes))]

    def _join(self, masks: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
        if all(mask is None for mask in masks):
            return None
        every = zip(self.members, masks, strict=True)
        return torch.cat([self._inputs.new_ones(own.rows) if mask is None else mask for own, mask in every])

    def keep(self, members: Sequence[int]) -> None:
        """Make steps of these members only."""
        self.members = [self.members[i] for i in members]
        self._starts = [self._starts[i] for i in members]

    def epoch(self, done: int = 0) -> Iterator[Step]:
        """Yield the steps of an epoch without the first ``done``.

        A member with fewer batches than another has none in the last of them.
        """
        orders = [list(batches.order()) for batches in self.members]
        device = self._inputs.device
        for number in range(done, max(map(len, orders))):
            chosen = [order[number] if number < len(order) else order[0][:0] for order in orders]
            lengths = [len(rows) for rows in chosen]
            longest = max(lengths)
            if min(lengths) == longest:
                rows, padded = torch.stack([own + at for own, at in zip(chosen, self._starts, strict=True)]), None
            else:
                rows = torch.zeros(len(chosen), longest, dtype=torch.long, device=device)
                padded = self._inputs.new_zeros(rows.shape)
                for i, own in enumerate(chosen):
                    rows[i, : len(own)], padded[i, : len(own)] = own + self._starts[i], 1.0
            targets = {name: target[rows] for name, target in self._targets.items()}
            masks = {name: None if mask is None else mask[rows] for name, mask in self._masks.items()}
            yield Step(Batch(self._inputs[rows], targets, masks), lengths, padded)
