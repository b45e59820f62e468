"""Answering only where the model is sure: the probability from which on a wanted share of the answers is right.

A cut c answers a row if the probability p of its answer is above c. Let a(c) be the share of right answers among rows
with p > c that come as the n labelled rows did on which the cut is chosen. Of these, K cuts are tried, which answer
1/20, 2/20, … of them: the k rows above the (k + 1)-th largest p were drawn from those with p > c, so that the number of
right answers among them is binomial, Bin(k, a(c)). A cut holds if as many would be right with a probability of at most
δ / K were a(c) the wanted share (Bonferroni), and the lowest that holds is taken. So with a probability of at least
1 − δ over the n rows, a(c) is at least the wanted share: for any model, any n and any distribution of rows. The test is
that of Geifman & El-Yaniv 2017 (arXiv 1705.08500), on numbers of rows that are fixed before, as Angelopoulos et al.
2021 (arXiv 2110.01052) do it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

DELTA = 0.05
"""The probability with which the wanted share may be missed, by the draw of the rows."""
STEPS = 20
"""Cuts that are tried at most."""


@dataclass(frozen=True)
class Cut:
    """The probability that an answer has to be above.

    Parameters
    ----------
    share : float
        The wanted share of right answers.
    value : float
        −inf answers every row; inf none, where no cut holds.
    rows : int
        On which it was chosen.
    answered : int
        How many of them it answers.
    right : int
        How many of these answers are right.
    """

    share: float
    value: float
    rows: int
    answered: int
    right: int


def tried(rows: int, share: float) -> list[int]:
    """Return how many rows the cuts that are tried would answer, the most first.

    Those that could not hold if all of their answers were right are left out; they say nothing of labels.
    """
    counts = sorted({round(rows * step / STEPS) for step in range(1, STEPS + 1)} - {0}, reverse=True)
    for number in range(len(counts), 0, -1):
        if counts[number - 1] * math.log(share) <= math.log(DELTA / number):
            return counts[:number]
    return []


def rows_needed(share: float) -> int:
    """Return the fewest rows on which a cut can be chosen: all of their answers have to be right."""
    return math.ceil(math.log(DELTA) / math.log(share))


def find_cut(probability: np.ndarray, right: np.ndarray, share: float) -> Cut:
    """Choose the lowest cut that holds, see above.

    Parameters
    ----------
    probability : ndarray of shape (n,)
        Of each row's answer.
    right : ndarray of bool, shape (n,)
    share : float
        The share of right answers wanted, between 0 and 1.
    """
    from scipy.stats import binom

    rows = len(probability)
    counts = tried(rows, share)
    descending = np.sort(probability)[::-1]
    for count in counts:
        value = float(descending[count]) if count < rows else -math.inf
        above = probability > value  # fewer than ``count`` where probabilities are equal
        answered, hits = int(above.sum()), int(right[above].sum())
        if answered and binom.sf(hits - 1, answered, share) <= DELTA / len(counts):
            return Cut(share, value, rows, answered, hits)
    return Cut(share, math.inf, rows, 0, 0)


def curve(probability: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the accuracy of the surest rows against how many they are: the accuracy-coverage curve.

    Returns
    -------
    answered : ndarray of int
        Numbers of rows; rows of one probability come at once.
    accuracy : ndarray
        Of so many of the surest rows.
    probability : ndarray
        The lowest among them.
    """
    order = np.argsort(-probability, kind="stable")
    sorted_, hits = probability[order], np.cumsum(right[order])
    last = np.flatnonzero(np.append(sorted_[1:] != sorted_[:-1], True))
    return last + 1, hits[last] / (last + 1), sorted_[last]
