"""From a representation of each token to one of the whole row, over its own tokens only."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import nn

LEAST = -1e9
"""The score of a place beyond a row's end, whose share of the attention is then 0; all shares, if there is no other."""
Pooling = Literal["mean", "max", "attention"]


class Pool(nn.Module):
    """Mean, largest, or attention-weighted mean: softmax of a learnt score of each token (Ilse et al. 2018, arXiv
    1802.04712, equation 8, without its hidden layer).

    Parameters
    ----------
    how : {"mean", "max", "attention"}
    width : int
    """

    def __init__(self, how: Pooling, width: int) -> None:
        super().__init__()
        self.how = how
        self.score = nn.Linear(width, 1) if how == "attention" else None

    def forward(self, tokens: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
        """Return (n, width), given (n, length, width) and whether a place is inside its row, (n, length).

        A row without a token is 0.
        """
        there = inside.unsqueeze(2)
        if self.how == "max":
            return tokens.masked_fill(~there, -math.inf).amax(1).masked_fill(~there.any(1), 0)
        if self.score is not None:
            scores: torch.Tensor = self.score(tokens)
            return (scores.masked_fill(~there, LEAST).softmax(1) * tokens * there).sum(1)
        return (tokens * there).sum(1) / there.sum(1).clamp(min=1)
