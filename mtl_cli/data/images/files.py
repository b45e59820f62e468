"""Images and their labels from files: idx pairs, npz, npy. Where the files of a data set lie."""

from __future__ import annotations

import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd

from mtl_cli.config.errors import UserError
from mtl_cli.data.files import resolve
from mtl_cli.data.images.idx import read_idx
from mtl_cli.io import user_cache, user_path

LABEL = "label"
"""The column of an idx file's labels."""

SUFFIXES = (".npz", ".npy", "-ubyte", "-ubyte.gz", ".idx", ".idx.gz", ".idx3-ubyte", ".idx3-ubyte.gz")


def data_home() -> Path:
    """Return the folder of fetched data: ``$MTL_DATA_ROOT``, else ``mtl`` in the user's cache folder."""
    if root := os.environ.get("MTL_DATA_ROOT"):
        return user_path(root).absolute()
    return user_cache()


def variants(name: str) -> list[str]:
    """Return how a file of this name may be called: gzipped, and with a dot where some copies have one."""
    dotted = name.replace("-idx", ".idx")
    return list(dict.fromkeys([name, f"{name}.gz", dotted, f"{dotted}.gz"]))


def find_file(name: str, folders: Iterable[Path]) -> Path | None:
    """Return the first file of this name, in any of its variants, in the first folder that has one."""
    for folder in folders:
        for variant in variants(name):
            if (folder / variant).is_file():
                return folder / variant
    return None


def as_images(array: np.ndarray, where: str) -> np.ndarray:
    """Return images as bytes of shape (n, channels, height, width).

    Raises
    ------
    UserError
        If they are no bytes, or neither (n, height, width) nor (n, channels, height, width).
    """
    if array.dtype != np.uint8:
        raise UserError(where, f"holds images of type {array.dtype}, not bytes", "scale them to 0 to 255 as uint8")
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4 or 0 in array.shape[1:]:
        shape = " × ".join(str(length) for length in array.shape)
        raise UserError(where, f"holds an array of {shape}, not images", "give (n, height, width), or with channels")
    if array.shape[1] > 4 >= array.shape[3]:
        array = np.ascontiguousarray(array.transpose(0, 3, 1, 2))
    return array if array.flags.writeable else array.copy()  # torch takes no view of what is read-only


def as_labels(array: np.ndarray, images: int, where: str, beside: str) -> np.ndarray:
    """Return labels as int64, one for each image.

    Raises
    ------
    UserError
        If they are not whole numbers, or not as many as there are images.
    """
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise UserError(where, f"holds {array.ndim}-dimensional {array.dtype} numbers, not a whole number per image")
    if len(array) != images:
        raise UserError(where, f"has {len(array)} labels for the {images} images of {beside}")
    return array.astype("int64")


class ImageFile(NamedTuple):
    """The n images of a file, and what else it holds.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, channels, height, width)
    labels : DataFrame
        n rows and a column for each kind of label.
    unusable : dict of str to str
        What is wrong with the arrays that are no labels, by name. It is no error until a task asks for one.
    """

    images: np.ndarray
    labels: pd.DataFrame
    unusable: dict[str, str]


class Loaded(NamedTuple):
    """Images as they were read, n of them.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, channels, height, width)
    labels : DataFrame
    parts : ndarray of str, shape (n,), optional
        ``train``, ``val`` or ``test``, where the data set itself says so.
    where : str
        What to call them in messages.
    unusable : mapping of str to str
        What is wrong with a column that cannot be labels, by name.
    """

    images: np.ndarray
    labels: pd.DataFrame
    parts: np.ndarray | None
    where: str
    unusable: Mapping[str, str] = MappingProxyType({})


def read_images(path: str) -> ImageFile:
    """Read images to predict or to evaluate on, and the labels that come with them, if any.

    Parameters
    ----------
    path : str
        An idx file of images (labels are taken from the file of the same name with ``labels-idx1`` where it has
        ``images-idx3``, if there is one); an npz file with ``images`` and an array of labels for each column; or an npy
        file of images.
    """
    file = resolve(path)
    name = file.name.lower()
    if name.endswith((".npz", ".npy")):
        return _from_numpy(file, path)
    images = as_images(read_idx(file), path)
    stem = file.name.removesuffix(".gz")
    labels = stem.replace("images", "labels").replace("idx3", "idx1")
    found = None if labels == stem else find_file(labels.replace(".idx", "-idx"), [file.parent])
    table = pd.DataFrame(index=range(len(images)))
    if found is not None:
        table[LABEL] = as_labels(read_idx(found), len(images), str(found), path)
    return ImageFile(images, table, {})


_MAGIC = {"npz": (b"PK\x03\x04", b"PK\x05\x06"), "npy": (b"\x93NUMPY",)}
"""How files of NumPy's begin."""
DAMAGE = (
    ValueError, OSError, EOFError, MemoryError, KeyError, TypeError, OverflowError, NotImplementedError, RuntimeError,
    SyntaxError, struct.error, tokenize.TokenError, zlib.error, zipfile.BadZipFile,
)  # fmt: skip
"""What NumPy and zipfile raise of a file that is damaged, or whose header lies about its shape or type."""


def _from_numpy(file: Path, where: str) -> ImageFile:
    form = file.name.lower().rpartition(".")[2]
    _check_form(file, form, where)
    try:
        content = np.load(file, allow_pickle=False)
        if isinstance(content, np.ndarray):
            images = as_images(content, where)
            return ImageFile(images, pd.DataFrame(index=range(len(images))), {})
        pixels = content.get("images")
    except DAMAGE as error:
        raise UserError(where, f"cannot be read as {form}: {_reason(error)}") from error
    if pixels is None:
        raise UserError(where, f"has no array 'images'; it has {', '.join(content) or 'none'}")
    images = as_images(pixels, where)
    table, unusable = pd.DataFrame(index=range(len(images))), {}
    for name in content:
        if name != "images":
            found = _column(content, name, len(images))
            if isinstance(found, str):
                unusable[name] = found
            else:
                table[name] = found
    return ImageFile(images, table, unusable)


def _check_form(file: Path, form: str, where: str) -> None:
    """Raise UserError for a file that is something else than its name says."""
    try:
        with file.open("rb") as stream:
            begin = stream.read(512)
    except OSError as error:
        raise UserError(where, f"cannot be read: {error.strerror or error}") from error
    if not begin:
        raise UserError(where, "the file is empty")
    if not begin.startswith(_MAGIC[form]):
        other = next((kind for kind, magic in _MAGIC.items() if begin.startswith(magic)), None)
        is_text = begin.isascii() and b"\0" not in begin
        what = f"is an {other} file by its content" if other else "is text" if is_text else "is something else"
        raise UserError(where, f"{what}, no {form} file", "numpy.savez(path, images=…, label=…) writes an npz file")


def _reason(error: BaseException) -> str:
    text = str(error).split("\n")[0][:200]
    return text if text else type(error).__name__


def _column(content: np.lib.npyio.NpzFile, name: str, images: int) -> np.ndarray | str:
    """Return labels as int64, float64, bool, or objects that are text; or what is wrong with them."""
    try:
        array = content[name]
    except DAMAGE as error:
        objects = "Object arrays" in str(error)
        known = "holds Python objects, not text, numbers or true and false"
        return known if objects else f"cannot be read: {_reason(error)}"
    if array.ndim != 1:
        return f"is an array of {array.ndim} dimensions, not one label per image"
    if array.dtype.kind not in "biufU":
        return f"holds values of type {array.dtype}, not text, numbers or true and false"
    if len(array) != images:
        return f"has {len(array)} labels for {images} images"
    wide = {"i": "int64", "u": "int64", "f": "float64", "U": "object"}.get(array.dtype.kind)
    return array if wide is None else array.astype(wide)
