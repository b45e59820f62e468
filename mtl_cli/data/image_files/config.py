"""What YAML says of image files: `mtl train dataset=images dataset.path=labels.csv dataset.image=file`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mtl_cli.config.convert import PositiveInt
from mtl_cli.config.errors import Problem, did_you_mean
from mtl_cli.config.registry import component
from mtl_cli.config.schema import Config
from mtl_cli.data.base import DataSource, Notice, Prepared, Reader, encode_parts, fit_tasks, id_problems
from mtl_cli.data.image_files import FILE, PART
from mtl_cli.data.image_files.augment import Augment
from mtl_cli.data.split import Rows, SplitConfig, split_rows
from mtl_cli.data.weights import weight_columns, weighted
from mtl_cli.tasks.labels import USUAL_NO_LABEL
from mtl_cli.tasks.task import TaskConfig

if TYPE_CHECKING:
    import pandas as pd

    from mtl_cli.data.folding import Folding


@component("dataset", "images")
@dataclass(frozen=True, kw_only=True)
class ImageFiles(DataSource):
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
        How many images are decoded at once; null: one for each processor.
    cache : bool
        Whether images that took long to decode are kept in the user's cache folder for the next run.
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
    cache: bool = True
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
        place = Path(self.path).expanduser()
        if not place.exists():
            beside = [other.name for other in place.parent.iterdir()] if place.parent.is_dir() else []
            yield Problem(
                self.path, "there is no such file or folder", did_you_mean(place.name, beside) if beside else None
            )
        if self.folder is not None and not Path(self.folder).expanduser().is_dir():
            yield Problem("dataset.folder", f"there is no folder {self.folder}")
        if isinstance(self.size, list) and len(self.size) != 2:
            yield Problem("dataset.size", "must be a number, or a height and a width", "dataset.size=[64,96]")
        if self.window is not None and (len(self.window) != 2 or self.window[0] >= self.window[1]):
            yield Problem("dataset.window", "must be two numbers, the lower first", "dataset.window=[0,4095]")
        yield from self.split.check(list(config.tasks or {}))
        yield from id_problems(self.image, list(config.tasks or {}))

    def prepare(
        self,
        tasks: Mapping[str, TaskConfig],
        notice: Notice,
        like: Reader | None = None,
        folding: Folding | None = None,
    ) -> Prepared:
        from mtl_cli.data.duplicates import equal_arrays
        from mtl_cli.data.held_out import hold_out
        from mtl_cli.data.image_files.listing import kept_images, listed
        from mtl_cli.data.image_files.reader import ImageFileReader
        from mtl_cli.data.image_files.rows import ImageRows
        from mtl_cli.data.images.files import Loaded
        from mtl_cli.data.images.reader import fingerprint, fit_spec
        from mtl_cli.data.tables.deciding import Words, decide, label_uses, named_labels
        from mtl_cli.data.tables.reader import check_columns

        table, paths = listed(self, self.text_columns(tasks), notice)
        columns = weight_columns(self.weight, tasks)
        check_columns(table, self.path, tasks, columns)
        words = Words(no_label=self.no_label, labels=named_labels(tasks))
        readings = decide(table, label_uses(tasks), words, self.path, notice)
        table = readings.apply(table)
        layout, images, about = kept_images(self, paths, notice)
        config = self.split_of(table.columns)
        rows = Rows(equal_arrays(images), lambda name: tasks[name].strata(name, table), table[self.image])
        split = split_rows(config, table, rows, notice)
        split, held_out = hold_out(folding, config, split, table, rows, tasks, table, notice)
        fitted = fit_tasks(tasks, table, split.train, notice)
        spec = fit_spec(images, split.train)
        own = fingerprint(Loaded(images, table[[self.image, *label_uses(tasks)]], None, self.path))
        reader = ImageFileReader(self, layout, spec, readings, own)
        every = reader.examples(ImageRows(images, self.augment), table, self.path)
        parts = encode_parts(split, fitted, every.select)
        parts["train"] = weighted(parts["train"], table, split.train, self.weight, tasks)
        return Prepared(fitted, reader, parts, split.table(table[self.image]), held_out, about=about)

    def text_columns(self, tasks: Mapping[str, TaskConfig]) -> list[str]:
        """Return the columns of the table that stay as they are written."""
        uses = [use for name, task in tasks.items() for use in task.label_uses(name).items()]
        return [self.image, *(column for column, use in uses if use != "number"), *filter(None, [self.split.group])]

    def split_of(self, columns: Any) -> SplitConfig:
        """Return how the images are split: by the folders train, val and test, if they are the folder's."""
        if PART not in columns or not Path(self.path).expanduser().is_dir() or self.split.column is not None:
            return self.split
        return replace(self.split, column=PART)

    def size_of(self) -> tuple[int, int] | None:
        """Return the height and width that were asked for."""
        if self.size is None or isinstance(self.size, int):
            return None if self.size is None else (self.size, self.size)
        return self.size[0], self.size[1]

    def label_table(self, notice: Notice) -> pd.DataFrame:
        from mtl_cli.data.image_files.listing import listed

        table, _ = listed(self, [self.image], notice)
        return table.drop(columns=[name for name in (self.image, PART) if name in table.columns])

    def restore(self, state: dict[str, Any]) -> Reader:
        from mtl_cli.data.image_files.reader import ImageFileReader

        return ImageFileReader.from_state(self, state)
