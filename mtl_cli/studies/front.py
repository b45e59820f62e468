"""The front of static weights, and how far from it a method's run lies.

A run is a point: each task's skill on the test rows, larger is better. Static weights are swept over the simplex, with
the learning rate tuned at each of them, as Kurin et al. 2022 (arXiv 2201.04122) and Xin et al. 2022 (arXiv 2209.11379)
ask.
"""

from __future__ import annotations

import numpy as np


def front(points: np.ndarray) -> np.ndarray:
    """Return the points that no other is at least as good as in every task and better in one; (n, T) to (m, T)."""
    kept = [
        point for point in points if not ((points >= point).all(axis=1) & (points > point).any(axis=1)).any()
    ]  # fmt: skip
    return np.unique(np.array(kept).reshape(-1, points.shape[1]), axis=0)


def distance(point: np.ndarray, points: np.ndarray) -> float:
    """Return how far a point lies behind the front of others: max over these of the min over tasks of their lead.

    Above 0 it is dominated: static weights are better by so much in every task. At 0 it lies on the front. Below 0 it
    lies beyond: whatever the weights, some task is worse by so much. It is how far the point may move along the
    diagonal until the points dominate it (Chebyshev distance to their attainment surface, with a sign).
    """
    return float((points - point).min(axis=1).max())


def hypervolume(points: np.ndarray) -> float:
    """Return the volume of what the points dominate above 0, where every task's skill is that of the best constant.

    (Zitzler & Thiele 1999, doi 10.1109/4235.797969.) Exact, by slices along the last task.
    """
    points = points[(points > 0).all(axis=1)]
    if not len(points):
        return 0.0
    if points.shape[1] == 1:
        return float(points.max())
    ends = np.unique(points[:, -1])
    below = np.concatenate([[0.0], ends[:-1]])
    slices = [hypervolume(front(points[points[:, -1] >= end][:, :-1])) for end in ends]
    return float(np.dot(ends - below, slices))
