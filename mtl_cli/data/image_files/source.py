"""What may be said of image files, and what follows from that alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from mtl_cli.config.convert import PositiveInt
from mtl_cli.config.errors import Problem, did_you_mean
from mtl_cli.config.schema import Config
from mtl_cli.data.base import DataSource, id_problems
from mtl_cli.data.image_files import FILE, PART
from mtl_cli.data.image_files.augment import Augment
from mtl_cli.data.split import SplitConfig
from mtl_cli.io import user_path
from mtl_cli.tasks.labels import USUAL_NO_LABEL
from mtl_cli.tasks.task import TaskConfig


@dataclass(frozen=True, kw_only=True)
class ImageSource(DataSource):
    """Image files and their labels: PNG, JPEG, TIFF and others that Pillow reads, and DICOM.

    Parameters
    ----------
    path : str
        A table with a row per image, or a folder with a folder of images for each class; below ``train``, ``val`` and
        ``test`` if these are its folders.
    image : str
        The table's column of file names.
    folder : str, optional
        Where the files are that it names; by default where the table is.
    weight : str, optional
        The column that says how much a row counts in the training loss.
    size : int or list of int, optional
        The height and width that every image gets; null takes images that are of one size as they are.
    fit : {"stretch", "crop", "pad"}
        What is done with an image of other proportions: its sides are scaled apart, its middle is cut out, or it is put
        on black.
    colour : bool, optional
        Whether three channels are read; null reads them if an image has colours.
    window : list of float, optional
        The values that become black and white in images of more than 8 bits; null takes the range of most of them.
    augment : Augment
        How training images are changed at random.
    workers : int, optional
        How many images are decoded at once, or batches ahead of training; null: one for each processor.
    cache : {"auto", "memory", "disk", "none"}
        Where decoded images are: in memory; in a file of the user's cache folder, of which each batch is read; or
        nowhere, each batch is decoded. ``auto``: in memory if there is room, else on disk if there is; and what took
        long to decode is kept on disk for the next run.
    no_label : list of str
        What "no label" may be written as; a label that a task names is one.
    split : SplitConfig
    """

    path: str
    image: str = FILE
    folder: str | None = None
    weight: str | None = None
    size: PositiveInt | list[PositiveInt] | None = None
    fit: Literal["stretch", "crop", "pad"] = "stretch"
    colour: bool | None = None
    window: list[float] | None = None
    augment: Augment = field(default_factory=Augment)
    workers: PositiveInt | None = None
    cache: Literal["auto", "memory", "disk", "none"] = "auto"
    no_label: list[str] = field(default_factory=lambda: list(USUAL_NO_LABEL))
    split: SplitConfig = field(default_factory=SplitConfig)

    reading_keys: ClassVar[tuple[str, ...]] = ("image", "folder", "workers")

    @property
    def input_kind(self) -> Literal["image"]:
        return "image"

    @property
    def has_columns(self) -> bool:
        return True

    @property
    def file(self) -> str:
        return self.path

    @property
    def makes_folds(self) -> bool:
        return True

    @property
    def validates(self) -> bool:
        return self.split.val > 0

    @property
    def example(self) -> str:
        return "FOLDER"

    def check(self, config: Config) -> Iterator[Problem]:
        place = user_path(self.path)
        if not place.exists():
            beside = [other.name for other in place.parent.iterdir()] if place.parent.is_dir() else []
            yield Problem(
                self.path, "there is no such file or folder", did_you_mean(place.name, beside) if beside else None
            )
        if self.folder is not None and not user_path(self.folder).is_dir():
            yield Problem("dataset.folder", f"there is no folder {self.folder}")
        if isinstance(self.size, list) and len(self.size) != 2:
            yield Problem("dataset.size", "must be a number, or a height and a width", "dataset.size=[64,96]")
        if self.window is not None and (len(self.window) != 2 or self.window[0] >= self.window[1]):
            yield Problem("dataset.window", "must be two numbers, the lower first", "dataset.window=[0,4095]")
        yield from self.split.check(list(config.tasks or {}))
        yield from id_problems(self.image, list(config.tasks or {}))

    def text_columns(self, tasks: Mapping[str, TaskConfig]) -> list[str]:
        """Return the columns of the table that stay as they are written."""
        uses = [use for name, task in tasks.items() for use in task.label_uses(name).items()]
        return [self.image, *(column for column, use in uses if use != "number"), *filter(None, [self.split.group])]

    def split_of(self, columns: Any) -> SplitConfig:
        """Return how the images are split: by the folders train, val and test, if they are the folder's."""
        if PART not in columns or not user_path(self.path).is_dir() or self.split.column is not None:
            return self.split
        return replace(self.split, column=PART)

    def size_of(self) -> tuple[int, int] | None:
        """Return the height and width that were asked for."""
        if self.size is None or isinstance(self.size, int):
            return None if self.size is None else (self.size, self.size)
        return self.size[0], self.size[1]
