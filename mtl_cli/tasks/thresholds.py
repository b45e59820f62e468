"""The probability from which on a label is predicted, chosen on rows that the model was not trained on."""

from __future__ import annotations

from typing import Literal

import numpy as np

Goal = Literal["f1", "balanced"]
DEFAULT = 0.5


def best_threshold(probability: np.ndarray, truth: np.ndarray, goal: Goal) -> float:
    """Return the threshold of the best F1 of the positive label, or of the best balanced accuracy.

    It lies half-way between two probabilities. Of equally good ones it is that nearest to a half, and a half where only
    one of the labels occurs.

    Parameters
    ----------
    probability : ndarray of shape (n,)
        Of the positive label.
    truth : ndarray of shape (n,)
        Whether it is so.
    goal : {"f1", "balanced"}
        2 TP / (2 TP + FP + FN), or the mean of sensitivity and specificity (which is Youden's J otherwise: 1950, doi
        10.1002/1097-0142(1950)3:1<32::AID-CNCR2820030106>3.0.CO;2-3).
    """
    truth = truth.astype(bool)
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not positives or not negatives:
        return DEFAULT
    order = np.argsort(-probability, kind="stable")
    sorted_probability, hits = probability[order], truth[order].cumsum()
    following = np.append(sorted_probability[1:], 0.0)
    cuts = np.flatnonzero(sorted_probability > following)  # the last of each run of equal probabilities
    above, hits = cuts + 1, hits[cuts]
    if goal == "f1":
        value = 2 * hits / (above + positives)
    else:
        value = (hits / positives + (negatives - (above - hits)) / negatives) / 2
    middles = (sorted_probability[cuts] + following[cuts]) / 2
    best = np.flatnonzero(value >= value.max() - 1e-12)
    return float(middles[best[np.abs(middles[best] - DEFAULT).argmin()]])
