"""The rows of several data sets, one data set after the other, and what each training step takes of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from mtl_cli.data.inputs import InputRows, Inputs, Order, ShuffledOrder

Scheme = Literal["cycle", "proportional", "balanced", "temperature"]


@dataclass(frozen=True)
class Sampling:
    """How many rows of each of D data sets an epoch takes, with n_d rows each, N in all.

    - ``cycle``: max_d n_d of each, in ⌈max_d n_d / B⌉ steps: once through the largest data set, while the others begin
      anew, in another order.
    - ``proportional``: n_d of each, so that each row is there once.
    - ``balanced``: N / D of each.
    - ``temperature``: N p_d of each, p_d ∝ n_d^(1/τ). ``proportional`` is τ = 1, ``balanced`` the limit τ → ∞.

    The last three take ⌈N / (D B)⌉ steps. A step takes D · B rows in all, B being ``trainer.batch_size``, and each data
    set's rows are spread evenly over the steps: of q rows in S steps, step s takes those from ⌊s q / S⌋ to
    ⌊(s + 1) q / S⌋. Under ``cycle`` and ``balanced`` each step therefore has as many rows of each data set, up to
    one. A data set's rows are shuffled again in each epoch, and where there are not enough, shuffled and repeated.

    Parameters
    ----------
    scheme : {"cycle", "proportional", "balanced", "temperature"}
    temperature : float
        τ > 0.
    """

    scheme: Scheme = "cycle"
    temperature: float = 2.0

    def quotas(self, rows: Sequence[int]) -> list[int]:
        """Return how many rows of each data set an epoch takes; at least one of each that has any."""
        counts = np.array(rows, dtype="float64")
        if self.scheme == "cycle":
            return [max(rows) if count else 0 for count in rows]
        exponent = {"proportional": 1.0, "balanced": 0.0}.get(self.scheme, 1 / self.temperature)
        shares = np.where(counts > 0, (counts / counts.max()) ** exponent, 0.0)
        quotas = np.rint(counts.sum() * shares / shares.sum()).astype(int)
        return [int(quota) for quota in np.where(counts > 0, quotas.clip(min=1), 0)]

    def steps(self, rows: Sequence[int], batch_size: int) -> int:
        """Return how many steps an epoch has, ``batch_size`` being B."""
        taken = max(rows) if self.scheme == "cycle" else sum(rows) / len(rows)
        return max(1, int(np.ceil(taken / batch_size)))


class JointOrder(Order):
    """Row numbers of every data set, a step at a time, as ``Sampling`` says.

    A data set whose rows have an order of their own (sequences by length, cells by their place on disk) is gone through
    in that order. Its batches are as long as the longest of the steps here, and steps are cut where ``Sampling`` says:
    a step may have the end of one and the beginning of another.

    Parameters
    ----------
    sampling : Sampling
    rows : sequence of int
        Of each data set.
    batch_size : int
        Rows of each data set in a step, on average.
    smallest : int
        The smallest number of rows in a step; there are fewer steps if necessary.
    seed : int
        It does not touch torch's global generator.
    device : torch.device
        Where the row numbers are wanted.
    parts : sequence of InputRows, optional
        The data sets; without them, each is shuffled.
    """

    def __init__(
        self,
        sampling: Sampling,
        rows: Sequence[int],
        batch_size: int,
        smallest: int,
        seed: int,
        device: torch.device,
        parts: Sequence[InputRows] = (),
    ) -> None:
        self.rows, self.device = list(rows), device
        self.generator = torch.Generator().manual_seed(seed)
        self.quotas = sampling.quotas(rows)
        steps = sampling.steps(rows, batch_size)
        while steps > 1 and min(map(sum, zip(*self._sizes(steps), strict=True))) < smallest:
            steps -= 1
        self.sizes = self._sizes(steps)
        """By data set, the rows of each step."""
        own = [part.order(max(self.sizes[i]), 1, seed + i, torch.device("cpu")) for i, part in enumerate(parts)]
        self.orders = {i: order for i, order in enumerate(own) if not isinstance(order, ShuffledOrder)}

    def _sizes(self, steps: int) -> list[list[int]]:
        return [np.diff(np.arange(steps + 1) * quota // steps).tolist() for quota in self.quotas]

    def __len__(self) -> int:
        return len(self.sizes[0])

    def __iter__(self) -> Iterator[tuple[torch.Tensor, ...]]:
        """Yield, for each step, the rows of each data set, numbered through all of them."""
        first, orders = 0, []
        for i, (rows, quota, sizes) in enumerate(zip(self.rows, self.quotas, self.sizes, strict=True)):
            passes = [self._pass(i) for _ in range(-(-quota // max(rows, 1)))]
            order = torch.cat([*passes, torch.empty(0, dtype=torch.int64)])[:quota] + first
            orders.append(torch.split_with_sizes(order.to(self.device), sizes))
            first += rows
        yield from zip(*orders, strict=True)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the generator, and of the orders that data sets have of their own."""
        return {**super().state_dict(), "own": {i: order.state_dict() for i, order in self.orders.items()}}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""
        super().load_state_dict(saved)
        for i, order in self.orders.items():
            order.load_state_dict(saved["own"][i])

    def _pass(self, i: int) -> torch.Tensor:
        """Return every row of a data set once."""
        if i in self.orders:
            return torch.cat([batch for batch in self.orders[i] if isinstance(batch, torch.Tensor)])
        return torch.randperm(self.rows[i], generator=self.generator)


class JointRows(InputRows):
    """The rows of several data sets, one data set after the other.

    Parameters
    ----------
    parts : sequence of InputRows
        By data set.
    together : bool
        Whether a network takes them as one tensor, for they are alike; else it takes a tensor of each.
    sampling : Sampling
    """

    def __init__(self, parts: Sequence[InputRows], together: bool, sampling: Sampling) -> None:
        self.parts, self.together, self.sampling = list(parts), together, sampling
        self.starts = np.cumsum([0, *(len(part) for part in parts)]).tolist()
        lengths = [part.lengths for part in parts if part.lengths is not None]
        self.lengths = np.concatenate(lengths) if len(lengths) == len(self.parts) else None

    def __len__(self) -> int:
        return int(self.starts[-1])

    def select(self, rows: np.ndarray) -> Self:
        """Return some rows, which must be in the order of their data sets."""
        numbers = np.flatnonzero(rows) if rows.dtype == bool else rows
        member = np.searchsorted(self.starts[1:], numbers, side="right")
        if (np.diff(member) < 0).any():
            raise ValueError("rows of joined data sets are to be chosen in the order of their data sets")
        chosen = [part.select(numbers[member == i] - self.starts[i]) for i, part in enumerate(self.parts)]
        return type(self)(chosen, self.together, self.sampling)

    def to(self, device: torch.device) -> Self:
        return type(self)([part.to(device) for part in self.parts], self.together, self.sampling)

    def take(self, rows: torch.Tensor | slice | tuple[torch.Tensor, ...]) -> Inputs:
        """Return what a network reads of some rows, in the order of their data sets.

        Parameters
        ----------
        rows : tuple of Tensor, slice or Tensor
            Each data set's row numbers, as ``JointOrder`` gives them; or of all rows.
        """
        taken = [part.take(mine) for part, mine in zip(self.parts, self._apart(rows), strict=True)]
        tensors = [inputs for inputs in taken if isinstance(inputs, torch.Tensor)]
        return _cat(tensors) if self.together else tuple(tensors)

    def _apart(self, rows: torch.Tensor | slice | tuple[torch.Tensor, ...]) -> Sequence[torch.Tensor | slice]:
        """Return the rows of each data set, numbered from 0 there."""
        bounds = list(zip(self.starts, self.starts[1:], strict=False))
        if isinstance(rows, tuple):
            return [mine - first for mine, (first, _) in zip(rows, bounds, strict=True)]
        if isinstance(rows, slice) and rows.step is None:
            start, stop, _ = rows.indices(len(self))
            return [slice(max(start - first, 0), max(min(stop, last) - first, 0)) for first, last in bounds]
        numbers = torch.arange(len(self))[rows] if isinstance(rows, slice) else rows
        return [numbers[(numbers >= first) & (numbers < last)] - first for first, last in bounds]

    def chunks(self) -> Sequence[torch.Tensor | slice]:
        """Return all rows, in the pieces that each data set asks for."""
        found: list[torch.Tensor | slice] = []
        for part, first in zip(self.parts, self.starts, strict=False):
            for rows in part.chunks() if len(part) else ():
                if isinstance(rows, slice):
                    start, stop, _ = rows.indices(len(part))
                    found.append(slice(first + start, first + stop))
                else:
                    found.append(rows + first)
        return found or [slice(0, 0)]

    def dense(self) -> Self:
        return type(self)([part.dense() for part in self.parts], self.together, self.sampling)

    def shuffled(self, inputs: Sequence[int], order: np.ndarray, of: np.ndarray | None = None) -> Self:
        assert of is not None
        number = self._number(of)
        own = order[of[order]] - self.starts[number]
        return self._with(number, self.parts[number].shuffled(inputs, own))

    def replaced(self, inputs: Sequence[int], values: torch.Tensor, of: np.ndarray | None = None) -> Self:
        assert of is not None
        number = self._number(of)
        return self._with(number, self.parts[number].replaced(inputs, values))

    def part_of(self, of: np.ndarray) -> InputRows:
        """Return the rows of the data set that some rows are of."""
        return self.parts[self._number(of)]

    def _number(self, of: np.ndarray) -> int:
        """Return which data set some rows are of."""
        return int(np.searchsorted(self.starts[1:], np.flatnonzero(of)[0], side="right"))

    def _with(self, number: int, part: InputRows) -> Self:
        parts = [part if i == number else other for i, other in enumerate(self.parts)]
        return type(self)(parts, self.together, self.sampling)

    def finite(self) -> np.ndarray | None:
        found = [part.finite() for part in self.parts]
        if all(rows is None for rows in found):
            return None
        pairs = zip(self.parts, found, strict=True)
        return np.concatenate([np.ones(len(part), bool) if rows is None else rows for part, rows in pairs])

    def align(self, labels: pd.Series, ids: pd.Series, where: str) -> pd.Series:
        pieces = [
            part.align(labels.iloc[first:last], ids.iloc[first:last], where)
            for part, first, last in zip(self.parts, self.starts, self.starts[1:], strict=False)
            if last > first
        ]
        joined: pd.Series = pd.concat(pieces)
        return joined

    def order(self, batch_size: int, smallest: int, seed: int, device: torch.device) -> JointOrder:
        lengths = [len(part) for part in self.parts]
        return JointOrder(self.sampling, lengths, batch_size, smallest, seed, device, self.parts)


def _cat(pieces: list[torch.Tensor]) -> torch.Tensor:
    """Put inputs that are alike one below the other; sequences are padded with 0 to the longest."""
    if pieces[0].dim() in (2, 3) and not pieces[0].is_floating_point():
        longest = max(piece.shape[1] for piece in pieces)
        inner = (0, 0) * (pieces[0].dim() - 2)
        pieces = [F.pad(piece, (*inner, 0, longest - piece.shape[1])) for piece in pieces]
    return torch.cat(pieces)
