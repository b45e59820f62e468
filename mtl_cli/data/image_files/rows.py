"""Rows of images as the bytes that they are decoded to, in memory or not, changed at random where they train."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from mtl_cli.data.image_files.augment import Augment
from mtl_cli.data.image_files.pictures import workers_of
from mtl_cli.data.image_files.stores import ImageStore, InMemory
from mtl_cli.data.inputs import CPU, DenseRows, NumberedRows

CHUNK = 2**25
"""Bytes of images that are read at once where no gradient is needed."""
STEP, PRIME = 48_271, 2_147_483_647
"""Of the numbers that a batch's draws begin with."""


class ImageRows(DenseRows):
    """Images of one size.

    Parameters
    ----------
    values : ndarray or Tensor of uint8, shape (n, channels, height, width)
    augment : Augment
    """

    def __init__(self, values: np.ndarray | torch.Tensor, augment: Augment) -> None:
        super().__init__(values)
        self.augment = augment

    def select(self, rows: np.ndarray) -> ImageRows:
        return ImageRows(self.values[torch.from_numpy(rows)], self.augment)

    def to(self, device: torch.device) -> ImageRows:
        return ImageRows(self.values.to(device), self.augment)

    def take_next(self, rows: torch.Tensor | slice) -> torch.Tensor:
        """Return the images of a training batch, changed at random.

        The draws follow from which rows the batch has in which order: they differ from epoch to epoch, and a run that
        is resumed has the same.
        """
        return changed(self.values[rows], rows, self.augment)


class StoredRows(NumberedRows):
    """Images of one size that are not all in memory: those of a batch are read, or decoded, when it is due.

    Parameters
    ----------
    store : ImageStore
    numbers : ndarray of int, shape (n,)
        Of the images in the store.
    augment : Augment
    workers : int
        Training batches that are made ahead at once.
    device : torch.device
        Where batches are wanted.
    """

    def __init__(
        self, store: ImageStore, numbers: np.ndarray, augment: Augment, workers: int, device: torch.device = CPU
    ) -> None:
        super().__init__(numbers, device)
        self.store, self.augment, self.workers = store, augment, workers
        self.chunk = max(1, min(1024, CHUNK // int(np.prod(store.shape[1:]))))
        self.remedy = store.remedy

    def select(self, rows: np.ndarray) -> StoredRows:
        return StoredRows(self.store, self.numbers[rows], self.augment, self.workers, self.device)

    def to(self, device: torch.device) -> StoredRows:
        return StoredRows(self.store, self.numbers, self.augment, self.workers, device)

    def take(self, rows: torch.Tensor | slice) -> torch.Tensor:
        return self._read(rows, None)

    def take_next(self, rows: torch.Tensor | slice) -> torch.Tensor:
        """Return the images of a training batch, changed at random, as those in memory are."""
        return changed(self._read(rows, 1), rows, self.augment)

    def each(self, batches: Iterator[Any]) -> Iterator[tuple[Any, torch.Tensor]]:
        """Yield training batches; a few are made ahead, each by a thread."""
        pool, waiting = ThreadPoolExecutor(self.workers), deque[tuple[Any, Future[torch.Tensor]]]()
        try:
            for rows in batches:
                waiting.append((rows, pool.submit(self.take_next, rows)))
                if len(waiting) > self.workers:
                    due, made = waiting.popleft()
                    yield due, made.result()
            while waiting:
                due, made = waiting.popleft()
                yield due, made.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _read(self, rows: torch.Tensor | slice, workers: int | None) -> torch.Tensor:
        return torch.from_numpy(self.store.read(self.chosen(rows), workers)).to(self.device)


def rows_of(images: ImageStore, augment: Augment, workers: int | None) -> ImageRows | StoredRows:
    """Return all images of a store as rows."""
    if isinstance(images, InMemory):
        return ImageRows(images.images, augment)
    return StoredRows(images, np.arange(len(images)), augment, workers_of(workers))


def changed(images: torch.Tensor, rows: torch.Tensor | slice, augment: Augment) -> torch.Tensor:
    """Return the images of a training batch changed at random; those of all rows in their own order stay."""
    if augment.none or isinstance(rows, slice):
        return images
    places = torch.arange(1, len(rows) + 1, device=rows.device)
    seed = int((rows * places * STEP % PRIME).sum())
    return augment(images, torch.Generator().manual_seed(seed))
