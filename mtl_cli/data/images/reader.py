"""Reading images as those that a model was trained on were read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from mtl_cli.config.errors import UserError
from mtl_cli.data.base import Examples, Notice, Reader
from mtl_cli.data.duplicates import equal_arrays
from mtl_cli.data.files import STDIN
from mtl_cli.data.images.files import SUFFIXES, Loaded, read_images
from mtl_cli.data.inputs import DenseRows, InputSpec, size_of
from mtl_cli.data.tables.reading import Readings
from mtl_cli.runs.strangers import check_types

CHUNK = 4096


@dataclass(frozen=True)
class ImageReader(Reader):
    """Reads images of one size.

    Parameters
    ----------
    load : callable
        Reads the data set itself.
    input_spec : InputSpec
        What the network reads.
    readings : Readings
        How cells of labels become values.
    fingerprint : str
        Of the data set's own images and labels, to tell whether they are still the same.
    """

    load: Callable[[], Loaded]
    input_spec: InputSpec
    readings: Readings
    fingerprint: str

    @property
    def spec(self) -> InputSpec:
        return self.input_spec

    @property
    def fingerprints(self) -> dict[str, str]:
        return {"": self.fingerprint}

    def state(self) -> dict[str, Any]:
        """Return plain values for the model file."""
        return {"spec": self.spec.state(), "readings": self.readings.state(), "fingerprint": self.fingerprint}

    @classmethod
    def from_state(cls, load: Callable[[], Loaded], state: dict[str, Any]) -> ImageReader:
        """Make the reader that ``state`` was taken from."""
        check_types(state, {"fingerprint": str})
        readings = Readings.from_state(state["readings"])
        return cls(load, InputSpec.from_state(state["spec"]), readings, state["fingerprint"])

    def read(self, path: str, notice: Notice) -> Examples:
        """Read images from an idx, npz or npy file. Raises UserError if they are of another size."""
        if path == STDIN or not path.lower().endswith(SUFFIXES):
            hint = "give an idx file (of that ending, .gz or not), or an .npz or .npy file"
            raise UserError(path, "does not look like a file of images by its name", hint)
        images, labels, unusable = read_images(path)
        if images.shape[1:] != self.spec.shape:
            raise UserError(
                path, f"holds images of {size_of(images.shape[1:])}; the model reads {size_of(self.spec.shape)}"
            )
        return Examples(DenseRows(images), self.readings.apply(labels), _ids(len(images)), path, unusable=unusable)

    def read_own(self, notice: Notice) -> Examples:
        """Read the data set itself again. Raises UserError if it cannot be read, or is not as it was."""
        loaded = self.load()
        if fingerprint(loaded) != self.fingerprint:
            raise UserError(loaded.where, "has changed since the run was made", "give a file to evaluate on")
        labels = self.readings.apply(loaded.labels)
        examples = Examples(DenseRows(loaded.images), labels, _ids(len(loaded.images)), loaded.where)
        return replace(examples, duplicate_groups=equal_arrays(loaded.images))


def _ids(rows: int) -> pd.Series:
    return pd.Series(np.arange(rows), name="row")


def fit_spec(images: np.ndarray, rows: np.ndarray) -> InputSpec:
    """Return what the images are to a network, with each channel's mean and deviation over ``rows``."""
    channels = images.shape[1]
    counts = np.zeros((channels, 256))
    for start in range(0, len(rows), CHUNK):  # counting bytes is exact, and makes no copy of all images as floats
        some = images[rows[start : start + CHUNK]]
        counts += np.stack([np.bincount(some[:, c].ravel(), minlength=256) for c in range(channels)])
    values = np.arange(256)
    mean, squares = counts @ values / counts.sum(1), counts @ values**2 / counts.sum(1)
    return InputSpec("image", images.shape[1:], center=mean.tolist(), scale=deviations(mean, squares).tolist())


def deviations(mean: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Return each channel's deviation, given the means of its bytes and of their squares; 1 for one of one value."""
    found = np.sqrt(np.maximum(squares - mean**2, 0))
    return np.where(found > 1e-6, found, 1.0)


def fingerprint(loaded: Loaded) -> str:
    """Return a number that changes with any pixel, label, or the order of the images."""
    found = hashlib.sha256(str(loaded.images.shape).encode())
    found.update(np.ascontiguousarray(loaded.images).data)
    return with_labels(found, loaded.labels)


def with_labels(images: hashlib._Hash, labels: pd.DataFrame) -> str:
    """Return a number that changes with what images were hashed to, and with any label."""
    found = images.copy()
    for name, column in labels.items():
        values = column.to_numpy()
        if values.dtype == object:  # its bytes are addresses
            values = pd.util.hash_array(values, categorize=False)
        found.update(f"{name}{column.dtype}".encode() + values.tobytes())
    return found.hexdigest()
