"""Intervals of means, and whether groups of repeated measurements differ.

Measurements are a table: a row per block (a seed, or a fold, that all groups have in common), a column per group. What
makes a block easy for all groups cancels. Which test is taken:

=============  ====================================================  ==========================================
groups         with blocks                                           without
=============  ====================================================  ==========================================
two            paired t-test                                         Welch's t-test
three or more  repeated-measures ANOVA, then Tukey's HSD, both with  Welch's ANOVA (1951), then Games & Howell
               degrees of freedom after Greenhouse & Geisser (1959); (1976)
               where residuals are not normal, Friedman's test, then
               Nemenyi's critical difference (Demšar 2006, JMLR 7)
=============  ====================================================  ==========================================

A difference is told only if the test of all groups at once finds one, and the interval of that pair, which holds for
all pairs together, leaves out 0. So the chance to tell any where there is none is at most 5 %.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

LEVEL = 0.95
"""Of all intervals."""
NOT_NORMAL = 0.01
"""Shapiro and Wilk's p below which residuals are taken to be not normal."""
FEWEST = 3
"""Blocks that ranks need: with two, no order of the groups is rare."""
Test = Literal["auto", "anova", "friedman"]


@dataclass(frozen=True)
class Interval:
    """A mean, and half the width of its interval; NaN where one value is all there is."""

    mean: float
    half: float
    n: int

    @property
    def low(self) -> float:
        """The lower end."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """The upper end."""
        return self.mean + self.half

    @property
    def apart(self) -> bool:
        """Whether 0 lies outside."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Tested:
    """What a test of several groups says.

    Parameters
    ----------
    name : str
        Of the test, and of that of the pairs.
    p : float
        Of the test of all groups at once.
    differences : dict of (int, int) to Interval
        By pair i < j: mean of group i minus that of group j; all of them hold together.
    told : frozenset of (int, int)
        The pairs that differ.
    ranks : list of float, optional
        The groups' mean ranks, 1 the largest values, and with them ``critical``: how far two must be apart.
    """

    name: str
    p: float
    differences: dict[tuple[int, int], Interval]
    told: frozenset[tuple[int, int]]
    ranks: list[float] | None = None
    critical: float | None = None


def interval(values: Sequence[float], share: float = 0.0) -> Interval:
    """Return the mean of independent values and its interval by Student's t; values that are not finite are left out.

    Parameters
    ----------
    values : sequence of float
    share : float
        Of values from cross-validation: rows held out to a row trained on, by which the variance of the mean is larger
        (Nadeau & Bengio 2003, doi 10.1023/A:1024068626366).
    """
    known = np.array([value for value in values if math.isfinite(value)], dtype=float)
    if len(known) < 2:
        return Interval(float(known[0]) if len(known) else math.nan, math.nan, len(known))
    error = math.sqrt(float(known.var(ddof=1)) * (1 / len(known) + share))
    return Interval(float(known.mean()), _t(len(known) - 1) * error, len(known))


def compare_blocks(values: np.ndarray, test: Test = "auto", share: float = 0.0) -> Tested:
    """Test whether groups differ that were measured on the same blocks.

    Parameters
    ----------
    values : ndarray of shape (blocks, groups)
        At least two of each; larger is better.
    test : {"auto", "anova", "friedman"}
        Of three groups or more.
    share : float
        As ``interval`` has it. With blocks that are folds, pairs are tested by Bonferroni's correction of their
        t-intervals, and nothing else: the other tests know no folds.
    """
    n, k = values.shape
    if k == 2 or share > 0:
        return _pairs(values, share)
    if test == "friedman" or (test == "auto" and n >= FEWEST and not normal(residuals(values))):
        return _friedman(values)
    _, p, epsilon = repeated_anova(values)
    freedom = math.floor(2 * epsilon * (n - 1) * (k - 1)) / 2  # few of them, so that quantiles are computed once
    half = studentized(k, max(freedom, 1)) * math.sqrt(error_variance(values) / n)
    means = values.mean(axis=0)
    found = {pair: Interval(float(means[pair[0]] - means[pair[1]]), half, n) for pair in _all_pairs(k)}
    return _told("repeated-measures ANOVA and Tukey's HSD", p, found)


def compare_apart(groups: Sequence[np.ndarray]) -> Tested:
    """Test whether groups differ that have no blocks in common; the variance of each may be another.

    Parameters
    ----------
    groups : sequence of ndarray
        At least two values of each; larger is better.
    """
    k = len(groups)
    means = [float(group.mean()) for group in groups]
    errors = [float(group.var(ddof=1)) / len(group) for group in groups]
    found = {}
    for i, j in _all_pairs(k):
        variance = errors[i] + errors[j]
        freedom = _welch_freedom(errors[i], errors[j], len(groups[i]), len(groups[j]))
        width = _t(freedom) if k == 2 else studentized(k, freedom) / math.sqrt(2)
        found[i, j] = Interval(means[i] - means[j], width * math.sqrt(variance), len(groups[i]) + len(groups[j]))
    if k == 2:
        apart = found[0, 1]
        freedom = _welch_freedom(errors[0], errors[1], len(groups[0]), len(groups[1]))
        return _told("Welch's t-test", _t_test(apart.mean, math.sqrt(errors[0] + errors[1]), freedom), found)
    return _told("Welch's ANOVA and Games-Howell", welch_anova(groups), found)


def residuals(values: np.ndarray) -> np.ndarray:
    """Return what is left of the values without the means of blocks and groups; shape (..., blocks, groups)."""
    left: np.ndarray = values - values.mean(-1, keepdims=True) - values.mean(-2, keepdims=True)
    left += values.mean((-1, -2), keepdims=True)
    return left


def error_variance(values: np.ndarray) -> float:
    """Return the mean square of the residuals, by which groups on the same blocks are compared."""
    n, k = values.shape
    return float((residuals(values) ** 2).sum() / ((n - 1) * (k - 1)))


def repeated_anova(values: np.ndarray) -> tuple[float, float, float]:
    """Return F of a repeated-measures ANOVA, its p with Greenhouse and Geisser's correction, and their epsilon.

    Parameters
    ----------
    values : ndarray of shape (blocks, groups)
    """
    from scipy.special import fdtrc

    n, k = values.shape
    error = error_variance(values)
    between = n * float(values.mean(axis=0).var(ddof=1))
    if error <= 1e-24 * float((values**2).mean()):  # rounding alone: every block says the same
        return (math.inf, 0.0, 1.0) if between > 1e-24 * float((values**2).mean()) else (0.0, 1.0, 1.0)
    covariance = np.cov(values, rowvar=False)
    centred = covariance - covariance.mean(0) - covariance.mean(1, keepdims=True) + covariance.mean()
    epsilon = float(np.trace(centred) ** 2 / ((k - 1) * (centred**2).sum()))
    statistic = between / error
    return statistic, float(fdtrc(epsilon * (k - 1), epsilon * (k - 1) * (n - 1), statistic)), epsilon


def welch_anova(groups: Sequence[np.ndarray]) -> float:
    """Return the p of Welch's ANOVA, which lets each group have a variance of its own."""
    from scipy.special import fdtrc

    k = len(groups)
    n = np.array([len(group) for group in groups], dtype=float)
    means = np.array([group.mean() for group in groups])
    variances = np.array([group.var(ddof=1) for group in groups])
    if (variances <= 0).any():
        return 0.0 if float(means.var()) > 0 else 1.0
    weights = n / variances
    share = weights / weights.sum()
    spread = float((((1 - share) ** 2) / (n - 1)).sum())
    above = float((weights * (means - (share * means).sum()) ** 2).sum()) / (k - 1)
    statistic = above / (1 + 2 * (k - 2) / (k**2 - 1) * spread)
    return float(fdtrc(k - 1, (k**2 - 1) / (3 * spread), statistic))


def normal(values: np.ndarray) -> bool:
    """Whether nothing speaks against a normal distribution of the values (Shapiro & Wilk 1965)."""
    from scipy.stats import shapiro

    flat = values.ravel()
    if len(flat) < 3 or float(np.ptp(flat)) <= 1e-12 * float(np.abs(flat).max()):
        return True
    return bool(shapiro(flat).pvalue >= NOT_NORMAL)


def mean_ranks(values: np.ndarray) -> np.ndarray:
    """Return the groups' mean ranks over the blocks, 1 for the largest value; ties share theirs."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(-values, axis=-1).mean(axis=-2))


def critical_difference(blocks: int, groups: int) -> float:
    """Return how far two groups' mean ranks must be apart (Nemenyi 1963; Demšar 2006, section 3.2.2)."""
    return studentized(groups, math.inf) / math.sqrt(2) * math.sqrt(groups * (groups + 1) / (6 * blocks))


@functools.lru_cache(maxsize=1024)
def studentized(groups: int, freedom: float) -> float:
    """Return the quantile of the studentized range, which takes some milliseconds to compute."""
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(LEVEL, groups, freedom))


def _friedman(values: np.ndarray) -> Tested:
    from scipy.stats import friedmanchisquare

    n, k = values.shape
    ranks, critical = mean_ranks(values), critical_difference(n, k)
    p = float(friedmanchisquare(*values.T).pvalue)
    p = 1.0 if math.isnan(p) else p  # every block is one tie
    pairs = {(i, j): interval(values[:, i] - values[:, j]) for i, j in _all_pairs(k)}
    far = {pair for pair in pairs if abs(ranks[pair[0]] - ranks[pair[1]]) > critical}
    told = frozenset(far if p < 1 - LEVEL else ())
    return Tested("Friedman's test and Nemenyi's", p, pairs, told, [float(rank) for rank in ranks], critical)


def _pairs(values: np.ndarray, share: float) -> Tested:
    """Test pairs by t-intervals that hold together."""
    n, k = values.shape
    pairs, p = _all_pairs(k), math.nan
    found = {}
    for i, j in pairs:
        apart = values[:, i] - values[:, j]
        error = math.sqrt(float(apart.var(ddof=1)) * (1 / n + share))
        found[i, j] = Interval(float(apart.mean()), _t(n - 1, len(pairs)) * error, n)
        p = _t_test(found[i, j].mean, error, n - 1) if len(pairs) == 1 else p
    corrected = " over folds (Nadeau & Bengio)" if share > 0 else ""
    together = ", Bonferroni's correction" if len(pairs) > 1 else ""
    return _told(f"paired t-test{corrected}{together}", p, found)


def _told(name: str, p: float, found: dict[tuple[int, int], Interval]) -> Tested:
    """Return a test; without a ``p`` the intervals alone decide."""
    apart = frozenset(pair for pair, one in found.items() if one.apart)
    return Tested(name, p, found, apart if math.isnan(p) or p < 1 - LEVEL else frozenset())


def _welch_freedom(first: float, second: float, n: int, m: int) -> float:
    below = first**2 / (n - 1) + second**2 / (m - 1)
    return (first + second) ** 2 / below if below > 0 else float(n + m - 2)


def _all_pairs(k: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(k) for j in range(i + 1, k)]


def _t_test(mean: float, error: float, freedom: float) -> float:
    """Return the p of a mean by Student's t, two-sided."""
    from scipy.special import stdtr

    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * stdtr(freedom, -abs(mean) / error))


def _t(freedom: float, together: int = 1) -> float:
    """Return Student's t at the level of intervals, of so many that hold together."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 1 - (1 - LEVEL) / (2 * together)))
