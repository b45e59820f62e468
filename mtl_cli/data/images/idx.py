"""The idx format of MNIST: two zero bytes, a type, the number of dimensions, their sizes, the numbers; big-endian."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np

from mtl_cli.config.errors import UserError
from mtl_cli.io import DamagedFile, unpack, unpack_first

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""NumPy's names of the format's types."""

HEADER = 4 + 4 * 255
"""The most bytes that come before the numbers."""


def read_idx(path: Path) -> np.ndarray:
    """Read an idx file, gzipped or not.

    Parameters
    ----------
    path : Path

    Returns
    -------
    ndarray
        Read-only, of the shape and type that the file states.

    Raises
    ------
    UserError
        If it cannot be read, is cut off, has another magic number, or is shorter or longer than it states.
    """
    try:
        data = path.read_bytes()
        _, _, size = _header(unpack_first(data, HEADER), str(path))
        return parse_idx(unpack(data, size), str(path))
    except DamagedFile as error:
        raise UserError(str(path), error.what, error.hint) from error
    except OSError as error:
        raise UserError(str(path), f"cannot be read: {error.strerror}") from error


def parse_idx(data: bytes, where: str) -> np.ndarray:
    """Return the array that an unpacked idx file holds; ``where`` is what to call it in messages."""
    dtype, shape, size = _header(data, where)
    start = 4 + 4 * len(shape)
    if len(data) != size:
        stated = " × ".join(str(length) for length in shape)
        raise UserError(where, f"states {stated} numbers, {size - start} bytes, but holds {len(data) - start}")
    return np.frombuffer(data, dtype, offset=start).reshape(shape)


def _header(data: bytes, where: str) -> tuple[np.dtype, tuple[int, ...], int]:
    """Return the type, the shape, and the length in bytes of the whole file, as its first bytes state them."""
    code, dimensions = data[2:4] if len(data) >= 4 else b"\0\0"
    if data[:2] != b"\0\0" or code not in TYPES or not dimensions:
        what = f"is not an idx file: it begins with 0x{data[:4].hex()}"
        raise UserError(where, what, "images begin with 0x00000803, labels with 0x00000801")
    start = 4 + 4 * dimensions
    if len(data) < start:
        raise UserError(where, f"is cut off: {len(data)} bytes, shorter than its header")
    shape = struct.unpack(f">{dimensions}I", data[4:start])
    dtype = np.dtype(TYPES[code])
    return dtype, shape, start + math.prod(shape) * dtype.itemsize
