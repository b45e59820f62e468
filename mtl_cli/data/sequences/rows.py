"""Sequences of any length: kept end to end, padded per batch, in batches of similar lengths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch

from mtl_cli.config.errors import UserError
from mtl_cli.data.inputs import InputRows, Order
from mtl_cli.data.sequences.residues import name_row

PADDING = 0
"""The number of the token that fills a batch up to its longest row."""
CHUNK = 2**14
"""Tokens, padding included, of a forward pass in which no gradient is needed."""
POOL = 50
"""Batches whose rows are sorted by length together."""
JITTER = 0.1
"""By how much of a length rows are sorted at random, so that other rows meet in each epoch."""


class LengthOrder(Order):
    """Every row once, in batches of rows of similar lengths; other batches, in another order, each time.

    Shuffled rows are sorted by length (times a random factor near 1) within pools of some batches, cut into batches,
    and the batches are shuffled.

    Parameters
    ----------
    lengths : Tensor of int64, shape (n,), on the CPU
    batch_size : int
    smallest : int
        Leave out a last batch of fewer rows.
    seed : int
        It does not touch torch's global generator.
    """

    def __init__(self, lengths: torch.Tensor, batch_size: int, smallest: int, seed: int) -> None:
        self.lengths, self.batch_size, self.smallest = lengths, min(batch_size, len(lengths)), smallest
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        rest = len(self.lengths) % self.batch_size
        return len(self.lengths) // self.batch_size + (rest >= self.smallest and rest > 0)

    def __iter__(self) -> Iterator[torch.Tensor]:
        """Yield row numbers on the CPU, where the lengths of a batch are known without waiting for a device."""
        rows = torch.randperm(len(self.lengths), generator=self.generator)
        factors = 1 + JITTER * (torch.rand(len(rows), generator=self.generator) - 0.5)
        keys = self.lengths[rows] * factors
        batches: list[torch.Tensor] = []
        for start in range(0, len(rows), POOL * self.batch_size):
            pool = slice(start, start + POOL * self.batch_size)
            batches += torch.split(rows[pool][keys[pool].argsort(stable=True)], self.batch_size)
        for batch in torch.randperm(len(self), generator=self.generator).tolist():  # only the last may be too small
            yield batches[batch]


class TokenRows(InputRows):
    """Rows of token numbers, a byte each.

    Parameters
    ----------
    tokens : Tensor of uint8, shape (all tokens,)
        End to end; from 1, 0 is padding.
    lengths : ndarray of int64, shape (n,)
    full_lengths : ndarray of int64, shape (n,), optional
        Before rows were cut to the longest that is allowed.
    starts : ndarray of int64, shape (n,), optional
        Where each row begins; by default where the one before ends.
    stops : ndarray of bool, shape (n,), optional
        Whether a row's text ended in a stop ``*``, which is no token.
    """

    lengths: np.ndarray

    def __init__(
        self,
        tokens: torch.Tensor,
        lengths: np.ndarray,
        full_lengths: np.ndarray | None = None,
        starts: np.ndarray | None = None,
        stops: np.ndarray | None = None,
    ) -> None:
        self.tokens, self.lengths = tokens, lengths
        self.full_lengths = lengths if full_lengths is None else full_lengths
        self.starts = np.cumsum(lengths) - lengths if starts is None else starts
        self.stops = np.zeros(len(lengths), bool) if stops is None else stops
        self._lengths, self._starts = torch.from_numpy(lengths), torch.from_numpy(self.starts)

    def __len__(self) -> int:
        return len(self.lengths)

    def select(self, rows: np.ndarray) -> TokenRows:
        """Return some rows; the tokens are not copied."""
        return TokenRows(self.tokens, self.lengths[rows], self.full_lengths[rows], self.starts[rows], self.stops[rows])

    def to(self, device: torch.device) -> TokenRows:
        return TokenRows(self.tokens.to(device), self.lengths, self.full_lengths, self.starts, self.stops)

    def take(self, rows: torch.Tensor | slice) -> torch.Tensor:
        """Return token numbers of shape (rows, longest of them), int64, padded with 0."""
        rows = rows if isinstance(rows, slice) else rows.cpu()
        lengths, starts = self._lengths[rows], self._starts[rows]
        places = torch.arange(max(int(lengths.max()), 1) if len(lengths) else 1)
        inside = places < lengths.unsqueeze(1)
        if not len(self.tokens):  # texts without a word
            return self.tokens.new_zeros(inside.shape).long()
        index = (starts.unsqueeze(1) + places).where(inside, 0).to(self.tokens.device)
        return self.tokens[index].long() * inside.to(self.tokens.device)

    def order(self, batch_size: int, smallest: int, seed: int, device: torch.device) -> LengthOrder:
        """Return an order in which rows of similar lengths are together."""
        return LengthOrder(self._lengths, batch_size, smallest, seed)

    def dense(self) -> TokenRows:
        return self

    def shuffled(self, inputs: Sequence[int], order: np.ndarray, of: np.ndarray | None = None) -> TokenRows:
        """Return the same rows but for the tokens at some positions, among those rows that are as long."""
        tokens = self.tokens.clone()
        for position in inputs:
            there = np.flatnonzero(self.lengths > position)
            from_rows = order[self.lengths[order] > position]
            tokens[self._starts[there] + position] = self.tokens[self._starts[from_rows] + position]
        return TokenRows(tokens, self.lengths, self.full_lengths, self.starts, self.stops)

    def chunks(self) -> list[torch.Tensor]:
        """Return all rows, from short to long, in pieces of about ``CHUNK`` tokens with their padding."""
        order = torch.argsort(self._lengths, stable=True)
        found, start = [], 0
        for end, length in enumerate(self._lengths[order].tolist(), 1):
            if end - start > 1 and (end - start) * length > CHUNK:
                found.append(order[start : end - 1])
                start = end - 1
        return [*found, order[start:]]

    def align(self, labels: pd.Series, ids: pd.Series, where: str) -> pd.Series:
        """Cut texts with a character per token to the tokens that are kept. Raises UserError if lengths differ.

        A text may have a character for the stop ``*`` that ended a sequence; it goes as the stop did.
        """
        kept: list[str | None] = []
        names = None if ids.name == "row" else ids
        rows = zip(labels, self.full_lengths, self.lengths, self.stops, strict=True)
        for row, (text, full, length, stop) in enumerate(rows):
            if not isinstance(text, str):
                kept.append(None)
                continue
            if len(text) != full and not (stop and len(text) == full + 1):
                closed = ", without the closing *," if stop else ""
                what = f"{name_row(labels, names, row)} has {full} residues{closed} and {len(text)} labels"
                raise UserError(where, what, "each residue needs a character, such as - where it has no label")
            kept.append(text[:length])
        return pd.Series(kept, index=labels.index, dtype="object", name=labels.name)
