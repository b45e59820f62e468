"""Projection onto the dual cone of the gradients, by quadratic programs over x ≥ 0."""

from __future__ import annotations

import numpy as np

from mtl_cli.balancing.solvers.linalg import Array, cosines, lift

FLOOR = 1e-13  # the smallest eigenvalue of a matrix of cosines: so that every system has one solution
TOLERANCE = 1e-12  # of a sign, relative to the numbers it comes from
ATTEMPTS = 5  # exchanges of all wrong signs that may fail to improve before they are exchanged one at a time


def nonnegative_qp(matrix: Array, linear: Array) -> Array:
    """Minimise ½ xᵀAx + qᵀx over x ≥ 0, for several q at once.

    Block principal pivoting (Júdice & Pires 1994): guess where x > 0, solve there, exchange all indices with a wrong
    sign of x or of the gradient Ax + q; after ``ATTEMPTS`` exchanges without progress only the last wrong index. Where
    rounding makes that go round in circles, least squares with an active set (Lawson & Hanson 1974) take over.

    Parameters
    ----------
    matrix : array of shape (K, K)
        A, symmetric and positive definite.
    linear : array of shape (R, K)
        A row q for each problem.

    Returns
    -------
    array of shape (R, K)
    """
    size = len(matrix)
    passive = linear < 0
    if not passive.any():
        return np.zeros_like(linear)
    identity, magnitudes, sizes = np.eye(size), np.abs(matrix), np.abs(linear)
    fewest = np.full(len(linear), size + 1)
    left = np.full(len(linear), ATTEMPTS)
    for _ in range(20 + 2 * size):
        systems = np.where(passive[:, :, None] & passive[:, None, :], matrix, identity)
        x = np.linalg.solve(systems, np.where(passive, -linear, 0.0)[..., None])[..., 0]
        signs = np.where(passive, x, x @ matrix + linear)
        if signs.min() >= 0:
            return x
        grown = np.abs(x)
        wrong = signs < -TOLERANCE * np.where(passive, grown.max(1, keepdims=True), grown @ magnitudes + sizes)
        count = wrong.sum(1)
        if not count.any():
            return x.clip(min=0.0)
        improved = count < fewest
        fewest = np.where(improved, count, fewest)
        left = np.where(improved, ATTEMPTS, left - 1)
        single = left < 0
        if single.any():
            last = size - 1 - wrong[:, ::-1].argmax(1)
            wrong[single] &= np.arange(size) == last[single, None]
        passive = passive ^ wrong
    x = x.clip(min=0.0)
    values, vectors = np.linalg.eigh(matrix)
    values = np.sqrt(values.clip(min=FLOOR))
    for row in np.flatnonzero(count):
        x[row] = _least_squares(values[:, None] * vectors.T, -(vectors.T @ linear[row]) / values)
    return x


def _least_squares(factor: Array, target: Array) -> Array:
    """Minimise ‖Bx − t‖ over x ≥ 0, adding one index at a time: slower, and sure to come down in every step."""
    size = factor.shape[1]
    x, passive, refused = np.zeros(size), np.zeros(size, bool), np.zeros(size, bool)
    for _ in range(10 * size):
        downhill = factor.T @ (target - factor @ x)
        downhill[passive | refused] = 0.0
        new = int(downhill.argmax())
        if downhill[new] <= TOLERANCE * np.abs(factor[:, new]) @ (np.abs(target) + np.abs(factor) @ x):
            break
        passive[new] = True
        refused[:] = False
        while passive.any():
            solved = np.zeros(size)
            solved[passive] = np.linalg.lstsq(factor[:, passive], target, rcond=None)[0]
            below = passive & (solved <= 0)
            if not below.any():
                x = solved
                break
            if x[new] == 0 and below[new]:  # rounding: its direction does not lead down after all
                refused[new], passive[new] = True, False
                continue
            share = (x[below] / (x[below] - solved[below])).min()
            x = np.where(passive, x + share * (solved - x), 0.0)
            passive &= x > TOLERANCE * x.max()
            x[~passive] = 0.0
    return x


def onto_dual_cone(gramian: Array, chosen: Array) -> Array:
    """Project combinations of gradients onto their dual cone: the directions that conflict with none of them.

    min vᵀGv over v ≥ u gives the projection Σ_i v_i g_i of Σ_i u_i g_i (Quinton & Rey 2024, proposition 1).

    Parameters
    ----------
    gramian : array of shape (K, K)
    chosen : array of shape (R, K)
        A row u for each combination.

    Returns
    -------
    array of shape (R, K)
        The rows v.
    """
    matrix, norms = cosines(gramian)
    matrix = lift(matrix, FLOOR)
    added = nonnegative_qp(matrix, (chosen * norms) @ matrix)
    result: Array = chosen + added / np.where(norms > 0, norms, np.inf)
    return result
