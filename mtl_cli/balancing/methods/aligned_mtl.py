"""Aligned-MTL: gradients made orthogonal and of the same length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from mtl_cli.balancing.base import GramianBalancer
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    from mtl_cli.balancing.solvers.linalg import Array


@component("balancer", "aligned_mtl")
@dataclass(frozen=True, kw_only=True)
class AlignedMTL(GramianBalancer):
    """w = B (1/T), B = √σ V Σ^(−1/2) Vᵀ, G = V Σ Vᵀ.

    Senushkin, Patakin, Kuznetsov & Konushin (CVPR 2023, arXiv 2305.19000, algorithm 1): the gradients B g are
    orthogonal, all of length √σ. The authors' code sums them instead of averaging: w is T times as long there.

    Parameters
    ----------
    size : {"min", "median", "mean"}
        σ: the smallest eigenvalue of G, as in the paper, or the median or the mean of the eigenvalues.

    Notes
    -----
    Only eigenvalues above rounding count, so that σ > 0. Of a zero Gramian B is the identity.
    """

    size: Literal["min", "median", "mean"] = "min"

    paper: ClassVar[str] = "Senushkin et al. 2023, arXiv 2305.19000"

    def solve(self, gramian: Array) -> Array:
        import numpy as np

        values, vectors = np.linalg.eigh(gramian)
        kept = values > values[-1] * len(values) * 1e-14
        if not kept.any():
            return np.full(len(values), 1 / len(values))
        values, vectors = values[kept], vectors[:, kept]
        middle = values[(len(values) - 1) // 2]  # the lower of two
        chosen = {"min": values[0], "median": middle, "mean": values.mean()}[self.size]
        weights: Array = vectors @ (np.sqrt(chosen / values) * vectors.mean(0))
        return weights
