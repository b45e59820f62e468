"""Metrics of many resamples of the same rows at once, for intervals by the bootstrap.

A resample is how often it holds each row: counts of shape (resamples, n). Metrics come back with shape (resamples,).
"""

from __future__ import annotations

import numpy as np


def mean_of(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the mean of values, shape (n,), in each resample."""
    return np.asarray(counts @ values.astype("float64") / counts.sum(1))


def area_under_roc(truth: np.ndarray, stated: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve in each resample; NaN in one without rows of either kind.

    It is the share of pairs, one row of each kind, that are in the right order; a pair of equals counts a half.

    Parameters
    ----------
    truth : ndarray of bool, shape (n,)
    stated : ndarray of shape (n,)
        What orders the rows, such as a probability of ``truth``.
    counts : ndarray of int, shape (resamples, n)
    """
    order = np.argsort(stated, kind="stable")
    _, starts = np.unique(stated[order], return_index=True)
    positive, negative = (
        np.add.reduceat(counts[:, order] * kind[order], starts, axis=1).astype("float64") for kind in (truth, ~truth)
    )
    below = negative.cumsum(1) - negative
    pairs = positive.sum(1) * negative.sum(1)
    right = (positive * (below + negative / 2)).sum(1)
    return np.asarray(np.divide(right, pairs, out=np.full(len(counts), np.nan), where=pairs > 0))


def ratio_of(part: np.ndarray, whole: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return Σ part / Σ whole, both of shape (n,), in each resample; NaN where the whole is 0."""
    above, below = counts @ part.astype("float64"), counts @ whole.astype("float64")
    return np.asarray(np.divide(above, below, out=np.full(len(counts), np.nan), where=below > 0))
