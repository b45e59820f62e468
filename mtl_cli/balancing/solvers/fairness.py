"""Weights in proportional and α-fair balance: (Gw)_i = w_i^(−1/α) for every task i."""

from __future__ import annotations

import numpy as np

from mtl_cli.balancing.solvers.cosines import Array, cosines, lift, spread

TOLERANCE = 1e-8  # of the residual w_i^(1/α) (Gw)_i − 1
STATIONARY = 1e-4  # of ‖Σ_i w_i g_i‖ / Σ_i ‖w_i g_i‖: nearer to 0, rounding hides whether the equations have a solution
LIMIT = 300


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

    Notes
    -----
    Relative residuals are at most 1e-6, or what rounding in Gw leaves, for α = 1 and 2 and norms up to 1e15 apart, and
    for α from ½ to 10 and norms up to 1e6 apart. Beyond, solutions leave the range of float64.
    """
    matrix, norms = cosines(gramian)
    positive = norms > 0
    weights = np.ones(len(norms))
    if positive.any():
        beta = 1.0 / alpha
        matrix, own = matrix[positive][:, positive], norms[positive]
        own_norms = own ** ((beta - 1) / (beta + 1))  # n_i a_i
        found, solved = _newton(matrix, own_norms, beta)
        if not solved:
            found, _ = _newton(lift(matrix, 0.0), own_norms, beta)
        size = found * own_norms
        if _is_stationary(matrix, size):
            found = found * len(own) / size.sum()
        weights[positive] = found * own ** (-2 / (1 + beta))
    return spread(weights, norms)


def _newton(matrix: Array, own_norms: Array, beta: float) -> tuple[Array, bool]:
    """Solve u_i^β (Mu)_i = m_i with M_ij = C_ij √m_i √m_j and √m_i = n_i a_i; also say whether it went well."""
    scaled = matrix * own_norms[:, None] * own_norms
    own = own_norms * own_norms
    mass, total = own.sum(), scaled.sum()

    def at(u: Array) -> tuple[Array, Array, Array, float, float]:  # u, curvature, residual, error, merit
        curvature = own if beta == 1 else own * u ** (1 - beta)
        product = scaled @ u
        residual = u * product / curvature - 1
        gain = own @ np.log(u) if beta == 1 else curvature.sum() / (1 - beta)
        return u, curvature, residual, float(np.abs(residual).max()), float(0.5 * (u @ product) - gain)

    start = np.full(len(own), (mass / max(total, 1e-3 * mass)) ** (1 / (1 + beta)))
    u, curvature, residual, error, value = at(start)
    for count in range(LIMIT):
        if error < TOLERANCE:
            return u, True
        pull = np.sqrt(curvature)
        ratio = u / pull
        system = scaled * ratio[:, None] * ratio
        system.flat[:: len(own) + 1] += beta
        step = np.linalg.solve(system, -pull * residual) / pull
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
        if error < 1e-6 and error > 0.1 * previous:  # Newton's steps no longer gain: the rest is rounding
            return u, True
        if count > 5 and _is_stationary(matrix, u * own_norms):
            return u, True
    return u, error < 1e-6


def _is_stationary(matrix: Array, size: Array) -> bool:
    """Say whether Σ_i size_i g_i/n_i nearly vanishes."""
    total = size.sum()
    return bool(size @ matrix @ size < (STATIONARY * total) ** 2)
