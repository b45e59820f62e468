"""Weights in proportional and α-fair balance: (Gw)_i = w_i^(−1/α) for every task i."""

from __future__ import annotations

import math

import numpy as np

from mtl_cli.balancing.solvers.linalg import Array, cosines, lift, solve, spread

TOLERANCE = 1e-8  # of the residual w_i^(1/α) (Gw)_i − 1
STATIONARY = 1e-7  # of ‖Σ_i w_i g_i‖ / Σ_i ‖w_i g_i‖: nearer to 0, rounding hides whether the equations have a solution
NEARLY = 1e-4  # of the same: nearer to 0, a solution need not be found
LIMIT = 300
ROUNDING, UNSOLVED = 1e-6, 1e-3  # residuals below the one may be rounding, above the other they are not
SMALLER = 0.7  # a step of β towards 0


class Unsolved(ArithmeticError):
    """The equations could not be solved in float64."""


def fair_weights(gramian: Array, alpha: float) -> Array:
    """Solve (Gw)_i = w_i^(−1/α), w > 0.

    With β = 1/α these are the stationarity conditions of the convex ½ wᵀGw − Σ_i φ(w_i), φ'(w) = w^(−β). It is
    solved by Newton's method in u_i = w_i / a_i, a_i = n_i^(−2/(1+β)) being what task i would get by itself, with
    a line search.

    Parameters
    ----------
    gramian : array of shape (K, K)
    alpha : float
        Above 0.

    Returns
    -------
    array of shape (K,)
        Where some convex combination of the gradients vanishes (a Pareto-stationary point) the equations have no
        solution; then weights that make such a combination, scaled to Σ_i n_i w_i = K. A task whose gradient is zero
        gets the others' mean weight.

    Raises
    ------
    Unsolved
        If a residual is above 1e-3, as for larger α with norms that are farther apart.

    Notes
    -----
    Relative residuals are at most 1e-6, or what rounding in Gw leaves, for α = 1 and 2 and norms up to 1e15 apart, and
    for α from ½ to 20 and norms up to 1e8 apart.
    """
    matrix, norms = cosines(gramian)
    positive = norms > 0
    weights = np.ones(len(norms))
    if positive.any():
        beta = 1.0 / alpha
        matrix, own = matrix[positive][:, positive], norms[positive]
        own_norms = own ** ((beta - 1) / (beta + 1))  # n_i a_i
        found, error = _newton(matrix, own_norms, beta)
        if not (error <= ROUNDING or _is_stationary(matrix, found * own_norms, NEARLY)):
            matrix = lift(matrix, 0.0)
            found, error = _newton(matrix, own_norms, beta)
        if not (error <= UNSOLVED or _is_stationary(matrix, found * own_norms, NEARLY)):
            found, error = _approach(matrix, own, beta)
        size = found * own_norms
        if _is_stationary(matrix, size, STATIONARY if error <= UNSOLVED else NEARLY):
            found = found * len(own) / size.sum()
        elif not error <= UNSOLVED:
            raise Unsolved
        weights[positive] = found * own ** (-2 / (1 + beta))
    return spread(weights, norms)


def _approach(matrix: Array, norms: Array, beta: float) -> tuple[Array, float]:
    """Do what ``_newton`` does for a β far below 1, coming from β = 1 in steps that are as long as they succeed."""
    reached, factor = 1.0, SMALLER
    own = np.ones(len(norms))
    found, error = _newton(matrix, own, reached)
    weights = found / norms
    while reached > beta and factor < 0.9999:
        trial = max(beta, reached * factor)
        own = norms ** ((trial - 1) / (trial + 1))
        found, error = _newton(matrix, own, trial, weights * norms ** (2 / (1 + trial)))
        if not error <= UNSOLVED:
            factor **= 0.5
        else:
            reached, factor, weights = trial, max(SMALLER, factor**2), found * norms ** (-2 / (1 + trial))
    return found, error


@np.errstate(all="ignore")  # what leaves float64's range shows in the residual
def _newton(matrix: Array, own_norms: Array, beta: float, start: Array | None = None) -> tuple[Array, float]:
    """Solve u_i^β (Mu)_i = m_i with M_ij = C_ij √m_i √m_j and √m_i = n_i a_i; also return the largest residual."""
    scaled = matrix * own_norms[:, None] * own_norms
    own = own_norms * own_norms
    mass, total = own.sum(), scaled.sum()

    def at(u: Array) -> tuple[Array, Array, Array, float, float]:  # u, curvature, residual, error, merit
        curvature = own if beta == 1 else own * u ** (1 - beta)
        product = scaled @ u
        residual = u * product / curvature - 1
        gain = own @ np.log(u) if beta == 1 else curvature.sum() / (1 - beta)
        return u, curvature, residual, float(np.abs(residual).max()), float(0.5 * (u @ product) - gain)

    if start is None:
        start = np.full(len(own), (mass / max(total, 1e-3 * mass)) ** (1 / (1 + beta)))
    u, curvature, residual, error, value = at(start)
    for count in range(LIMIT):
        if error < TOLERANCE or not math.isfinite(error):
            break
        pull = np.sqrt(curvature)
        ratio = u / pull
        system = scaled * ratio[:, None] * ratio
        system.flat[:: len(own) + 1] += beta
        solved = solve(system, -pull * residual)
        if solved is None:
            break
        step = solved / pull
        slope = (step * curvature) @ residual
        if not slope < 0:
            break
        lowest = step.min()
        length = 1.0 if lowest > -0.9 else -0.9 / lowest
        previous = error
        while length > 1e-8:
            trial = at(u * (1 + length * step))
            if trial[4] <= value + 1e-4 * length * slope or trial[3] < 0.9 * error:
                u, curvature, residual, error, value = trial
                break
            length *= 0.5
        else:
            break
        if ROUNDING > error > 0.1 * previous:  # Newton's steps no longer gain: the rest is rounding
            break
        if count > 5 and _is_stationary(matrix, u * own_norms, STATIONARY):
            break
    return u, error


def _is_stationary(matrix: Array, size: Array, limit: float) -> bool:
    """Say whether Σ_i size_i g_i/n_i vanishes, but for ``limit`` times Σ_i size_i."""
    total = size.sum()
    return bool(size @ matrix @ size < (limit * total) ** 2)
