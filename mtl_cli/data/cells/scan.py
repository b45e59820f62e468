"""One pass over all values of a matrix of cells: whether they can be used, and what is to be known beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mtl_cli.config.errors import UserError
from mtl_cli.data.cells.matrix import Transform

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from mtl_cli.data.cells.file import CellFile


@dataclass(frozen=True)
class Scan:
    """What is known of a matrix of n cells.

    Parameters
    ----------
    counts : ndarray of int64, shape (genes,)
        How many cells have a value other than zero.
    cell_hashes : ndarray of uint64, shape (n,)
        The same number for cells whose values are the same in all genes.
    whole : bool
        Whether all values are whole numbers.
    least, most : float
        The smallest and the largest value, zero among them.
    """

    counts: np.ndarray
    cell_hashes: np.ndarray
    whole: bool
    least: float
    most: float

    @property
    def duplicate_groups(self) -> np.ndarray:
        """The same number, counted from 0, for cells whose values are the same in all genes: int of shape (n,)."""
        import pandas as pd

        return np.asarray(pd.factorize(self.cell_hashes)[0])


def scan(file: CellFile, transform: Transform, advice: str = "try") -> Scan:
    """Read a file's matrix once.

    Parameters
    ----------
    file : CellFile
    transform : {"none", "log1p", "binarize"}
    advice : str, default "try"
        What stands before the settings that would read the file, where it cannot be read so.

    Raises
    ------
    UserError
        For a value that is not finite, or one below zero that the transform cannot take.
    """
    matrix = file.matrix
    counts, hashes = np.zeros(matrix.shape[1], "int64"), np.empty(len(matrix), "uint64")
    whole, least, most = True, 0.0, 0.0
    for start, stop in matrix.blocks():
        block = matrix.block(start, stop)
        if not np.isfinite(block.data).all():
            row, gene = _place(block, ~np.isfinite(block.data))
            what = f"the value of gene '{file.var.index[gene]}' in cell '{file.names.iloc[start + row]}'"
            value = block.data[~np.isfinite(block.data)][0]
            raise UserError(matrix.where, f"{what} is {value}", "every value must be a finite number")
        if len(block.data):
            least, most = min(least, float(block.data.min())), max(most, float(block.data.max()))
            whole = whole and bool((block.data == np.rint(block.data)).all())
        if least < 0 and transform != "none":
            others = [*file.remedies, "dataset.transform=none"]
            what = f"holds values below zero, such as {least:.4g}, as after scaling, and dataset.transform={transform}"
            raise UserError(matrix.where, f"{what} needs counts or logs of counts", f"{advice} {' or '.join(others)}")
        counts += np.bincount(block.indices, minlength=matrix.shape[1])
        hashes[start:stop] = _hashes(block)
    return Scan(counts, hashes, whole, least, most)


def _place(block: csr_array, chosen: np.ndarray) -> tuple[int, int]:
    """Return row and column of the first chosen value."""
    position = int(np.flatnonzero(chosen)[0])
    return int(np.searchsorted(block.indptr, position, side="right")) - 1, int(block.indices[position])


def _hashes(block: csr_array) -> np.ndarray:
    """Return per row the sum, modulo 2⁶⁴, of its (column, value) pairs mixed by splitmix64 (Steele et al. 2014)."""
    mixed = block.indices.astype("uint64") << np.uint64(32)
    mixed |= block.data.view("uint32")
    mixed += np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed ^= mixed >> np.uint64(shift)
        mixed *= np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    ends = np.concatenate([np.zeros(1, "uint64"), np.cumsum(mixed, dtype="uint64")])
    return np.asarray(ends[block.indptr[1:]] - ends[block.indptr[:-1]])
