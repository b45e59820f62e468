"""What the solvers do, for a few tasks, in Python's floats.

Up to four tasks, as most models have, the sums take a fraction of the time that NumPy takes to look at its arguments.
Each function gives up (None, or False) where rounding might matter, and leaves the matter to the solver for arrays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import mul

MOST = 4
"""Tasks up to which floats are quicker."""

PIVOT = 1e-6  # of a cosine matrix, below which a system is left to others
EXCHANGES = 8

Rows = Sequence[Sequence[float]]


def is_sound(gramian: Rows, limit: float) -> bool:
    """Say whether all eigenvalues of the gradients' cosines are above ``limit``, and all numbers finite."""
    factor: list[list[float]] = []
    for i, row in enumerate(gramian):
        new: list[float] = []
        for entry, other in zip(row, factor, strict=False):
            new.append((entry - sum(map(mul, new, other))) / other[-1])
        left = row[i] * (1 - limit) - sum(map(mul, new, new))
        if not 0 < left < math.inf:
            return False
        factor.append([*new, math.sqrt(left)])
    return True


def onto_dual_cone(gramian: Rows, chosen: Rows) -> list[list[float]] | None:
    """Do what ``quadratic.onto_dual_cone`` does: return for each row u of ``chosen`` the v ≥ u with least vᵀGv."""
    cosines, norms = _cosines(gramian)
    found = []
    for u in chosen:
        lengths = list(map(mul, u, norms))
        added = nonnegative_qp(cosines, [sum(map(mul, row, lengths)) for row in cosines])
        if added is None:
            return None
        found.append([own + x / norm for own, x, norm in zip(u, added, norms, strict=True)])
    return found


def least_norm(gramian: Rows) -> list[float] | None:
    """Do what ``quadratic.least_norm`` does: return the w on the simplex with the least wᵀGw."""
    cosines, norms = _cosines(gramian)
    shortest = min(norms)
    inverse = [shortest / norm for norm in norms]
    found = nonnegative_qp(cosines, [-value for value in inverse])
    if found is None:
        return None
    weights = list(map(mul, found, inverse))
    total = sum(weights)
    return [weight / total for weight in weights]


def _cosines(gramian: Rows) -> tuple[list[list[float]], list[float]]:
    norms = [math.sqrt(row[i]) for i, row in enumerate(gramian)]
    pairs = zip(gramian, norms, strict=True)
    return [[entry / norm / other for entry, other in zip(row, norms, strict=True)] for row, norm in pairs], norms


def nonnegative_qp(matrix: Rows, linear: Sequence[float]) -> list[float] | None:
    """Minimise ½ xᵀAx + qᵀx over x ≥ 0, by exchanging wrong signs as ``quadratic.nonnegative_qp`` does."""
    passive = [i for i, slope in enumerate(linear) if slope < 0]
    if not passive:
        return [0.0] * len(linear)
    for _ in range(EXCHANGES):
        solved = _solve([[*(matrix[i][j] for j in passive), -linear[i]] for i in passive])
        if solved is None:
            return None
        x = [0.0] * len(linear)
        for i, value in zip(passive, solved, strict=True):
            x[i] = value
        after = [
            i
            for i, value in enumerate(x)
            if (value > 0 if i in passive else linear[i] + sum(map(mul, matrix[i], x)) < 0)
        ]
        if after == passive:
            return x
        passive = after
    return None


def _solve(system: list[list[float]]) -> list[float] | None:
    """Solve a symmetric positive definite system by elimination; the last column is the right side."""
    size = len(system)
    for i, row in enumerate(system):
        if row[i] < PIVOT:
            return None
        for below in system[i + 1 :]:
            share = below[i] / row[i]
            for j in range(i, size + 1):
                below[j] -= share * row[j]
    x = [0.0] * size
    for i in range(size - 1, -1, -1):
        row = system[i]
        x[i] = (row[size] - sum(row[j] * x[j] for j in range(i + 1, size))) / row[i]
    return x
