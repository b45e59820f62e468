"""The area under the ROC curve of one label, with an interval (DeLong, DeLong & Clarke-Pearson 1988).

doi 10.2307/2531595; the ranks are after Sun & Xu 2014, doi 10.1109/LSP.2014.2337313.
"""

from __future__ import annotations

import math

import numpy as np

Z = 1.959963984540054
"""The normal quantile of a two-sided interval of 95 %."""


def area_with_interval(truth: np.ndarray, stated: np.ndarray) -> tuple[float, float, float]:
    """Return the area and the ends of its 95 % interval, symmetric in the area's logit; NaN where one class is alone.

    Parameters
    ----------
    truth : ndarray of bool, shape (n,)
    stated : ndarray of shape (n,)
        What orders the rows.
    """
    from scipy.stats import rankdata

    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not positives or not negatives:
        return math.nan, math.nan, math.nan
    ranks, order = rankdata(stated), stated
    of_positives = (ranks[truth] - rankdata(order[truth])) / negatives  # the share of negatives below each positive
    of_negatives = 1 - (ranks[~truth] - rankdata(order[~truth])) / positives
    area = float(of_positives.mean())
    if min(positives, negatives) < 2 or not 0 < area < 1:
        return area, math.nan, math.nan
    variance = of_positives.var(ddof=1) / positives + of_negatives.var(ddof=1) / negatives
    center, half = math.log(area / (1 - area)), Z * math.sqrt(variance) / (area * (1 - area))
    low, high = (1 / (1 + math.exp(-(center + side * half))) for side in (-1, 1))
    return area, low, high
