"""Texts as rows of words: each word a number, whose n-grams are looked up per batch, and padded per batch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import pandas as pd
import torch

from mtl_cli.config.errors import UserError
from mtl_cli.data.inputs import InputRows, Inputs
from mtl_cli.data.sequences.rows import LengthOrder, TokenRows
from mtl_cli.data.text.words import GRAMS, numbers_of


class TextRows(InputRows):
    """Rows of words.

    Parameters
    ----------
    words : TokenRows
        The number of each word, from 1.
    grams : Tensor of int32, shape (different words + 1, numbers of a word)
        What ``numbers_of`` returns of each, filled with 0; the first row is 0.
    columns : InputRows, optional
        Features beside the text.
    """

    def __init__(self, words: TokenRows, grams: torch.Tensor, columns: InputRows | None = None) -> None:
        self.words, self.grams, self.columns = words, grams, columns
        self.lengths: np.ndarray = words.lengths
        self.full_lengths = words.full_lengths

    def __len__(self) -> int:
        return len(self.words)

    def beside(self, columns: InputRows) -> TextRows:
        """Return the same texts with features beside them."""
        return TextRows(self.words, self.grams, columns)

    def select(self, rows: np.ndarray) -> TextRows:
        columns = None if self.columns is None else self.columns.select(rows)
        return TextRows(self.words.select(rows), self.grams, columns)

    def to(self, device: torch.device) -> TextRows:
        columns = None if self.columns is None else self.columns.to(device)
        return TextRows(self.words.to(device), self.grams.to(device), columns)

    def take(self, rows: torch.Tensor | slice) -> Inputs:
        """Return numbers of n-grams, int64 of shape (rows, longest of them, numbers), padded with 0; and features."""
        grams = self.grams[self.words.take(rows)].long()
        if self.columns is None:
            return grams
        columns = self.columns.take(rows)
        assert isinstance(columns, torch.Tensor)
        return grams, columns

    def order(self, batch_size: int, smallest: int, seed: int, device: torch.device) -> LengthOrder:
        """Return an order in which rows of similar lengths are together."""
        return self.words.order(batch_size, smallest, seed, device)

    def chunks(self) -> list[torch.Tensor]:
        return self.words.chunks()

    @property
    def first_feature(self) -> int:
        """The number of the first feature beside the text, where inputs are numbered: words' positions come first."""
        return int(self.lengths.max(initial=0))

    def dense(self) -> TextRows:
        return self if self.columns is None else TextRows(self.words, self.grams, self.columns.dense())

    def shuffled(self, inputs: Sequence[int], order: np.ndarray, of: np.ndarray | None = None) -> TextRows:
        """Return the same rows but for the words at some positions, as ``TokenRows`` does, or for some features."""
        words = self.words.shuffled([number for number in inputs if number < self.first_feature], order)
        if self.columns is None:
            return TextRows(words, self.grams)
        return TextRows(words, self.grams, self.columns.shuffled(self._columns(inputs), order))

    def replaced(self, inputs: Sequence[int], values: torch.Tensor, of: np.ndarray | None = None) -> TextRows:
        """Return the same rows but for some features, which are ``values``, (inputs,), in all of them."""
        assert self.columns is not None
        return self.beside(self.columns.replaced(self._columns(inputs), values))

    def values_of(self, inputs: Sequence[int]) -> np.ndarray:
        """Return some features of all rows, (n, inputs)."""
        assert self.columns is not None
        return self.columns.values_of(self._columns(inputs))

    def _columns(self, inputs: Sequence[int]) -> list[int]:
        """Return which of the features beside the text some inputs are."""
        return [number - self.first_feature for number in inputs if number >= self.first_feature]

    def finite(self) -> np.ndarray | None:
        return None if self.columns is None else self.columns.finite()

    def align(self, labels: pd.Series, ids: pd.Series, where: str) -> pd.Series:
        return aligned(labels, self.full_lengths, self.lengths, ids, where)


def text_rows(texts: Sequence[Sequence[str]], longest: int | None = None) -> TextRows:
    """Return rows of texts that are cut into words, each cut off behind ``longest`` words."""
    full = np.array([len(words) for words in texts], dtype="int64")
    every = np.empty(int(full.sum()), dtype=object)
    every[:] = list(chain.from_iterable(texts))
    codes, different = pd.factorize(every)
    grams = torch.zeros((len(different) + 1, GRAMS), dtype=torch.int32)
    for place, word in enumerate(different, 1):
        numbers = numbers_of(word)
        grams[place, : len(numbers)] = torch.tensor(numbers, dtype=torch.int32)
    tokens = torch.from_numpy(codes.astype("int32") + 1)
    kept = full if longest is None else np.minimum(full, longest)
    return TextRows(TokenRows(tokens, kept, full, np.cumsum(full) - full), grams)


def aligned(labels: pd.Series, full: np.ndarray, kept: np.ndarray, ids: pd.Series, where: str) -> pd.Series:
    """Cut texts of a tag per word to the words that are kept.

    Parameters
    ----------
    labels : Series
    full, kept : ndarray of int, shape (n,)
        Words of each text, and those that are kept.
    ids : Series
    where : str
        The task, for messages.

    Raises
    ------
    UserError
        If there are not as many tags as words, naming the first such text.
    """
    found: list[str | None] = []
    for row, (text, words, length) in enumerate(zip(labels, full, kept, strict=True)):
        if not isinstance(text, str):
            found.append(None)
            continue
        tags = text.split()
        if len(tags) != words:
            name = "" if ids.name == "row" else f" ('{ids.iloc[row]}')"
            what = f"the text of row {int(labels.index[row]) + 1}{name} has {words} words and {len(tags)} tags"
            raise UserError(where, what, "each word needs a tag, such as _ where it has no label")
        found.append(" ".join(tags[:length]))
    return pd.Series(found, index=labels.index, dtype="object", name=labels.name)
