"""The genes that vary most over some cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mtl_cli.data.cells.matrix import CellMatrix, Transform

if TYPE_CHECKING:
    import pandas as pd

BINS = 20


def most_variable(matrix: CellMatrix, cells: np.ndarray, genes: np.ndarray, count: int, how: Transform) -> np.ndarray:
    """Return the ``count`` genes with the highest normalised dispersion, in their order in the file.

    This is the flavour "seurat" of ``scanpy.pp.highly_variable_genes`` (Satija et al. 2015, doi 10.1038/nbt.3192), read
    in one pass over the file. With counts x_cg, of mean μ_g and variance σ²_g (n − 1) over the cells, and
    d_g = log(σ²_g / μ_g): genes are put into 20 bins of equal width by log(1 + μ_g), and ranked by

        z_g = (d_g − mean of d in g's bin) / standard deviation of d in g's bin (n − 1),

    which is 1 for a gene alone in its bin. Genes that do not vary come last. Deviation: moments are summed in float64.

    Parameters
    ----------
    matrix : CellMatrix
    cells : ndarray of bool, shape (n,)
        The training cells.
    genes : ndarray of int
        The genes to choose from.
    count : int
    how : {"none", "log1p", "binarize"}
        Under ``none`` the file's values are taken for logs, x = exp(v) − 1 (scanpy's rule), else for counts.

    Returns
    -------
    ndarray of int
    """
    mean, variance = _moments(matrix, cells, how)
    score = normalised_dispersion(mean[genes], variance[genes]).to_numpy()
    best = np.argsort(-np.where(np.isnan(score), -np.inf, score), kind="stable")[:count]
    return np.sort(genes[best])


def normalised_dispersion(mean: np.ndarray, variance: np.ndarray) -> pd.Series:
    """Return z_g of ``most_variable``; NaN for genes that do not vary."""
    import pandas as pd

    ratio = variance / np.where(mean == 0, 1e-12, mean)
    dispersion = pd.Series(np.log(np.where(ratio == 0, np.nan, ratio)))
    bins = pd.cut(pd.Series(np.log1p(np.where(mean == 0, 1e-12, mean))), bins=BINS)
    grouped = dispersion.groupby(bins, observed=True)
    center, spread = grouped.transform("mean"), grouped.transform("std")
    alone = spread.isna() & dispersion.notna()
    return ((dispersion - center) / spread).mask(alone, 1.0)


def _moments(matrix: CellMatrix, cells: np.ndarray, how: Transform) -> tuple[np.ndarray, np.ndarray]:
    genes = matrix.shape[1]
    total, squares = np.zeros(genes), np.zeros(genes)
    for start, stop in matrix.blocks():
        block = matrix.block(start, stop)[np.flatnonzero(cells[start:stop])]
        values = block.data.astype("float64")
        values = np.expm1(values) if how == "none" else values
        total += np.bincount(block.indices, values, genes)
        squares += np.bincount(block.indices, values * values, genes)
    n = int(cells.sum())
    mean = total / n
    return mean, np.maximum(squares - n * mean * mean, 0) / max(n - 1, 1)
