"""How often each k-mer is in a sequence, as the first layer of a multi-layer perceptron."""

from __future__ import annotations

import torch
from torch import nn

from mtl_cli.models.layers import ACTIVATIONS, mlp_layers


class KmerTrunk(nn.Module):
    """From token numbers, (n, length), to a representation of each row.

    Parameters
    ----------
    letters : int
        Of the alphabet, without those that are ambiguous or rare: the first tokens behind padding.
    k : int
    hidden : list of int
    activation : str
    dropout : float
    """

    def __init__(self, letters: int, k: int, hidden: list[int], activation: str, dropout: float) -> None:
        super().__init__()
        self.letters, self.k = letters, k
        self.vectors = nn.Embedding(letters**k + 1, hidden[0], padding_idx=0)
        self.first = nn.Sequential(nn.LayerNorm(hidden[0]), ACTIVATIONS[activation](), nn.Dropout(dropout))
        self.layers, linears = mlp_layers(hidden[0], hidden[1:], activation, dropout=dropout)
        self.last = linears[-1]

    def forward(self, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return ``row``, (n, width)."""
        numbers = self.numbers(tokens)
        count = (numbers > 0).sum(1, keepdim=True).clamp(min=1)
        summed = self.vectors(numbers).sum(1) / count.sqrt()
        found: torch.Tensor = self.layers(self.first(summed))
        return {"row": found}

    def numbers(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the number of the k-mer at each place, from 1, and 0 where there is none, (n, places)."""
        tokens = nn.functional.pad(tokens, (0, max(self.k - tokens.shape[1], 0)))
        windows = tokens.unfold(1, self.k, 1)
        powers = self.letters ** torch.arange(self.k - 1, -1, -1, device=tokens.device)
        whole = ((windows > 0) & (windows <= self.letters)).all(2)
        return (((windows - 1) * powers).sum(2) + 1) * whole
