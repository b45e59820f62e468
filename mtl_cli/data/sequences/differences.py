"""A family of sequences: its reference, and where each sequence differs from it.

Lengths may differ: a sequence that is shorter or longer than the reference has one gap, at the place where most of the
rest agrees. That is right for substitutions with one stretch that was inserted or deleted.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

PADDING = 0
"""The number of the token that fills a row; in a difference, that of no residue."""
ALIKE = 0.5
"""The mean share of a reference that sequences may differ in and still be one family."""
FEWEST = 20
"""Rows in which a reference is looked for."""
SAMPLE = 1000
"""Sequences that a reference is tried on."""
MOST = 2**24
"""Tokens of the sequences, spread evenly, that it is made of."""
LENGTHS = 3
"""The most frequent lengths, whose sequences a reference is made of."""


class Differences(NamedTuple):
    """Where rows differ from the reference, an entry per difference, in the rows' order.

    Parameters
    ----------
    row : Tensor of int64, shape (differences,)
    place : Tensor of int64
        In the reference, from 0; that behind an insertion.
    was, now : Tensor of int64
        The tokens of the reference and of the row; ``PADDING`` where it was inserted or deleted.
    """

    row: torch.Tensor
    place: torch.Tensor
    was: torch.Tensor
    now: torch.Tensor

    def kinds(self, tokens: int) -> torch.Tensor:
        """Return the number of each difference: of its place and what is there now, and whether something was before.

        Of a reference of L tokens, and so many in the vocabulary, there are ``number_of_kinds``.
        """
        return (2 * self.place + (self.was == PADDING)) * tokens + self.now


def number_of_kinds(reference: int, tokens: int) -> int:
    """Return how many numbers ``Differences.kinds`` has for a reference of that length."""
    return 2 * (reference + 1) * tokens


def differences(tokens: torch.Tensor, reference: torch.Tensor) -> Differences:
    """Return where rows differ from a reference.

    Parameters
    ----------
    tokens : Tensor of int64, shape (n, length)
        Padded behind each row's end.
    reference : Tensor of int64, shape (length of the reference,)
    """
    size, length = len(reference), tokens.shape[1]
    lengths = (tokens != PADDING).sum(1, keepdim=True)
    more = lengths - size  # than the reference has
    places = torch.arange(max(size, length), device=tokens.device)
    gap = _gap(tokens, reference, lengths)
    behind = places >= gap
    of_row, of_reference = places + more.clamp(min=0) * behind, places - more.clamp(max=0) * behind
    paired = (of_row < lengths) & (of_reference < size)
    now = tokens.gather(1, of_row.clamp(max=length - 1))
    was = reference[of_reference.clamp(max=size - 1)]
    row, place = ((now != was) & paired).nonzero(as_tuple=True)
    inserted = (places[:length] >= gap) & (places[:length] < gap + more)
    in_row, at = inserted.nonzero(as_tuple=True)
    deleted = (places[:size] >= gap) & (places[:size] < gap - more)
    of_deleted, lost = deleted.nonzero(as_tuple=True)
    none = torch.zeros_like(at), torch.zeros_like(lost)
    found = Differences(
        torch.cat([row, in_row, of_deleted]),
        torch.cat([of_reference[row, place], gap[in_row, 0], lost]),
        torch.cat([was[row, place], none[0], reference[lost]]),
        torch.cat([now[row, place], tokens[in_row, at], none[1]]),
    )
    order = found.row.argsort(stable=True)
    return Differences(*(values[order] for values in found))


def _gap(tokens: torch.Tensor, reference: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return the place of each row's gap, (n, 1): the first at which the fewest of the other residues differ."""
    size, length = len(reference), tokens.shape[1]
    more = lengths - size
    shorter = lengths.clamp(max=size)
    places = torch.arange(min(size, length), device=tokens.device)
    inside = places < shorter
    before = (tokens[:, : len(places)] != reference[: len(places)]) & inside
    of_row = (places + more.clamp(min=0)).clamp(max=length - 1)
    of_reference = (places - more.clamp(max=0)).clamp(max=size - 1)
    behind = (tokens.gather(1, of_row) != reference[of_reference]) & inside
    cost = torch.nn.functional.pad((before.long() - behind.long()).cumsum(1), (1, 0))
    beyond = torch.arange(len(places) + 1, device=tokens.device) > shorter
    return cost.masked_fill(beyond, tokens.numel()).argmin(1, keepdim=True)


def find_reference(tokens: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Return the reference of rows, and how many differences a row has on average.

    It is what most rows of one length have at each position, for that of the most frequent lengths by which rows differ
    the least.

    Parameters
    ----------
    tokens : Tensor of int64, shape (n, length)
        Padded behind each row's end; n is at least 1.
    """
    lengths = (tokens != PADDING).sum(1)
    usual, counts = lengths.unique(return_counts=True)  # type: ignore[no-untyped-call]
    some = tokens[:: -(-len(tokens) // SAMPLE)]
    best: tuple[torch.Tensor, float] | None = None
    for length in usual[counts.argsort(descending=True, stable=True)][:LENGTHS].tolist():
        rows = tokens[lengths == length, :length]
        reference = _counts(rows).argmax(1)
        mean = len(differences(some, reference).row) / len(some)
        if best is None or mean < best[1]:
            best = reference, mean
    assert best is not None
    return best


def _counts(rows: torch.Tensor) -> torch.Tensor:
    """Return how often each token is at each position, (length, tokens)."""
    found = torch.zeros((rows.shape[1], int(rows.max()) + 1), dtype=torch.int64, device=rows.device)
    for token in range(found.shape[1]):
        found[:, token] = (rows == token).sum(0)
    return found
