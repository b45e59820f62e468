"""How far stated probabilities are from what happens."""

from __future__ import annotations

import numpy as np

BINS = 10
Z = 1.959963984540054
"""The normal quantile of a two-sided interval of 95 %."""


def reliability(confidence: np.ndarray, hit: np.ndarray, bins: int = BINS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sort rows into equal-width bins of confidence.

    Parameters
    ----------
    confidence : ndarray of shape (n,)
        A probability per row.
    hit : ndarray of shape (n,)
        Whether what it was the probability of happened.
    bins : int, default 10

    Returns
    -------
    mean_confidence, frequency, count : ndarrays of shape (filled bins,)
    """
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    count = np.bincount(index, minlength=bins)
    filled = count > 0
    mean = np.bincount(index, confidence, bins)[filled] / count[filled]
    frequency = np.bincount(index, hit.astype(float), bins)[filled] / count[filled]
    return mean, frequency, count[filled]


def expected_calibration_error(confidence: np.ndarray, hit: np.ndarray, bins: int = BINS) -> float:
    """Return Σ_b (n_b / n) |frequency_b − mean confidence_b| (Guo et al. 2017, arXiv 1706.04599, equation 3)."""
    mean, frequency, count = reliability(confidence, hit, bins)
    return float((count * np.abs(frequency - mean)).sum() / count.sum())


def wilson_interval(frequency: np.ndarray, count: np.ndarray, z: float = Z) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the score interval of a frequency: the p with |f − p| ≤ z √(p (1 − p) / n).

    It holds for few trials and for frequencies of 0 and 1 too; the trials are taken to be independent (Wilson 1927,
    doi 10.1080/01621459.1927.10502953).

    Parameters
    ----------
    frequency : ndarray of shape (bins,)
        What share of a bin's trials came true.
    count : ndarray of shape (bins,)
        The trials.
    z : float
        The normal quantile.
    """
    share = z**2 / count
    middle = (frequency + share / 2) / (1 + share)
    half = z / (1 + share) * np.sqrt(frequency * (1 - frequency) / count + share / (4 * count))
    return np.clip(middle - half, 0, frequency), np.clip(middle + half, frequency, 1)
