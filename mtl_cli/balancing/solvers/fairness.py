"""Weights in proportional and α-fair balance: (Gw)_i = w_i^(−1/α) for every task i."""

from __future__ import annotations

import numpy as np

from mtl_cli.balancing.solvers.cosines import Array, cosines, lift, spread

TOLERANCE = 1e-11  # of the residual w_i^(1/α) (Gw)_i − 1
STATIONARY = 1e-4  # of ‖Σ_i w_i g_i‖ / Σ_i ‖w_i g_i‖: nearer to 0, rounding hides whether the equations have a solution
LIMIT = 300


def fair_weights(gramian: Array, alpha: float) -> Array:
    """Solve (Gw)_i = w_i^(−1/α), w > 0.

    With β = 1/α these are the stationarity conditions of the convex ½ wᵀGw − Σ_i φ(w_i), φ'(w) = w^(−β). It is solved by
    Newton's method in u_i = w_i / a_i, a_i = n_i^(−2/(1+β)) being what task i would get by itself, with a line search.

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
    scaled = matrix * np.outer(own_norms, own_norms)
    own = own_norms**2
    diagonal = np.arange(len(own))

    total = scaled.sum()
    u = np.full(len(own), (own.sum() / max(total, 1e-3 * own.sum())) ** (1 / (1 + beta)))
    product = scaled @ u
    residual = u**beta * product / own - 1
    error = float(np.abs(residual).max())
    value = _merit(u, product, own, beta)
    for _ in range(LIMIT):
        if error < TOLERANCE:
            return u, True
        pull = np.sqrt(own * u ** (1 - beta))
        ratio = u / pull
        system = scaled * np.outer(ratio, ratio)
        system[diagonal, diagonal] += beta
        step = np.linalg.solve(system, -pull * residual) / pull
        slope = float((step * pull**2) @ residual)
        if not slope < 0:
            return u, error < 1e-7
        lowest = float(step.min())
        length = 1.0 if lowest > -0.9 else -0.9 / lowest
        while True:
            trial = u * (1 + length * step)
            product = scaled @ trial
            trial_residual = trial**beta * product / own - 1
            trial_error = float(np.abs(trial_residual).max())
            trial_value = _merit(trial, product, own, beta)
            if trial_value <= value + 1e-4 * length * slope or trial_error < 0.9 * error:
                break
            length *= 0.5
            if length < 1e-8:  # rounding is all that is left to reduce
                return u, error < 1e-7
        u, residual, error, value = trial, trial_residual, trial_error, trial_value
        if _is_stationary(matrix, u * own_norms):
            return u, True
    return u, error < 1e-7


def _merit(u: Array, product: Array, own: Array, beta: float) -> float:
    gain = own @ (np.log(u) if beta == 1 else u ** (1 - beta) / (1 - beta))
    return float(0.5 * (u @ product) - gain)


def _is_stationary(matrix: Array, size: Array) -> bool:
    """Say whether Σ_i size_i g_i/n_i nearly vanishes."""
    total = size.sum()
    return bool(size @ matrix @ size < (STATIONARY * total) ** 2)
