"""Where the bytes of decoded images are: in memory, in a file of the user's cache, or nowhere, made when asked for."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mtl_cli.config.errors import UserError
from mtl_cli.data.image_files.pictures import Layout, decode_all, workers_of
from mtl_cli.data.images.reader import deviations
from mtl_cli.data.inputs import InputSpec
from mtl_cli.io import atomic

PIECE = 2**26
"""Bytes that are gone through at once."""
MOST = 2048
"""Images, likewise."""


class ImageStore(ABC):
    """Images of one size as bytes.

    Attributes
    ----------
    shape : tuple of int
        (n, channels, height, width).
    """

    shape: tuple[int, int, int, int]
    remedy: str | None = None
    """What makes its batches come faster; None if nothing is known."""

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def piece(self) -> int:
        """How many images are gone through at once."""
        return max(1, min(MOST, PIECE // int(np.prod(self.shape[1:]))))

    @abstractmethod
    def read(self, rows: np.ndarray, workers: int | None = None) -> np.ndarray:
        """Return the images of some rows, (rows, channels, height, width), by so many threads, or as many as suits."""

    def scan(self) -> Scan:
        """Go through all images once."""
        digests, sums, squares = [], [], []
        whole, values = hashlib.sha256(str(self.shape).encode()), np.arange(256)
        for start in range(0, len(self), self.piece):
            images = self.read(np.arange(start, min(start + self.piece, len(self))))
            whole.update(np.ascontiguousarray(images).data)
            for image in images:
                digests.append(hashlib.blake2b(image.tobytes(), digest_size=16).digest())
                counts = np.stack([np.bincount(channel.ravel(), minlength=256) for channel in image])
                sums.append(counts @ values)
                squares.append(counts @ values**2)
        return Scan(self.shape[1:], np.array(digests, "S16"), np.array(sums), np.array(squares), whole)


@dataclass(frozen=True)
class Scan:
    """What was found out of n images in one go.

    Parameters
    ----------
    size : tuple of int
        (channels, height, width).
    digests : ndarray of bytes, shape (n,)
    sums, squares : ndarray of int64, shape (n, channels)
        Of the bytes, and of their squares.
    whole : hash
        Of the shape, and of all bytes.
    """

    size: tuple[int, int, int]
    digests: np.ndarray
    sums: np.ndarray
    squares: np.ndarray
    whole: hashlib._Hash

    @property
    def duplicate_groups(self) -> np.ndarray:
        """A number per image, the same for equal ones."""
        return np.asarray(np.unique(self.digests, return_inverse=True)[1])

    def spec(self, rows: np.ndarray) -> InputSpec:
        """Return what the images are to a network, with each channel's mean and deviation over ``rows``."""
        pixels = len(rows) * self.size[1] * self.size[2]
        mean, squares = (found[rows].sum(0) / pixels for found in (self.sums, self.squares))
        return InputSpec("image", self.size, center=mean.tolist(), scale=deviations(mean, squares).tolist())


class InMemory(ImageStore):
    """Images that were decoded before.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, channels, height, width)
    """

    def __init__(self, images: np.ndarray) -> None:
        self.images = images
        n, channels, height, width = images.shape
        self.shape = (n, channels, height, width)

    def read(self, rows: np.ndarray, workers: int | None = None) -> np.ndarray:
        return np.asarray(self.images[rows])


class FromFiles(ImageStore):
    """Images that are decoded whenever they are asked for.

    Parameters
    ----------
    paths : sequence of Path
    layout : Layout
    workers : int, optional
        How many are decoded at once; None for one a processor.
    """

    remedy = "dataset.cache=disk decodes each image once"

    def __init__(self, paths: Sequence[Path], layout: Layout, workers: int | None) -> None:
        self.paths, self.layout, self.workers = paths, layout, workers_of(workers)
        self.shape = (len(paths), layout.channels, layout.height, layout.width)

    def read(self, rows: np.ndarray, workers: int | None = None) -> np.ndarray:
        return decode_all([self.paths[row] for row in rows], self.layout, workers or self.workers)


class OnDisk(ImageStore):
    """Images in an npy file, read, not mapped: pages of a mapped file would count as this process's memory.

    Parameters
    ----------
    file : Path
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        held = np.load(file, mmap_mode="r")
        self.shape, self._start = held.shape, int(held.offset)

    @cached_property
    def _length(self) -> int:
        return int(np.prod(self.shape[1:]))

    def read(self, rows: np.ndarray, workers: int | None = None) -> np.ndarray:
        found = np.empty((len(rows), *self.shape[1:]), "uint8")
        flat = found.reshape(len(rows), -1)
        try:
            with self.file.open("rb", buffering=0) as stream:
                for place in np.argsort(rows, kind="stable"):  # in the file's order
                    stream.seek(self._start + int(rows[place]) * self._length)
                    if stream.readinto(flat[place].data) != self._length:
                        raise UserError(str(self.file), "was cut off while it was read", "remove it, and run again")
        except OSError as error:
            raise UserError(str(self.file), f"cannot be read: {error.strerror or error}") from error
        return found

    @classmethod
    def write(cls, file: Path, images: ImageStore) -> OnDisk:
        """Write images to a file, a piece at a time."""
        file.parent.mkdir(parents=True, exist_ok=True)

        def fill(path: Path) -> None:
            header = {"descr": "|u1", "fortran_order": False, "shape": images.shape}
            with path.open("wb") as stream:
                np.lib.format.write_array_header_1_0(stream, header)
                for start in range(0, len(images), images.piece):
                    rows = np.arange(start, min(start + images.piece, len(images)))
                    stream.write(np.ascontiguousarray(images.read(rows)).data)

        atomic(file, fill)
        return cls(file)
