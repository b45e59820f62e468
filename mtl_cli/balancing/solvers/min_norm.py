"""The shortest convex combination of the gradients."""

from __future__ import annotations

from mtl_cli.balancing.solvers.dual_cone import FLOOR, nonnegative_qp
from mtl_cli.balancing.solvers.linalg import Array, cosines, lift


def least_norm(gramian: Array) -> Array:
    """Return the w on the simplex with the least ‖Σ_i w_i g_i‖² = wᵀGw; where gradients are zero, those share it.

    Parameters
    ----------
    gramian : array of shape (K, K)

    Returns
    -------
    array of shape (K,)
    """
    matrix, norms = cosines(gramian)
    if (norms == 0).any():
        zero: Array = (norms == 0) / (norms == 0).sum()
        return zero
    inverse = norms.min() / norms
    found = nonnegative_qp(lift(matrix, FLOOR), -inverse[None])[0] * inverse
    weights: Array = found / found.sum()
    return weights
