"""The direction within a ball around the mean gradient that does most for the task it does least for."""

from __future__ import annotations

import numpy as np

from mtl_cli.balancing.solvers.dual_cone import nonnegative_qp
from mtl_cli.balancing.solvers.linalg import Array, Indices, cosines, lift, solve

TOLERANCE = 1e-11
FLOOR = 1e-15  # the smallest eigenvalue that the slow way sees
LIMIT = 40  # exchanges before the slow way
HIDDEN = 3e-8  # of ‖g_0‖ / max_i ‖g_i‖: below, rounding hides in which ball to look
STATIONARY = 1e14  # of 1/‖Σ_i λ_i g_i/n_i‖²: above this, a convex combination of the gradients vanishes


def cagrad_weights(gramian: Array, c: float) -> Array:
    """Solve max_d min_i g_i·d over ‖d − g_0‖ ≤ c‖g_0‖, g_0 the mean gradient, for d = Σ_i w_i g_i.

    The solution is d = g_0 + Σ_i x_i g_i with x ≥ 0 and, for μ = min_i g_i·d, with x_i = 0 where g_i·d > μ. The
    set of i with x_i > 0 is guessed; on it x is linear in μ, and the radius of the ball gives a quadratic equation
    for μ; wrong signs are exchanged until there are none. Should that not end, μ is searched for between bounds.

    Parameters
    ----------
    gramian : array of shape (K, K)
    c : float
        At least 0.

    Returns
    -------
    array of shape (K,)
        w_i = 1/K + x_i. Of several solutions, which there are at Pareto-stationary points, that with d next to g_0.
        Where g_0 itself nearly vanishes, 3e-8 of the longest gradient or less, w_i = 1/K.
    """
    size = len(gramian)
    uniform = np.full(size, 1 / size)
    pull = gramian @ uniform
    mean_norm = float(np.sqrt(max(pull.mean(), 0.0)))
    positive = gramian.diagonal() > 0
    if c == 0 or mean_norm <= HIDDEN * np.sqrt(gramian.diagonal().max(initial=0.0)):
        return uniform
    matrix, norms = cosines(gramian[positive][:, positive])
    along = pull[positive] / norms / mean_norm  # cos(g_i, g_0)
    inverse = norms.min() / norms
    found = _exchange(matrix, along, inverse, c)
    if found is None or (found[1] > 0 and not positive.all()):  # a zero gradient keeps μ at 0 or below
        found = _search(lift(matrix, FLOOR), along, inverse, c, bool(positive.all())), 0.0
    uniform[positive] += found[0] * mean_norm / norms
    return uniform


def _exchange(matrix: Array, along: Array, inverse: Array, c: float) -> tuple[Array, float] | None:
    """Return y_i = x_i n_i / ‖g_0‖ and μ in the unit of ``inverse``; None if no set of tasks was found to be right."""
    passive = along == along.min()
    for _ in range(LIMIT):
        found = _at_radius(matrix, along, inverse, c, np.flatnonzero(passive))
        if found is None:
            return None
        y, mu = found
        product = matrix @ y
        slack = along + product - mu * inverse
        y_limit = TOLERANCE * np.abs(y).max()
        slack_limit = TOLERANCE * (np.abs(along) + np.abs(y).sum() + abs(mu) * inverse)
        wrong = np.where(passive, y < -y_limit, slack < -slack_limit)
        if not wrong.any():
            exact = abs(y @ product - c * c) <= 1e-9 * c * c and np.abs(y).sum() < 1e6 * c
            return (y.clip(min=0.0), mu) if exact else None
        passive = passive ^ wrong
        if not passive.any():
            return None
    return None


def _at_radius(matrix: Array, along: Array, inverse: Array, c: float, chosen: Indices) -> tuple[Array, float] | None:
    """Return y and μ with g_i·d = μ for the chosen i, y_i = 0 for the others, d on the sphere; None if missed."""
    right = np.stack([inverse[chosen], along[chosen]], 1)
    solved = solve(matrix[chosen[:, None], chosen], right)
    if solved is None:
        return None
    (square, mixed), (_, rest) = right.T @ solved
    root = mixed * mixed - square * (rest - c * c)
    if not (root >= 0 and square > 0):
        return None
    mu = float((mixed + np.sqrt(root)) / square)
    y = np.zeros(len(along))
    y[chosen] = mu * solved[:, 0] - solved[:, 1]
    return y, mu


def _search(matrix: Array, along: Array, inverse: Array, c: float, may_rise: bool) -> Array:
    """Find the largest μ whose nearest d with g_i·d ≥ μ for all i lies in the ball, and return its y."""

    def at(mu: float) -> tuple[Array, float]:
        y = nonnegative_qp(matrix, (along - mu * inverse)[None])[0]
        return y, float(np.sqrt(max(y @ matrix @ y, 0.0)))

    y, radius = at(0.0)
    if radius <= c:
        if not may_rise or nonnegative_qp(matrix, -np.ones((1, len(along))))[0].sum() > STATIONARY:
            return y
        low, high, mu = 0.0, 1.0, 0.0
        while (outside := at(high))[1] <= c:
            low, high, (y, radius), mu = high, 2 * high, outside, high
    else:
        low, high, mu = float((along / inverse).min()), 0.0, 0.0
    for _ in range(200):
        guess = _at_radius(matrix, along, inverse, c, np.flatnonzero(y > 0)) if y.any() else None
        if guess is not None and abs(guess[1] - mu) <= 1e-14 * abs(mu):
            return guess[0].clip(min=0.0)
        middle = (low + high) / 2
        if not low < middle < high:
            break
        mu = guess[1] if guess is not None and low < guess[1] < high else middle
        y, radius = at(mu)
        low, high = (mu, high) if radius <= c else (low, mu)
    return at(low)[0]
