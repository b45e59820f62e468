"""Rows of cells by genes that stay sparse, in memory or on disk, until a batch asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from mtl_cli.data.cells.matrix import CellMatrix, Transform, mapped
from mtl_cli.data.inputs import CPU, NumberedRows, Order, ShuffledOrder

if TYPE_CHECKING:
    from scipy.sparse import csr_array

AHEAD = 2**24
"""Values, zeros among them, of the batches that are read together from disk."""
GAP = 16
"""Rows between two wanted ones that are read along rather than skipped."""


class Store(Protocol):
    """What holds the values: a CSR or dense matrix in memory, or a file."""

    def __getitem__(self, rows: np.ndarray) -> csr_array | np.ndarray:
        """Return some rows in the order asked for."""


class CSRRows(NumberedRows):
    """Rows of a matrix that several parts of a split share, each with its own row numbers: none copies it.

    A batch is made dense where it is used: on the CPU from the sparse rows, on another device from their pieces, which
    are all that is copied there.

    Parameters
    ----------
    store : Store
    numbers : ndarray of int64, shape (n,)
        Of the rows in the store.
    width : int
        Genes.
    device : torch.device
        Where batches are wanted.
    """

    def __init__(self, store: Store, numbers: np.ndarray, width: int, device: torch.device = CPU) -> None:
        super().__init__(numbers, device)
        self.store, self.width = store, width
        self.chunk = max(256, 2**21 // max(width, 1))

    def select(self, rows: np.ndarray) -> CSRRows:
        return CSRRows(self.store, self.numbers[rows], self.width, self.device)

    def to(self, device: torch.device) -> CSRRows:
        return CSRRows(self.store, self.numbers, self.width, device)

    def take(self, rows: torch.Tensor | slice) -> torch.Tensor:
        found = self.store[self.chosen(rows)]
        return torch.from_numpy(found).to(self.device) if isinstance(found, np.ndarray) else dense(found, self.device)

    def order(self, batch_size: int, smallest: int, seed: int, device: torch.device) -> Order:
        """Return the order of training, in which a store on disk reads several batches ahead."""
        if isinstance(self.store, OnDisk):
            return AheadOrder(self.store, self.numbers, batch_size, smallest, seed)
        return super().order(batch_size, smallest, seed, device)


def dense(rows: csr_array, device: torch.device) -> torch.Tensor:
    """Return sparse rows as a float32 tensor on the device, (n, genes)."""
    return torch.from_numpy(rows.toarray()) if device.type == "cpu" else put_together(rows, device)


def put_together(rows: csr_array, device: torch.device) -> torch.Tensor:
    """Return sparse rows as a float32 tensor, (n, genes): their pieces are copied to the device and placed there.

    Nothing waits for the device: the number of values is known here.
    """
    n, width = rows.shape
    lengths, columns, values = (
        torch.from_numpy(part).to(device, non_blocking=True) for part in (np.diff(rows.indptr), rows.indices, rows.data)
    )
    row = torch.repeat_interleave(torch.arange(n, device=device), lengths, output_size=len(rows.data))
    result = torch.zeros(n * width, device=device)
    result[row * width + columns] = values
    return result.view(n, width)


class Ahead:
    """Rows that will be asked for soon, and are read together when the first of them is."""

    def __init__(self) -> None:
        self.rows: np.ndarray = np.zeros(0, "int64")
        self.read: csr_array | None = None

    def expect(self, rows: np.ndarray) -> None:
        """Forget the rows before, and expect these."""
        self.rows, self.read = np.sort(rows), None

    def find(self, rows: np.ndarray) -> np.ndarray | None:
        """Return the places of rows among those that are expected; None if one is not."""
        if not len(self.rows):
            return None
        places = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        return places if (self.rows[places] == rows).all() else None


@dataclass(frozen=True)
class OnDisk:
    """Rows read from a file when they are asked for.

    Parameters
    ----------
    matrix : CellMatrix
    columns, width, transform
        See ``mapped``.
    """

    matrix: CellMatrix
    columns: np.ndarray
    width: int
    transform: Transform
    ahead: Ahead = field(default_factory=Ahead, compare=False)

    def __getitem__(self, rows: np.ndarray) -> csr_array:
        """Return some rows in the order asked for."""
        places = self.ahead.find(rows)
        if places is None:
            return self._read(rows)
        if self.ahead.read is None:
            self.ahead.read = self._read(self.ahead.rows)
        return self.ahead.read[places]

    def _read(self, rows: np.ndarray) -> csr_array:
        """Read some rows; neighbours together."""
        from scipy.sparse import csr_array

        if not len(rows):
            return csr_array((0, self.width), dtype="float32")
        wanted, back = np.unique(rows, return_inverse=True)
        runs = np.split(wanted, np.flatnonzero(np.diff(wanted) > GAP) + 1)
        read = self.matrix.spans([(int(run[0]), int(run[-1]) + 1) for run in runs])
        starts = np.cumsum([0, *(int(run[-1] - run[0]) + 1 for run in runs[:-1])])
        place = np.concatenate([run - run[0] + start for run, start in zip(runs, starts, strict=True)])
        return mapped(read[place[back]], self.columns, self.width, self.transform)


def in_memory(
    matrix: CellMatrix, columns: np.ndarray, width: int, entries: int, transform: Transform
) -> csr_array | np.ndarray:
    """Read a whole matrix, block by block into its place, so that no second copy of it is ever held.

    Parameters
    ----------
    matrix : CellMatrix
    columns, width, transform
        See ``mapped``.
    entries : int
        How many values other than zero there are in the columns that are read.

    Returns
    -------
    csr_array or ndarray
        Dense float32 if more than half of the values are not zero, for it is smaller then.
    """
    from scipy.sparse import csr_array

    rows = len(matrix)
    if 2 * entries > rows * width:
        table = np.empty((rows, width), dtype="float32")
        for start, stop in matrix.blocks():
            table[start:stop] = mapped(matrix.block(start, stop), columns, width, transform).toarray()
        return table
    kind = np.int32 if entries < 2**31 else np.int64  # scipy wants one type for both
    values, indices = np.empty(entries, "float32"), np.empty(entries, kind)
    indptr = np.zeros(rows + 1, kind)
    end = 0
    for start, stop in matrix.blocks():
        block = mapped(matrix.block(start, stop), columns, width, transform)
        values[end : end + block.nnz], indices[end : end + block.nnz] = block.data, block.indices
        indptr[start + 1 : stop + 1] = block.indptr[1:] + end
        end += block.nnz
    return csr_array((values, indices, indptr), shape=(rows, width))


class AheadOrder(ShuffledOrder):
    """The order of rows in memory, for rows on disk: those of several batches are read together, in the file's order.

    Parameters
    ----------
    store : OnDisk
    numbers : ndarray of int, shape (n,)
        The rows' numbers in the file.
    batch_size, smallest, seed
        See ``ShuffledOrder``.
    """

    def __init__(self, store: OnDisk, numbers: np.ndarray, batch_size: int, smallest: int, seed: int) -> None:
        super().__init__(len(numbers), batch_size, smallest, seed, CPU)
        self.store, self.numbers = store, numbers

    def __iter__(self) -> Iterator[torch.Tensor]:
        batches = list(super().__iter__())
        most = max(1, AHEAD // (self.batch_size * max(self.store.width, 1)))
        for start in range(0, len(batches), most):
            following = batches[start : start + most]
            self.store.ahead.expect(self.numbers[torch.cat(following).numpy()])
            yield from following
        self.store.ahead.expect(np.zeros(0, "int64"))
