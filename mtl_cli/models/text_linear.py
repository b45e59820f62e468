"""What linear models read of texts: their n-grams with TF-IDF weights, and the features beside them."""

from __future__ import annotations

import torch
from torch import nn

from mtl_cli.data.inputs import Inputs
from mtl_cli.models.linear import Entries, LinearInputs

BUCKETS = 2**16
"""Columns of n-grams; those whose numbers are equal modulo it share one."""


class TextInputs(LinearInputs):
    """A column for each n-gram of words, and each pair of words that follow each other; then the features.

    The n-grams have TF-IDF weights as scikit-learn's with ``sublinear_tf``: an n-gram counts (1 + log of how often it
    is in the text) · (1 + log((1 + n) / (1 + texts with it))), over the n texts of the training rows, and a text's
    numbers have the norm 1.

    Parameters
    ----------
    features : int
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.columns = BUCKETS + features
        self.texts: torch.Tensor
        self.holding: torch.Tensor
        self.register_buffer("texts", torch.zeros(()))
        self.register_buffer("holding", torch.zeros(BUCKETS))

    def counted(self, grams: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the columns of a text's n-grams, in order, and at the first of equal ones how many there are, else 0.

        Both have the shape (n, all n-grams); of no n-gram there are none in column 0.

        Parameters
        ----------
        grams : Tensor of int64, shape (n, length, numbers)
            Numbers of each word's n-grams from 1, and 0 for none.
        """
        words = grams[:, :, 0]  # the first number is that of the word in lower case
        before, behind = (nn.functional.pad(words, side) for side in ((1, 0), (0, 1)))
        pairs = torch.where(before + behind > 0, before * 1_000_003 + behind * 7_919 + 17, 0)
        numbers = torch.cat([grams.flatten(1), pairs], 1)
        places = torch.where(numbers > 0, numbers % BUCKETS, -1).sort(1).values
        first = nn.functional.pad(places[:, 1:] != places[:, :-1], (1, 0), value=True)
        where = torch.arange(places.shape[1], device=places.device).where(first, places.shape[1])
        next_one = nn.functional.pad(where[:, 1:], (0, 1), value=places.shape[1]).flip(1).cummin(1).values.flip(1)
        return places.clamp(min=0), torch.where(first & (places >= 0), next_one - where, 0)

    def count_inputs(self, inputs: Inputs) -> None:
        """Count in how many texts of the training rows each n-gram is."""
        grams = inputs[0] if isinstance(inputs, tuple) else inputs
        places, counts = self.counted(grams)
        self.texts += len(grams)
        self.holding += places[counts > 0].bincount(minlength=BUCKETS)

    def entries(self, inputs: Inputs) -> Entries:
        grams, *beside = inputs if isinstance(inputs, tuple) else (inputs,)
        columns, counts = self.counted(grams)
        rare = 1 + ((1 + self.texts) / (1 + self.holding[columns])).log()
        weights = torch.where(counts > 0, (1 + counts.clamp(min=1).log()) * rare, 0)
        values = nn.functional.normalize(weights, dim=1)
        for features in beside:
            places = torch.arange(BUCKETS, self.columns, device=grams.device).expand(len(grams), -1)
            columns, values = torch.cat([columns, places], 1), torch.cat([values, features], 1)
        row, at = values.nonzero(as_tuple=True)
        return Entries(len(grams), row, columns[row, at], values[row, at])
