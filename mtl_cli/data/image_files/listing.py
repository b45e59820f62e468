"""Which image files there are, what their labels are, and the bytes that they become, kept for the next run."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.config.machine import free_memory, in_bytes
from mtl_cli.config.registry import components, kind_of_file
from mtl_cli.data.base import Notice
from mtl_cli.data.image_files import LABEL, PART
from mtl_cli.data.image_files.pictures import SUFFIXES, Layout, Seen, sample, workers_of
from mtl_cli.data.image_files.stores import FromFiles, ImageStore, InMemory, OnDisk
from mtl_cli.data.tables.config import CSV, TableSource
from mtl_cli.io import user_cache, user_path

if TYPE_CHECKING:
    from mtl_cli.data.image_files.source import ImageSource

PARTS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Folders that say which part of a split their images are in."""
SECONDS = 2.0
"""Images that took longer to decode are kept."""
LARGEST_UNASKED = 2**31
"""Bytes of images that are held in memory where it is not known how much is free."""
LARGEST_AS_IT_IS = 256
"""The height and width up to which images that are all of one size are read in it."""


def listed(source: ImageSource, text_columns: list[str], notice: Notice) -> tuple[pd.DataFrame, list[Path]]:
    """Return a row per image with its labels, and the files. Raises UserError for files that are not there."""
    place = user_path(source.path)
    if place.is_dir():
        return _of_classes(place, source)
    table = read_table(source.path, text_columns, notice)
    return table, files_of(table, source, source.path)


def read_table(path: str, text_columns: list[str], notice: Notice) -> pd.DataFrame:
    """Read a table of any form by its name. Raises UserError if it is none."""
    kind = components("dataset").get(kind_of_file(path) or "", CSV)
    if not issubclass(kind, TableSource):
        hint = "the labels of images are a table, such as a CSV"
        raise UserError(path, "does not look like a table by its name", hint)
    source: TableSource = kind(path=path)
    return source.read(text_columns, notice)


def files_of(table: pd.DataFrame, source: ImageSource, where: str) -> list[Path]:
    """Return the files that a table names. Raises UserError if it names none, or one that is not there."""
    if source.image not in table.columns:
        hint = did_you_mean(source.image, table.columns)
        raise UserError("dataset.image", f"{where} has no column '{source.image}'", hint)
    names = table[source.image]
    if names.isna().any():
        row = int(names.index[names.isna()][0]) + 1
        raise UserError(where, f"row {row} names no image in column '{source.image}'", "leave the row out")
    folder = user_path(where).parent if source.folder is None else user_path(source.folder)
    paths = [folder / str(name) for name in names]
    missing = [place for place, path in enumerate(paths) if not path.is_file()]
    if missing:
        first = missing[0]
        count = (
            f"{len(missing)} of {len(paths)} images that it names are"
            if len(missing) > 1
            else "an image that it names is"
        )
        what = f"{count} not there, such as '{names.iloc[first]}' in row {int(names.index[first]) + 1}"
        raise UserError(where, what, f"dataset.folder=… says where they are; {folder} was looked in")
    return paths


def _of_classes(folder: Path, source: ImageSource) -> tuple[pd.DataFrame, list[Path]]:
    """Return the images of a folder by the folders that they lie in, which are their classes."""
    paths = images_in(folder)
    if not paths:
        raise UserError(source.path, "holds no image", f"files must end in {', '.join(SUFFIXES)}")
    names = [path.relative_to(folder) for path in paths]
    tops = {name.parts[0] for name in names if len(name.parts) > 1}
    split = bool(tops) and tops <= set(PARTS) and all(len(name.parts) > 2 for name in names)
    depth = 1 if split else 0
    if any(len(name.parts) <= depth + 1 for name in names):
        loose = next(name for name in names if len(name.parts) <= depth + 1)
        what = f"'{loose}' lies in no folder of a class"
        raise UserError(source.path, what, "put each class into a folder, or give dataset.path=labels.csv")
    table = pd.DataFrame({source.image: [name.as_posix() for name in names], LABEL: [n.parts[depth] for n in names]})
    if split:
        table[PART] = [PARTS[name.parts[0]] for name in names]
    return table, paths


def images_in(folder: Path) -> list[Path]:
    """Return the images of a folder and of those in it, in the order of their names."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def kept_images(source: ImageSource, paths: Sequence[Path], notice: Notice) -> tuple[Layout, ImageStore, str]:
    """Return the layout of a data set's images, the images, and a line about them."""
    workers = workers_of(source.workers)
    seen = sample(paths, workers)
    layout = layout_of(source, seen, notice)
    sizes = sorted({one.size for one in seen}, key=lambda size: size[0] * size[1])
    first, last = (f"{size[0]} × {size[1]}" for size in (sizes[0], sizes[-1]))
    colours = "in colour" if layout.channels == 3 else "in grey"
    about = f"{colours}, {layout.height} × {layout.width}, from files of " + (
        first if first == last else f"{first} to {last}"
    )
    return layout, stored(source, paths, layout, notice), about


def stored(source: ImageSource, paths: Sequence[Path], layout: Layout, notice: Notice) -> ImageStore:
    """Return the images of a data set: decoded, as kept before, or to be decoded."""
    files = FromFiles(paths, layout, source.workers)
    kept, size = user_cache() / "images" / f"{_key(paths, layout)}.npy", int(np.prod(files.shape))
    where = source.cache
    if where == "auto" and not fits_in_memory(size):
        where = "disk" if kept.is_file() or size < free_disk(kept.parent) else "none"
        what = f"{len(paths):,} decoded images would take {in_bytes(size)} of memory: " + (
            f"they are in {kept}, and read from there" if where == "disk" else "each batch is decoded when it is due"
        )
        notice(f"{source.path}: {what}; dataset.cache=memory|disk|none says where they are")
    if where == "none":
        return files
    if where == "disk":
        return OnDisk(kept) if kept.is_file() else OnDisk.write(kept, files)
    if where == "auto" and kept.is_file():
        return InMemory(np.load(kept, mmap_mode="c"))
    started = time.perf_counter()
    images = InMemory(files.read(np.arange(len(files))))
    seconds = time.perf_counter() - started
    if where == "auto" and seconds >= SECONDS:
        OnDisk.write(kept, images)
        what = f"{len(paths):,} images decoded in {seconds:.1f} s and kept in {kept} ({in_bytes(size)})"
        notice(f"{source.path}: {what}; dataset.cache=memory keeps none")
    return images


def fits_in_memory(size: int) -> bool:
    """Whether decoded images of so many bytes may be in memory, where each part of the split copies its own."""
    free = free_memory()
    return size < (LARGEST_UNASKED if free is None else free / 4)


def free_disk(folder: Path) -> float:
    """Return how many bytes may be written to a folder, which need not be there yet."""
    there = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    return 0.9 * shutil.disk_usage(there).free


def layout_of(source: ImageSource, seen: Sequence[Seen], notice: Notice) -> Layout:
    """Return how all images become bytes, from what is asked for and what some are like.

    Raises UserError if they are of several sizes, or large, and no size is asked for.
    """
    size = source.size_of()
    sizes = sorted({one.size for one in seen}, key=lambda size: size[0] * size[1])
    if size is None:
        if len(sizes) > 1:
            first, last = (f"{height} × {width}" for height, width in (sizes[0], sizes[-1]))
            what = f"the images are of {len(sizes)} sizes, from {first} to {last}"
            raise UserError(
                "dataset.size", what, "dataset.size=128 brings them to one, dataset.fit=crop or pad says how"
            )
        if max(sizes[0]) > LARGEST_AS_IT_IS:
            what = f"the images are large, {sizes[0][0]} × {sizes[0][1]}, and no size is given to read them in"
            raise UserError("dataset.size", what, f"dataset.size=224, or dataset.size=[{sizes[0][0]},{sizes[0][1]}]")
        size = sizes[0]
    colour = any(one.colour for one in seen) if source.colour is None else source.colour
    window = None
    if deep := [one.window for one in seen if one.window is not None]:
        window = (min(low for low, _ in deep), max(high for _, high in deep))
        if source.window is not None:
            window = (source.window[0], source.window[1])
        else:
            low, high = (f"{end:g}" for end in window)
            what = f"images of more than 8 bits are read from {low} (black) to {high} (white)"
            notice(f"{source.path}: {what}; dataset.window=[…] says so otherwise")
    return Layout(size[0], size[1], 3 if colour else 1, source.fit, window)


def _key(paths: Sequence[Path], layout: Layout) -> str:
    """Return a name for some files as they are now, in a layout: it changes with any file's size or time."""
    found = hashlib.sha256(repr(layout).encode())
    for path in paths:
        about = path.stat()
        found.update(f"{path.resolve()}|{about.st_size}|{about.st_mtime_ns}\n".encode())
    return found.hexdigest()[:32]


def own_table(folder: Path, column: str) -> tuple[pd.DataFrame, list[Path]]:
    """Return a row for each image of a folder to predict."""
    paths = images_in(folder)
    return pd.DataFrame({column: [path.relative_to(folder).as_posix() for path in paths]}), paths
