"""Convolutions over sequences of different lengths, in which padding counts for nothing."""

from __future__ import annotations

import torch
from torch import nn

from mtl_cli.data.sequences.rows import PADDING
from mtl_cli.models.layers import ACTIVATIONS
from mtl_cli.models.pooling import Pool, Pooling


class Block(nn.Module):
    """x + dropout(linear(activation(convolution(norm(x))))), with zeros in place of what is beyond a row's end.

    Parameters
    ----------
    width, kernel, dilation : int
        ``kernel`` is odd.
    activation : str
    dropout : float
    """

    def __init__(self, width: int, kernel: int, dilation: int, activation: str, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.convolution = nn.Conv1d(width, width, kernel, padding=dilation * (kernel // 2), dilation=dilation)
        self.activation = ACTIVATIONS[activation]()
        self.linear = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        """Return (n, length, width), given the same and whether a place is inside its row, (n, length, 1)."""
        seen = self.norm(tokens) * there
        found = self.convolution(seen.transpose(1, 2)).transpose(1, 2)
        added: torch.Tensor = self.dropout(self.linear(self.activation(found)))
        return tokens + added


class BaseEmbedding(nn.Module):
    """The vector of a letter of DNA or RNA: that of its base, or the mean of those that it may be.

    Parameters
    ----------
    shares : list of list of float
        By token, of each base; 0 of padding.
    width : int
    """

    def __init__(self, shares: list[list[float]], width: int) -> None:
        super().__init__()
        self.shares: torch.Tensor
        self.register_buffer("shares", torch.tensor(shares), persistent=False)
        self.bases = nn.Parameter(torch.randn(len(shares[0]), width))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return (n, length, width)."""
        return nn.functional.embedding(tokens, self.shares @ self.bases)


class ConvolutionalTrunk(nn.Module):
    """From token numbers, (n, length), to a representation of each row and of each token.

    Parameters
    ----------
    tokens : int
        The size of the vocabulary, padding included.
    width : int
    dilations : list of int
        Of each block.
    kernel : int
    activation : str
    pooling : {"mean", "max", "attention"}
    dropout : float
    shares : list of list of float, optional
        Of DNA and RNA: see ``BaseEmbedding``.
    """

    def __init__(
        self,
        tokens: int,
        width: int,
        dilations: list[int],
        kernel: int,
        activation: str,
        pooling: Pooling,
        dropout: float,
        shares: list[list[float]] | None = None,
    ) -> None:
        super().__init__()
        self.embedding = (
            nn.Embedding(tokens, width, padding_idx=PADDING) if shares is None else BaseEmbedding(shares, width)
        )
        self.blocks = nn.ModuleList(Block(width, kernel, dilation, activation, dropout) for dilation in dilations)
        self.norm = nn.LayerNorm(width)
        self.last = nn.Linear(width, width)
        self.activation = ACTIVATIONS[activation]()
        self.pool = Pool(pooling, width)

    def forward(self, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return ``row``, (n, width), and ``token``, (n, length, width), which is 0 beyond a row's end."""
        inside = tokens != PADDING
        there = inside.unsqueeze(2)
        found = self.embedding(tokens)
        for block in self.blocks:
            found = block(found, there)
        found = self.activation(self.last(self.norm(found))) * there
        return {"row": self.pool(found, inside), "token": found}
