"""The layers that turn numbers into vectors."""

from __future__ import annotations

import warnings

import torch
from torch import nn

from mtl_cli.config.errors import UserError
from mtl_cli.models.bins import PiecewiseEncoding


class Embedded(nn.Module):
    """Embeds the inputs that are numbers and lets the others through, behind them.

    Parameters
    ----------
    layer : Module
        From (n, numbers) to (n, numbers, width).
    numbers, indicators : list of int
        The inputs of either sort.
    width : int
    """

    def __init__(self, layer: nn.Module, numbers: list[int], indicators: list[int], width: int) -> None:
        super().__init__()
        self.layer = layer
        self.chunks = [width] * len(numbers) + [1] * len(indicators)
        """How many numbers of a row come from each input."""
        self.numbers: torch.Tensor
        self.indicators: torch.Tensor
        self.register_buffer("numbers", torch.tensor(numbers), persistent=False)
        self.register_buffer("indicators", torch.tensor(indicators, dtype=torch.long), persistent=False)

    def fit_inputs(self, inputs: torch.Tensor) -> None:
        """Look at inputs of training rows, (n, inputs)."""
        if isinstance(self.layer, PiecewiseLinear):
            self.layer.fit(inputs[:, self.numbers])

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return (n, sum of chunks)."""
        if not len(self.indicators):
            embedded: torch.Tensor = self.layer(inputs)
            return embedded.flatten(1)
        return torch.cat([self.layer(inputs[:, self.numbers]).flatten(1), inputs[:, self.indicators]], 1)


class PiecewiseLinear(PiecewiseEncoding):
    """Piecewise-linear embeddings of Gorishniy et al. 2022 (arXiv 2203.05556), as TabM's authors use them.

    v(x) = a x + b + Σ_i w_i e_i(x), with the e_i(x) of ``PiecewiseEncoding``. The w_i start at zero: the embedding is
    linear at first, and learns to bend.

    The function is that of ``rtdl_num_embeddings.PiecewiseLinearEmbeddings``, version B.

    Parameters
    ----------
    features, width, bins : int
        Bins is the most that a feature can have.
    """

    def __init__(self, features: int, width: int, bins: int) -> None:
        from rtdl_num_embeddings import LinearEmbeddings

        super().__init__(features, bins)
        self.linear = LinearEmbeddings(features, width)
        self.weight = nn.Parameter(torch.zeros(features, bins, width))

    def fit(self, values: torch.Tensor) -> None:
        """Put the edges at quantiles of ``values``, (n, features). A constant feature gets no bin.

        Raises
        ------
        UserError
            If there are not more rows than bins.
        """
        from rtdl_num_embeddings import compute_bins

        bins = self.edge.shape[1]
        if len(values) <= bins:
            raise UserError(
                "model.trunk.embeddings.bins", f"is {bins}, and there are {len(values)} training rows",
                "there must be fewer bins than rows",
            )  # fmt: skip
        varying = (values != values[0]).any(0).nonzero()[:, 0].tolist()
        if not varying:
            return
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The .* feature has just two bin edges")
            found = compute_bins(values[:, varying], n_bins=bins)
        for feature, edges in zip(varying, found, strict=True):
            self.set_edges(feature, edges)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return (n, features, width)."""
        linear: torch.Tensor = self.linear(values)
        return linear + (self.encoded(values).transpose(0, 1) @ self.weight).transpose(0, 1)
