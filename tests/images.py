"""Small images that can be learnt, and idx files of them."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D}


def idx_bytes(array: np.ndarray) -> bytes:
    """Return an array as the bytes of an idx file."""
    header = struct.pack(f">HBB{array.ndim}I", 0, CODES[str(array.dtype)], array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def bars(rows: int, classes: int, seed: int, upright: bool = True, side: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy images with a bright bar, upright or lying, and its position as the label."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, rows).astype("uint8")
    images = random.integers(0, 90, (rows, side, side))
    for image, label in zip(images, labels, strict=True):
        at = slice(2 + label * (side - 4) // classes, 4 + label * (side - 4) // classes)
        image[(slice(None), at) if upright else (at, slice(None))] += 120
    return images.astype("uint8"), labels


def write_idx(folder: Path, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray] | None) -> None:
    """Write images and labels under the names of MNIST's files, the training images gzipped."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(train[0]), 1))
    (folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(train[1]))
    if test is not None:
        (folder / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(test[0]))
        (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(test[1]), 1))


def write_both(root: Path, rows: int = 150) -> None:
    """Write two small data sets as ``mnist`` and ``fashion``, of different lengths."""
    write_idx(root / "mnist", bars(2 * rows, 3, 0), bars(40, 3, 1))
    write_idx(root / "fashion", bars(rows, 3, 2, upright=False), bars(30, 3, 3, upright=False))


def write_photos(folder: Path, rows: int = 60) -> pd.DataFrame:
    """Write images with a bar as PNG files of several sizes, with a table, in a folder for each class, and unlabelled.

    They are ``photos/labels.csv`` and the files it names, ``by_species`` and ``photos/unseen``.
    """
    images, labels = bars(rows, 3, 0, side=24)
    random = np.random.default_rng(1)
    table = pd.DataFrame(
        {
            "file": [f"p{i:03}.png" for i in range(rows)],
            "patient": [f"k{i // 3}" for i in range(rows)],
            "species": np.array(["ant", "bee", "cow"])[labels],
            "bright": random.choice([0, 1, -1], rows),
            "noisy": np.where(labels == 1, 1, 0),
        }
    )
    for name in ("photos", "photos/unseen", *(f"by_species/{species}" for species in ("ant", "bee", "cow"))):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        picture = Image.fromarray(image).resize((24 + i % 3, 24))
        picture.save(folder / "photos" / table["file"][i])
        Image.fromarray(image).save(folder / "by_species" / table["species"][i] / f"{i}.png")
        if i < 4:
            picture.save(folder / "photos/unseen" / f"u{i}.png")
    table.to_csv(folder / "photos" / "labels.csv", index=False)
    return table
