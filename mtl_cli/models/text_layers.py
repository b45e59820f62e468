"""Words as sums of hashed n-grams, and convolutions over them, in which padding counts for nothing."""

from __future__ import annotations

import torch
from torch import nn

from mtl_cli.data.inputs import Inputs
from mtl_cli.models.layers import ACTIVATIONS
from mtl_cli.models.sequence_layers import Block

FIRST = 0.01
"""The deviation of the first n-gram vectors. The norm behind their sum makes their size of no matter, but for how far a
step of the optimizer takes them."""
MANY_TEXTS, OF_FEW, OF_MANY = 8000, 0.8, 0.3
"""Training texts above which a text's means leave out fewer of its words, and the two shares: see ``TextTrunk``."""


class GramEmbedding(nn.Module):
    """The vector of a word: the sum of those of its n-grams (Bojanowski et al. 2017, doi 10.1162/tacl_a_00051).

    An n-gram's vector is found by its number modulo ``buckets``; two may share one.

    Parameters
    ----------
    buckets, width : int
    dropout : float
        The share of n-grams that are left out in training, anew each time.
    """

    def __init__(self, buckets: int, width: int, dropout: float) -> None:
        super().__init__()
        self.buckets, self.dropout = buckets, dropout
        self.bag = nn.EmbeddingBag(buckets + 1, width, mode="sum", padding_idx=0)
        with torch.no_grad():
            self.bag.weight[1:].normal_(std=FIRST)

    def forward(self, grams: torch.Tensor) -> torch.Tensor:
        """Return (n, length, width), given numbers from 1, and 0 for none, (n, length, numbers)."""
        places = torch.where(grams > 0, (grams - 1) % self.buckets + 1, 0)
        if self.training and self.dropout > 0:
            places = places * (torch.rand(places.shape, device=places.device) >= self.dropout)
        found: torch.Tensor = self.bag(places.flatten(0, 1))
        return found.view(*grams.shape[:2], -1)


class TextTrunk(nn.Module):
    """From the n-grams of words, and features, to a representation of each text and of each of its words.

    A text is a further place in front of its words: the mean of what its words are, before the convolutions and behind
    them, and its features. The last layer is the same for all places. That of the text has no norm before it: what is
    said of a text by a few words alone stays small, and its classes uncertain.

    Parameters
    ----------
    embedding : GramEmbedding
    width_of_words, features : int
    width : int
    blocks, kernel : int
    activation : str
    dropout : float
        At the end of each block, and behind the last layer.
    input_dropout : float
        Of the words' vectors, and of what is made into the place of the text.
    word_dropout : float, optional
        The share of words that a text's means leave out in training; by default ``OF_FEW`` or ``OF_MANY``.
    """

    def __init__(
        self,
        embedding: GramEmbedding,
        width_of_words: int,
        features: int,
        width: int,
        blocks: int,
        kernel: int,
        activation: str,
        dropout: float,
        input_dropout: float,
        word_dropout: float | None,
    ) -> None:
        super().__init__()
        self.embedding, self.word_dropout = embedding, word_dropout
        self.texts: torch.Tensor
        self.register_buffer("texts", torch.zeros(()))
        self.words = nn.Sequential(
            nn.LayerNorm(width_of_words), nn.Dropout(input_dropout), nn.Linear(width_of_words, width)
        )
        self.blocks = nn.ModuleList(Block(width, kernel, 2**i, activation, dropout) for i in range(blocks))
        self.input_dropout = nn.Dropout(input_dropout)
        self.text = nn.Linear(2 * width + features, width)
        self.norm = nn.LayerNorm(width)
        self.last = nn.Linear(width, width)
        self.out = nn.Sequential(ACTIVATIONS[activation](), nn.Dropout(dropout))

    def count_inputs(self, inputs: Inputs) -> None:
        """Count training texts."""
        self.texts += len(inputs[0] if isinstance(inputs, tuple) else inputs)

    def forward(self, inputs: torch.Tensor | tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
        """Return ``row``, (n, width), and ``token``, (n, length, width), which is 0 beyond a text's end."""
        grams, *beside = inputs if isinstance(inputs, tuple) else (inputs,)
        inside = grams[:, :, :1] > 0
        words = self.words(self.embedding(grams)) * inside
        found = words
        for block in self.blocks:
            found = block(found, inside)
        kept = inside
        if self.training and self.word_dropout != 0:
            share: float | torch.Tensor | None = self.word_dropout
            if share is None:  # on the device, which is not waited for
                share = torch.where(self.texts > MANY_TEXTS, OF_MANY, OF_FEW)
            kept = inside & (torch.rand(inside.shape, device=inside.device) >= share)
        count = kept.sum(1).clamp(min=1)
        means = torch.cat([(words * kept).sum(1) / count, (found * kept).sum(1) / count], 1)
        text = self.text(torch.cat([self.input_dropout(means), *beside], 1))
        places = self.out(self.last(torch.cat([text.unsqueeze(1), self.norm(found)], 1)))
        return {"row": places[:, 0], "token": places[:, 1:] * inside}
