"""How the numbers of a column are scaled: what is fitted to the training rows, and what it makes of a number."""

from __future__ import annotations

from typing import Literal

import numpy as np

Scale = Literal["bounded", "standard", "robust", "quantile", "clip", "none"]
LANDMARKS = 1000
"""The most quantiles that a column keeps, as in scikit-learn's QuantileTransformer."""
SMALLEST = 1e-7
"""The least probability whose normal quantile is taken, so that the ends of training lie at ±5.2."""


def center_and_scale(present: np.ndarray, scale: Scale) -> tuple[np.ndarray, np.ndarray]:
    """Return what is taken off and what is divided by, each of shape (width,).

    ``clip`` scales as Holzmüller, Grinsztajn and Steinwart (2024, arXiv 2407.04491) do: by the quartile range, or half
    the range where the quartiles are equal. ``robust`` takes the deviation there.

    Parameters
    ----------
    present : ndarray of shape (n, width)
        The numbers of the training rows that have one.
    scale : Scale
    """
    low, median, high = np.quantile(present, [0.25, 0.5, 0.75], axis=0)
    mean, deviation = present.mean(0), present.std(0)
    if scale in ("bounded", "standard", "quantile"):
        center, spread, otherwise = mean, deviation, deviation
    elif scale == "robust":
        center, spread, otherwise = median, high - low, deviation
    else:
        center, spread, otherwise = median, high - low, (present.max(0) - present.min(0)) / 2
    spread = np.where(spread > 0, spread, otherwise)  # half of the rows may share one value
    constant = deviation <= 1e-12 * np.abs(present).max(0)  # rounding, not variation
    return center, np.where(constant, 1.0, spread)


def smooth_clip(scaled: np.ndarray) -> np.ndarray:
    """Return x / √(1 + (x/3)²), close to x near 0 and never beyond ±3, as in RealMLP (arXiv 2407.04491)."""
    return scaled / np.hypot(1, scaled / 3)  # no square is formed, which may be infinite


LARGEST, LARGEST_UNSCALED = 1e100, 1e18
"""Larger numbers have squares that are infinite, in 64 bits or, where they are not scaled, in 32."""
OUTERMOST = 0.05
"""The share of rows at either end of a column among which outliers are looked for."""
FAR = 10.0
"""An outlier is that many deviations of the other rows from their median, at least."""
GAP = 3.0
"""An outlier is that many times as far from the median as the next one, at least."""
ROOM = 1.0
"""How much further than training, as a share of the distance from its mean, a number may come."""


def usual_range(present: np.ndarray) -> tuple[float, float]:
    """Return the least and the largest number of a column that is not an outlier, a reading of another magnitude.

    Parameters
    ----------
    present : ndarray of shape (n,)
        The numbers of the training rows that have one.
    """
    found = np.sort(present)
    ends = max(1, int(OUTERMOST * len(found)))
    inner = found[ends:-ends]
    if len(inner) < 2 or inner.std() == 0:
        return float(found[0]), float(found[-1])
    limit, middle = FAR * inner.std(), float(np.median(found))
    low, high = _last_usual(middle - found[ends::-1], limit), _last_usual(found[-ends - 1 :] - middle, limit)
    return middle - low, middle + high


def _last_usual(distances: np.ndarray, limit: float) -> float:
    """Return the last of some ascending distances before one that is far beyond it."""
    stray = (distances[1:] > limit) & (distances[1:] > GAP * distances[:-1])
    return float(distances[int(stray.argmax())] if stray.any() else distances[-1])


def bound(found: np.ndarray, center: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return numbers as they are from low to high, and pulled in smoothly beyond: by no more than ``ROOM``.

    A number e beyond an end that is d away from the center comes to e / √(1 + (e / (ROOM d))²) beyond it.
    """
    inside = np.clip(found, low, high)
    most = np.maximum(ROOM * np.abs(inside - center), np.finfo("float64").tiny)
    beyond = found - inside
    with np.errstate(over="ignore"):  # where nothing may lie beyond
        return np.asarray(inside + beyond / np.hypot(1, beyond / most))


def landmarks(present: np.ndarray) -> np.ndarray:
    """Return evenly spaced quantiles of the training rows, shape (quantiles, width)."""
    quantiles = np.quantile(present, np.linspace(0, 1, min(LANDMARKS, len(present))), axis=0)
    return np.maximum.accumulate(quantiles)  # rounding may leave them out of order


def to_normal(found: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Return the normal quantile of the share of training rows below each number, as QuantileTransformer does.

    Parameters
    ----------
    found : ndarray of shape (n,)
    quantiles : ndarray of shape (quantiles,)
        From ``landmarks``. Of a number that many training rows have, the middle of its ranks counts.
    """
    from scipy.special import ndtri

    ranks = np.linspace(0, 1, len(quantiles))
    above = np.interp(found, quantiles, ranks)
    below = 1 - np.interp(-found, -quantiles[::-1], ranks)
    share = (above + below) / 2
    share[found - SMALLEST < quantiles[0]] = 0.0
    share[found + SMALLEST > quantiles[-1]] = 1.0
    return np.asarray(ndtri(np.clip(share, SMALLEST, 1 - SMALLEST)))
