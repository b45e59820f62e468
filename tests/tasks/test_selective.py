"""The cut below which answers are unknown: the guarantee that it is chosen for, and what it says of few rows."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binomtest

from mtl_cli.tasks.selective import DELTA, curve, find_cut, rows_needed, tried

DRAWS = 400
GRID = np.linspace(0, 1, 20_001)
"""The probabilities of the rows to come, which are as likely as each other."""

SHAPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "calibrated": lambda p: p,
    "too sure of itself": lambda p: 0.4 + 0.55 * p**2,
    "nowhere as good as asked": lambda p: np.full_like(p, 0.895),
    "worse where it is surest": lambda p: np.where(p > 0.9, 0.8, np.where(p > 0.4, 0.99, 0.5)),
}


@pytest.mark.parametrize("shape", list(SHAPES))
@pytest.mark.parametrize("rows", [70, 500])
def test_the_share_is_missed_as_rarely_as_it_says(shape: str, rows: int) -> None:
    """a(c), the share of right answers above the cut among all rows to come, is known exactly of made ones."""
    random, missed, estimated = np.random.default_rng(0), 0, 0
    truth = SHAPES[shape](GRID)
    above = np.cumsum(truth[::-1])[::-1] / np.arange(len(GRID), 0, -1)  # a(c) by the place of c

    def true_share(cut: float) -> float:
        return float(above[min(np.searchsorted(GRID, cut, side="right"), len(GRID) - 1)])

    for _ in range(DRAWS):
        probability = random.random(rows)
        right = random.random(rows) < SHAPES[shape](probability)
        cut = find_cut(probability, right, 0.9)
        missed += cut.value < math.inf and true_share(cut.value) < 0.9
        surest, accuracy, lowest = curve(probability, right)
        held = np.flatnonzero((accuracy >= 0.9) & (surest >= 10))
        estimated += len(held) > 0 and true_share(lowest[held[-1]] - 1e-9) < 0.9
    assert binomtest(missed, DRAWS, DELTA, "greater").pvalue > 0.001, missed / DRAWS
    assert estimated / DRAWS > 2 * DELTA, "what the labels show on average would be no guarantee"


def test_what_can_be_answered_is() -> None:
    random = np.random.default_rng(1)
    probability = random.random(2000)
    cut = find_cut(probability, random.random(2000) < probability, 0.9)
    assert 0.1 <= cut.answered / cut.rows <= 0.2  # of calibrated rows those above 0.8 are right in 0.9 of cases
    assert cut.right / cut.answered > 0.9 and (probability > cut.value).sum() == cut.answered
    every = find_cut(probability, random.random(2000) < 0.95, 0.9)
    assert (every.value, every.answered) == (-math.inf, 2000)
    none = find_cut(probability, np.zeros(2000, bool), 0.9)
    assert (none.value, none.answered) == (math.inf, 0)


def test_equal_probabilities_are_answered_together() -> None:
    probability = np.repeat([0.9, 0.5], 200)
    cut = find_cut(probability, probability > 0.7, 0.9)
    assert (cut.value, cut.answered, cut.right) == (0.5, 200, 200)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95, 0.99])
def test_as_few_rows_as_can_do(share: float) -> None:
    least = rows_needed(share)
    assert tried(least, share) == [least] and tried(least - 1, share) == []
    right = np.ones(least, bool)
    assert find_cut(np.linspace(0.5, 1, least), right, share).answered == least
    assert find_cut(np.linspace(0.5, 1, least), np.arange(least) > 0, share).answered == 0


def test_the_curve_counts_by_hand() -> None:
    rows, accuracy, probability = curve(np.array([0.2, 0.9, 0.5, 0.5]), np.array([False, True, True, False]))
    assert rows.tolist() == [1, 3, 4] and probability.tolist() == [0.9, 0.5, 0.2]
    assert accuracy == pytest.approx([1, 2 / 3, 1 / 2])
