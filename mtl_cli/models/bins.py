"""Bins beside a table's numbers: how far each number reaches into the bins between quantiles of the training rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from mtl_cli.models.linear_gain import linear_gain

BUFFERS = ("edge", "slope", "low", "high")
ROWS = 20
"""Training rows for each bin at least; with fewer of them, a number has fewer bins."""
SCALE = 0.5
"""What e is multiplied by: what reads it learns it later than the numbers themselves, and where these say all, it does
little. Of 1, 0.5 and 0.25, on seven tables for choosing, this one costs nowhere and gains as much as 1."""

GAIN = 0.01
"""R² that ridge regression must gain by bins, on rows left out, for them to be kept where that is tried."""
TRIED_ROWS = 2_000
"""Training rows that it is tried on at most, spread evenly."""


class PiecewiseEncoding(nn.Module):
    """e(x) of each number, how far it reaches into each of its bins (Gorishniy et al. 2022, arXiv 2203.05556).

    e_i(x) = (x − edge_i) / (edge_i+1 − edge_i), cut to [0, 1] (equation 1), where the first bin goes on below the least
    value, and the last above the greatest. The edges are buffers, whose shapes do not depend on the data: a network is
    built before its weights, and its edges, are loaded. A number that has fewer bins than there is room for has zeros
    for the others.

    Parameters
    ----------
    numbers, bins : int
        Bins is the most that a number can have.
    """

    def __init__(self, numbers: int, bins: int) -> None:
        super().__init__()
        self.edge: torch.Tensor
        self.slope: torch.Tensor
        self.low: torch.Tensor
        self.high: torch.Tensor
        for name in BUFFERS:
            self.register_buffer(name, torch.zeros(numbers, bins))

    def set_edges(self, number: int, edges: torch.Tensor) -> None:
        """Give a number its bins, between each two of its edges; of a single one there are none."""
        last = len(edges) - 2
        if last < 0:
            return
        self.edge[number, : last + 1] = edges[:-1]
        self.slope[number, : last + 1] = 1 / edges.diff()
        self.high[number, : last + 1] = 1
        self.low[number, 0], self.high[number, last] = -torch.inf, torch.inf

    def encoded(self, values: torch.Tensor) -> torch.Tensor:
        """Return e of values, (…, numbers) to (…, numbers, bins)."""
        return ((values.unsqueeze(-1) - self.edge) * self.slope).clamp(self.low, self.high)


class Bins(PiecewiseEncoding):
    """Lets the inputs through, (…, inputs), and puts ``SCALE`` e(x) of each number behind them, (…, numbers × bins).

    A perceptron that reads it can bend, or nearly jump, wherever training rows are, which trees do and a perceptron
    that reads x alone learns slowly. It has no weights.

    Parameters
    ----------
    inputs : int
    numbers : list of int
        The inputs that are numbers; the others are 0 or 1 by their making.
    bins : int
        The most that a number can have.
    tried : bool, default False
        Whether the bins are to be left out, which makes all e(x) zero, where a linear model gains nothing by them.
    """

    def __init__(self, inputs: int, numbers: list[int], bins: int, tried: bool = False) -> None:
        super().__init__(len(numbers), bins)
        self.inputs, self.tried = inputs, tried
        self.numbers: torch.Tensor
        self.register_buffer("numbers", torch.tensor(numbers), persistent=False)

    @property
    def chunks(self) -> list[int]:
        """How many numbers of a row come from each input, and then from each number's bins."""
        return [1] * self.inputs + [self.edge.shape[-1]] * len(self.numbers)

    def fit_inputs(self, inputs: torch.Tensor) -> None:
        """Put the edges at quantiles of training rows, (n, inputs). A number that is constant gets no bin."""
        count = min(self.edge.shape[1], len(inputs) // ROWS)
        if count < 2:
            return
        at = torch.linspace(0, 1, count + 1, dtype=torch.float64)
        for row, number in enumerate(self.numbers.tolist()):
            self.set_edges(row, torch.unique(torch.quantile(inputs[:, number].double(), at).to(self.edge.dtype)))

    def fit_labels(self, inputs: torch.Tensor, labels: Sequence[np.ndarray]) -> str | None:
        """Leave the bins out if they are tried and ``linear_gain`` is below ``GAIN``; return a line that says so."""
        if not self.tried or not self.slope.any():
            return None
        every = -(-len(inputs) // TRIED_ROWS)
        rows = inputs[::every].double()
        gain = linear_gain(rows.numpy(), self(rows).numpy(), [columns[::every] for columns in labels])
        if gain is None or gain >= GAIN:
            return None
        for name in BUFFERS:
            getattr(self, name).zero_()
        return (
            f"model.trunk.embeddings.kind=auto: no bins: a linear model gains {max(0.0, gain):.3f} R² by them, "
            f"less than {GAIN}; kind=bins has them"
        )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return (…, inputs + numbers × bins)."""
        values = inputs if self.inputs == len(self.numbers) else inputs[..., self.numbers]
        return torch.cat([inputs, SCALE * self.encoded(values).flatten(-2)], -1)

    def start(self, layer: nn.Module) -> None:
        """Let the layer that reads it begin as one that reads the inputs alone: with weights of 0 for the bins."""
        assert isinstance(layer, nn.Linear)
        plain = nn.Linear(self.inputs, layer.out_features)
        with torch.no_grad():
            layer.weight.zero_()[:, : self.inputs] = plain.weight
            layer.bias.copy_(plain.bias)

    @staticmethod
    def of_members(members: Sequence[Bins]) -> Bins:
        """Return the bins of several networks as one, for inputs of shape (members, n, inputs)."""
        first = members[0]
        together = Bins(first.inputs, first.numbers.tolist(), first.edge.shape[1])
        for name in BUFFERS:
            setattr(together, name, torch.stack([getattr(own, name) for own in members]).unsqueeze(1))
        return together
