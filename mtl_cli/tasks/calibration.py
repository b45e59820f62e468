"""How far stated probabilities are from what happens."""

from __future__ import annotations

import numpy as np

BINS = 10


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
