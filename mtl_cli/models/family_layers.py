"""Rows of a family as the sum of what their differences from a reference are to a network."""

from __future__ import annotations

import math

import torch
from torch import nn

from mtl_cli.data.sequences.differences import differences
from mtl_cli.models.layers import ACTIVATIONS
from mtl_cli.models.sequence_layers import ConvolutionalTrunk

WAVES = 16
"""Wavelengths that say where a difference is: from the shortest to ``LONGEST`` times the reference."""
SHORTEST, LONGEST = 4.0, 4.0
VECTOR = 16
"""Width of the vectors of a place and of a residue."""
PLACE_SCALE, RESIDUE_SCALE = 0.1, 0.3
"""The deviation of the first vectors: what is known of places that are near comes from the waves at first."""
LEFT_OUT = 0.5, 0.2
"""The share of differences that lack the vector of their place, and that of a residue, in training with dropout."""


class DifferenceSum(nn.Module):
    """The sum over a row's differences of a small network of each: its place, and the residue before and after.

    A place is known by sines and cosines of it, in which near places are alike (Vaswani et al. 2017, arXiv 1706.03762,
    section 3.5), and by a vector. In training some of the parts are left out, each as a whole, so that what is said of
    a place, or of a residue, holds by itself too, and places that were seen once are not learnt by heart.

    Parameters
    ----------
    reference : list of int
        Tokens.
    tokens : int
        The size of the vocabulary, padding included.
    width : int
    activation : str
    dropout : float
        Within the network; with 0 no part is left out either.
    """

    def __init__(self, reference: list[int], tokens: int, width: int, activation: str, dropout: float) -> None:
        super().__init__()
        self.reference: torch.Tensor
        self.waves: torch.Tensor
        self.register_buffer("reference", torch.tensor(reference), persistent=False)
        places = torch.arange(len(reference) + 1).unsqueeze(1)  # something may be inserted behind the last
        longest = LONGEST * max(len(reference), 2)
        lengths = torch.logspace(math.log10(SHORTEST), math.log10(longest), WAVES)
        angles = 2 * math.pi * places / lengths
        self.register_buffer("waves", torch.cat([angles.sin(), angles.cos()], 1), persistent=False)
        self.places = nn.Embedding(len(places), VECTOR)
        self.was, self.now = nn.Embedding(tokens, VECTOR), nn.Embedding(tokens, VECTOR)
        nn.init.normal_(self.places.weight, std=PLACE_SCALE)
        for residues in (self.was, self.now):
            nn.init.normal_(residues.weight, std=RESIDUE_SCALE)
        self.dropout = dropout
        self.network = nn.Sequential(
            nn.Linear(2 * WAVES + 3 * VECTOR, width),
            ACTIVATIONS[activation](),
            nn.Dropout(dropout),
            nn.Linear(width, width),
        )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return (n, width), given token numbers, (n, length); 0 for the reference itself."""
        row, place, was, now = differences(tokens, self.reference)
        parts = [self.waves[place], self.places(place), self.was(was), self.now(now)]
        if self.training and self.dropout > 0:
            of_place, of_residue = LEFT_OUT
            shares = (0.0, of_place, of_residue, of_residue)
            parts = [_left_out(part, share) for part, share in zip(parts, shares, strict=True)]
        each = self.network(torch.cat(parts, 1))
        found: torch.Tensor = each.new_zeros((len(tokens), each.shape[1])).index_add(0, row, each)
        return found


def _left_out(vectors: torch.Tensor, share: float) -> torch.Tensor:
    """Return vectors, (n, width), some of which are 0, and the others the larger for it."""
    kept = torch.rand((len(vectors), 1), device=vectors.device) >= share
    return vectors * kept / (1 - share)


class FamilyTrunk(nn.Module):
    """From token numbers, (n, length), to a representation of each row, and of each token where there are labels of it.

    A row's is x + activation(linear(x)) of the sum x of its differences: effects that add up are linear in it.

    Parameters
    ----------
    differences : DifferenceSum
    width : int
    activation : str
    dropout : float
    convolutions : ConvolutionalTrunk, optional
        What represents tokens; its last layer is then the last of rows too.
    """

    def __init__(
        self,
        differences: DifferenceSum,
        width: int,
        activation: str,
        dropout: float,
        convolutions: ConvolutionalTrunk | None,
    ) -> None:
        super().__init__()
        self.differences, self.convolutions = differences, convolutions
        self.last = nn.Linear(width, width) if convolutions is None else convolutions.last
        self.activation = ACTIVATIONS[activation]()
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return ``row``, (n, width), and ``token``, (n, length, width), if asked for at all."""
        summed = self.differences(tokens)
        rows = {"row": self.dropout(summed + self.activation(self.last(summed)))}
        return rows if self.convolutions is None else {**rows, "token": self.convolutions(tokens)["token"]}
