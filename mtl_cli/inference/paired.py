"""How far two models are apart on the same rows, with an interval: a paired bootstrap.

Both are measured on the same resamples of the rows (Efron & Tibshirani 1993, *An Introduction to the Bootstrap*,
chapters 6 and 12), so that what makes a resample easy for both cancels. The interval is the difference on the rows as
they are, plus and minus Student's t times the deviation of the resamples' differences. It says how far the difference
may be due to which rows were measured; that other training rows or seeds would have made other models is not in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mtl_cli.inference.evaluate import LOWER_IS_BETTER
from mtl_cli.tasks.task import Task

LEVEL = 0.95
"""Of the intervals: of all differences from one model together, if there are several."""
RESAMPLES, SEED = 400, 0
AT_ONCE = 2_000_000
"""Counts of rows that are held at once."""


@dataclass(frozen=True)
class Difference:
    """By how much one model is better than another in a metric.

    Parameters
    ----------
    metric : str
    value : float
        Positive if the first is better, also where less is better; NaN where the metric cannot be measured.
    half : float
        Half the width of the interval.
    """

    metric: str
    value: float
    half: float

    @property
    def known(self) -> bool:
        """Whether the metric could be measured, and its resamples too."""
        return math.isfinite(self.value) and math.isfinite(self.half)

    @property
    def better(self) -> bool:
        """Whether the whole interval says that the first is better."""
        return self.value - self.half > 0

    @property
    def worse(self) -> bool:
        """Whether the whole interval says that the first is worse."""
        return self.value + self.half < 0

    def state(self) -> dict[str, float]:
        """Return what ``metrics.json`` says of it."""
        return {"difference": self.value, "low": self.value - self.half, "high": self.value + self.half}

    def __str__(self) -> str:
        digits = 3 if not self.half > 0 else max(0, 1 - math.floor(math.log10(self.half)))
        return f"{abs(self.value):.{digits}f} ± {self.half:.{digits}f} {self.metric}"


def difference(task: Task, first: np.ndarray, second: np.ndarray, values: np.ndarray, together: int = 1) -> Difference:
    """Return by how much the first model is better on n rows, each of which has a label and both answers.

    Parameters
    ----------
    task : Task
        In whose ``compared`` metric.
    first, second : ndarray of shape (n, ...)
        The models' outputs.
    values : ndarray of shape (n, ...)
        The encoded labels.
    together : int
        Differences that the intervals are to hold for at once (Bonferroni).
    """
    n, metric = len(values), task.compared
    if n < 2:
        return Difference(metric, math.nan, math.nan)
    sign = -1 if metric in LOWER_IS_BETTER else 1

    def apart(counts: np.ndarray) -> np.ndarray:
        found: np.ndarray = task.resampled(first, values, counts) - task.resampled(second, values, counts)
        return found

    value, half = _bootstrapped(apart, n, together)
    return Difference(metric, sign * value, half)


def measured(task: Task, outputs: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """Return a model's metric ``task.compared`` on n rows, and half the width of its interval; NaN if there is none.

    Parameters
    ----------
    task : Task
    outputs : ndarray of shape (n, ...)
    values : ndarray of shape (n, ...)
        The encoded labels.
    """
    if len(values) < 2:
        return math.nan, math.nan
    return _bootstrapped(lambda counts: task.resampled(outputs, values, counts), len(values), 1)


def _bootstrapped(statistic: Callable[[np.ndarray], np.ndarray], n: int, together: int) -> tuple[float, float]:
    """Return a statistic of n rows, and half the width of its interval.

    Parameters
    ----------
    statistic : callable
        Of how often each row was drawn, shape (resamples, n).
    n : int
    together : int
        As ``difference`` has it.
    """
    from scipy.special import stdtrit

    value = float(statistic(np.ones((1, n), "int64"))[0])
    random, found = np.random.default_rng(SEED), []
    for start in range(0, RESAMPLES, step := max(1, AT_ONCE // n)):
        drawn = random.integers(0, n, (min(step, RESAMPLES - start), n))
        found.append(statistic(np.stack([np.bincount(rows, minlength=n) for rows in drawn])))
    resampled = np.concatenate(found)
    known = resampled[np.isfinite(resampled)]
    if len(known) < RESAMPLES / 2:  # such as an area under the curve of a class with one row
        return value, math.nan
    quantile = stdtrit(n - 1, 1 - (1 - LEVEL) / (2 * together))
    return value, float(quantile * known.std(ddof=1) * math.sqrt(n / (n - 1)))
