"""Split-conformal prediction: how far from the prediction a label is allowed to be, so that a share of them is inside.

The scores of n labelled rows that the model was not trained on say it: their ⌈(n + 1)(1 − α)⌉-th smallest is the radius
(Vovk, Gammerman & Shafer 2005, doi 10.1007/b106715; Lei et al. 2018, doi 10.1080/01621459.2017.1307116). A further row
that comes as these did is inside with a probability of at least 1 − α, whatever the model and whatever the data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SEPARATOR, EMPTY = "|", "none"
"""Between the classes of a set, and what is written of a set without any."""


@dataclass(frozen=True)
class Conformal:
    """The labels within a radius of a prediction.

    Parameters
    ----------
    coverage : float
        The share of labels that is to be inside, 1 − α.
    radius : float
        The largest score inside, in the units of ``Task.nonconformity``.
    """

    coverage: float
    radius: float


def rank(rows: int, coverage: float) -> int:
    """Return ⌈(n + 1)(1 − α)⌉, which is more than n if the rows are too few."""
    return math.ceil(round((rows + 1) * coverage, 9))  # or 0.9 · 30 might be a little more than 27


def rows_needed(coverage: float) -> int:
    """Return the fewest rows from which an interval can be made."""
    rows = max(math.floor(coverage / (1 - coverage)) - 1, 1)
    while rank(rows, coverage) > rows:
        rows += 1
    return rows


def conformal_quantile(scores: np.ndarray, coverage: float) -> float:
    """Return the ⌈(n + 1)(1 − α)⌉-th smallest of n scores; infinite if there is none.

    Parameters
    ----------
    scores : ndarray of shape (n,)
    coverage : float
        1 − α.
    """
    place = rank(len(scores), coverage)
    return math.inf if place > len(scores) else float(np.partition(scores, place - 1)[place - 1])


def set_texts(inside: np.ndarray, classes: Sequence[object]) -> np.ndarray:
    """Write prediction sets as ``big|green``.

    Parameters
    ----------
    inside : ndarray of bool, shape (n, classes)
    classes : sequence
    """
    names = np.array([str(label) for label in classes], dtype=object)
    texts = np.empty(len(inside), dtype=object)
    texts[:] = [SEPARATOR.join(names[row]) or EMPTY for row in inside]
    return texts
