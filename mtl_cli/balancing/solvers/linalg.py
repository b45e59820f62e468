"""Gramians brought to a scale at which small systems can be solved exactly, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dgesv, dpotrf

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


def cosines(gramian: Array) -> tuple[Array, Array]:
    """Split a Gramian into G_ij = n_i n_j C_ij.

    Parameters
    ----------
    gramian : array of shape (K, K)

    Returns
    -------
    C : array of shape (K, K)
        Cosines, with ones on the diagonal. The row of a gradient that is zero is that of the identity.
    n : array of shape (K,)
        Norms; 0 for a gradient that is zero.
    """
    norms = np.sqrt(gramian.diagonal().clip(min=0))
    safe = np.where(norms > 0, norms, 1.0)
    found = gramian / safe[:, None] / safe
    found[norms == 0] = 0.0
    found[:, norms == 0] = 0.0
    found.flat[:: len(found) + 1] = 1.0
    return found, norms


def lift(matrix: Array, floor: float) -> Array:
    """Raise the eigenvalues of a symmetric matrix that lie below ``floor``; rounding can make them negative."""
    if _is_positive_definite(matrix, floor):
        return matrix
    values, vectors = np.linalg.eigh(matrix)
    lifted: Array = (vectors * values.clip(min=floor)) @ vectors.T
    return lifted


def clean(gramian: Array, epsilon: float) -> Array:
    """Return the nearest Gramian without what rounding put into it.

    Eigenvalues of the cosines below K times ``epsilon``, the precision in which the Gramian was computed, are rounding:
    they become 0. Without that, gradients that are linearly dependent would look independent, or negative in length.
    """
    limit = len(gramian) * epsilon
    if _is_positive_definite(gramian, limit):
        return gramian
    found, norms = cosines(gramian)
    values, vectors = np.linalg.eigh(found)
    kept: Array = (vectors * np.where(values < limit, 0.0, values)) @ vectors.T * np.outer(norms, norms)
    return kept


def _is_positive_definite(matrix: Array, limit: float) -> bool:
    """Say whether all eigenvalues of the cosines are above ``limit``: whether a Cholesky factor exists."""
    lowered = matrix.copy()
    lowered.flat[:: len(matrix) + 1] *= 1 - limit
    return bool(dpotrf(lowered)[1] == 0)


def solve(matrix: Array, right: Array) -> Array | None:
    """Return A⁻¹ b, or None if A is singular.

    For a matrix this small NumPy's function takes several times as long to look at its arguments as to solve.
    """
    _, _, found, singular = dgesv(matrix, right)
    solved: Array = found
    return None if singular else solved


def pseudo_inverse_times(matrix: Array, right: Array) -> Array:
    """Return A⁺ b for a symmetric positive semi-definite A; eigenvalues below K·1e-14 of the largest count as 0."""
    values, vectors = np.linalg.eigh(matrix)
    kept = values > len(values) * 1e-14 * max(values[-1], 0.0)
    inverse = np.divide(1.0, values, out=np.zeros_like(values), where=kept)
    product: Array = vectors @ (inverse * (vectors.T @ right))
    return product


def spread(weights: Array, norms: Array) -> Array:
    """Give a task whose gradient is zero the mean weight of the others, so that its head still learns."""
    positive = norms > 0
    if positive.all():
        return weights
    return np.where(positive, weights, weights[positive].mean() if positive.any() else 1.0)


def as_array(tensor: Any) -> Array:
    """Return a tensor's numbers as a float64 array."""
    array: Array = tensor.detach().cpu().numpy().astype(np.float64)
    return array
