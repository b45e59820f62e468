"""A matrix of cells by genes where it lies, on disk or in memory, read a block of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mtl_cli.config.errors import UserError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Transform = Literal["none", "log1p", "binarize"]
ENTRIES = 2**18
"""Values of a block: two megabytes with their columns."""
DAMAGE = (
    OSError,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    RuntimeError,
    MemoryError,
    AssertionError,
)
"""What h5py and anndata raise, beside errors that derive from these, of a file that is damaged or no AnnData's."""


def reason(error: BaseException) -> str:
    """Return what an exception says, in one line; its type if it says nothing."""
    text = " ".join(str(error).split())[:200]
    return text if text else type(error).__name__


class CellMatrix:
    """Cells by genes, as CSR or dense.

    Parameters
    ----------
    source : HDF5 group or data set, sparse array or ndarray
        A group or sparse array has ``data``, ``indices`` and ``indptr``.
    shape : tuple of int
        Cells, genes.
    where : str
        What to call it in messages.

    Raises
    ------
    UserError
        If its parts do not fit each other, or hold no numbers.
    """

    def __init__(self, source: Any, shape: tuple[int, int], where: str) -> None:
        self.shape, self.where = shape, where
        self.indptr: np.ndarray | None = None
        if hasattr(source, "data") and hasattr(source, "indices"):
            self.values, self.indices = source.data, source.indices
            self.indptr = np.asarray(source.indptr)
        elif hasattr(source, "keys"):
            self.values, self.indices = source["data"], source["indices"]
            self.indptr = source["indptr"][:]
        else:
            self.values = source
        if self.values.dtype.kind not in "fiub":
            raise UserError(where, f"holds {self.values.dtype}, not numbers")
        if self.indptr is not None:
            entries = self.values.shape[0]
            fits = len(self.indptr) == shape[0] + 1 and self.indptr[0] == 0 and self.indptr[-1] == entries
            if not fits or self.indices.shape[0] != entries or (np.diff(self.indptr) < 0).any():
                raise UserError(where, "is damaged: the parts of its CSR matrix do not fit each other")

    def __len__(self) -> int:
        return self.shape[0]

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Yield first and last (exclusive) row of pieces of some ``ENTRIES`` values, one row at least."""
        rows, genes = self.shape
        start = 0
        while start < rows:
            if self.indptr is None:
                stop = start + max(1, ENTRIES // max(genes, 1))
            else:
                stop = int(np.searchsorted(self.indptr, self.indptr[start] + ENTRIES, side="right")) - 1
            stop = min(max(stop, start + 1), rows)
            yield start, stop
            start = stop

    def block(self, start: int, stop: int) -> csr_array:
        """Return neighbouring rows: see ``spans``."""
        return self.spans([(start, stop)])

    def spans(self, spans: list[tuple[int, int]]) -> csr_array:
        """Return rows as float32: columns in order, no column twice (their values are summed), no zeros stored.

        Parameters
        ----------
        spans : list of pairs of int
            First and last (exclusive) rows.
        """
        try:
            return self._csr(spans)
        except DAMAGE as error:  # such as a block of the file that is cut off
            raise UserError(self.where, f"is damaged: {reason(error)}", "copy or fetch the file again") from error

    def _csr(self, spans: list[tuple[int, int]]) -> csr_array:
        from scipy.sparse import csr_array

        if self.indptr is None:
            return csr_array(np.concatenate([self.values[a:b] for a, b in spans]).astype("float32", copy=False))
        places = [(int(self.indptr[a]), int(self.indptr[b])) for a, b in spans]
        # what is concatenated is a copy: it is put in order below, and the source must not be
        columns = np.concatenate([self.indices[first:last] for first, last in places]).astype("int32", copy=False)
        values = np.concatenate([self.values[first:last] for first, last in places]).astype("float32", copy=False)
        if len(columns) and not 0 <= columns.min() <= columns.max() < self.shape[1]:
            raise UserError(self.where, f"is damaged: a column number is not within 0 and {self.shape[1] - 1}")
        indptr = np.cumsum(np.concatenate([[0], *(np.diff(self.indptr[a : b + 1]) for a, b in spans)]), dtype="int32")
        block = csr_array((values, columns, indptr), shape=(len(indptr) - 1, self.shape[1]))
        if not block.has_canonical_format:
            block.sum_duplicates()
        if not block.data.all():
            block.eliminate_zeros()
        return block


class SideBySide(CellMatrix):
    """Matrices of the same cells, the columns of the first one first.

    Parameters
    ----------
    matrices : list of CellMatrix
    where : str
        What to call them in messages.
    """

    def __init__(self, matrices: list[CellMatrix], where: str) -> None:
        self.matrices, self.where = matrices, where
        self.shape = (len(matrices[0]), sum(matrix.shape[1] for matrix in matrices))

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Yield what the first one does, in as many pieces as there are matrices."""
        for start, stop in self.matrices[0].blocks():
            size = max(1, (stop - start) // len(self.matrices))
            yield from ((first, min(first + size, stop)) for first in range(start, stop, size))

    def spans(self, spans: list[tuple[int, int]]) -> csr_array:
        """Return rows as ``CellMatrix.spans`` does."""
        from scipy.sparse import csr_array, hstack

        joined = csr_array(hstack([matrix.spans(spans) for matrix in self.matrices], format="csr"))
        joined.indices, joined.indptr = joined.indices.astype("int32"), joined.indptr.astype("int32")
        return joined


def transformed(values: np.ndarray, how: Transform) -> np.ndarray:
    """Return log(1 + x), 1 where x > 0, or x itself; each leaves 0 at 0, so that it needs the stored values only."""
    if how == "log1p":
        np.log1p(values, out=values)
        return values
    return (values > 0).astype(values.dtype) if how == "binarize" else values


def mapped(block: csr_array, columns: np.ndarray, width: int, how: Transform) -> csr_array:
    """Return a block with its genes where a model has them.

    Parameters
    ----------
    block : csr_array of shape (n, genes)
    columns : ndarray of int32, shape (genes,)
        The model's column of each gene, −1 for those that it does not read.
    width : int
        How many the model reads; those that no gene is for are zero.
    how : {"none", "log1p", "binarize"}
    """
    from scipy.sparse import csr_array

    found = columns[block.indices]
    kept = found >= 0
    ends = np.concatenate([[0], np.cumsum(kept)])
    parts = (transformed(block.data[kept], how), found[kept], ends[block.indptr].astype("int32"))
    return csr_array(parts, shape=(block.shape[0], width))
