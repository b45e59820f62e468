"""Reading image files as those that a model was trained on: those of a folder, those that a table names, or one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mtl_cli.config.errors import UserError
from mtl_cli.data.base import Examples, Notice, Reader
from mtl_cli.data.files import STDIN
from mtl_cli.data.image_files.augment import Augment
from mtl_cli.data.image_files.listing import files_of, fits_in_memory, listed, own_table, read_table, stored
from mtl_cli.data.image_files.pictures import SUFFIXES, Layout
from mtl_cli.data.image_files.rows import rows_of
from mtl_cli.data.image_files.stores import FromFiles, ImageStore, InMemory
from mtl_cli.data.images.reader import with_labels
from mtl_cli.data.inputs import InputRows, InputSpec
from mtl_cli.data.reading import with_keys
from mtl_cli.data.tables.reading import Readings
from mtl_cli.io import user_path
from mtl_cli.runs.strangers import check_types, made_of

if TYPE_CHECKING:
    from mtl_cli.data.image_files.source import ImageSource


@dataclass(frozen=True)
class ImageFileReader(Reader):
    """Reads image files in one layout.

    Parameters
    ----------
    source : ImageSource
        The data set's config.
    layout : Layout
    input_spec : InputSpec
        What the network reads.
    readings : Readings
        How cells of labels become values.
    fingerprint : str
        Of the data set's own images and labels.
    """

    source: ImageSource
    layout: Layout
    input_spec: InputSpec
    readings: Readings
    fingerprint: str

    @property
    def spec(self) -> InputSpec:
        return self.input_spec

    @property
    def fingerprints(self) -> dict[str, str]:
        return {"": self.fingerprint}

    @property
    def keys(self) -> tuple[str, ...]:
        return self.source.reading_keys

    def with_keys(self, given: Mapping[str, Any]) -> ImageFileReader:
        return replace(self, source=with_keys(self.source, given, self.keys, "image files"))

    def state(self) -> dict[str, Any]:
        """Return plain values for the model file."""
        layout = {**asdict(self.layout), "window": None if self.layout.window is None else list(self.layout.window)}
        return {
            "layout": layout,
            "spec": self.spec.state(),
            "readings": self.readings.state(),
            "fingerprint": self.fingerprint,
        }

    @classmethod
    def from_state(cls, source: ImageSource, state: dict[str, Any]) -> ImageFileReader:
        """Make the reader that ``state`` was taken from."""
        check_types(state, {"fingerprint": str})
        layout = made_of(Layout, state["layout"])
        spec, readings = InputSpec.from_state(state["spec"]), Readings.from_state(state["readings"])
        return cls(source, layout, spec, readings, state["fingerprint"])

    def examples(self, inputs: InputRows, table: pd.DataFrame, where: str) -> Examples:
        """Return images with their labels; each is called by its file's name."""
        return Examples(inputs, table, table[self.source.image], where)

    def read(self, path: str, notice: Notice) -> Examples:
        table, paths = self._named(path, notice)
        return self._decoded(table, paths, path)

    def stream(self, path: str, notice: Notice) -> Iterator[Examples]:
        table, paths = self._named(path, notice)
        piece = FromFiles(paths, self.layout, None).piece
        for start in range(0, len(paths), piece):
            yield self._decoded(table.iloc[start : start + piece], paths[start : start + piece], path)

    def _named(self, path: str, notice: Notice) -> tuple[pd.DataFrame, list[Path]]:
        """Return a row per image of a folder, of a table or of one file, and the files."""
        place = user_path(path)
        if path != STDIN and place.is_dir():
            table, paths = own_table(place, self.source.image)
            if not paths:
                raise UserError(path, "holds no image", f"files must end in {', '.join(SUFFIXES)}")
            return table, paths
        if place.suffix.lower() in SUFFIXES:
            return pd.DataFrame({self.source.image: [place.name]}), [place]
        table = read_table(path, [self.source.image, *self.readings.as_written], notice)
        return self.readings.apply(table), files_of(table, self.source, path)

    def _decoded(self, table: pd.DataFrame, paths: list[Path], where: str) -> Examples:
        images: ImageStore = FromFiles(paths, self.layout, self.source.workers)
        if fits_in_memory(int(np.prod(images.shape))):
            images = InMemory(images.read(np.arange(len(paths))))
        return self.examples(rows_of(images, Augment(), self.source.workers), table, where)

    def read_own(self, notice: Notice) -> Examples:
        source, hint = self.source, "give a table or a folder to evaluate on"
        table, paths = listed(source, [source.image, *self.readings.as_written], notice)
        table = self.readings.apply(table)
        images = stored(source, paths, self.layout, lambda line: None)
        scan = images.scan()
        labels = table[[source.image, *(column.name for column in self.readings.columns)]]
        if with_labels(scan.whole, labels) != self.fingerprint:
            raise UserError(source.path, "has changed since the run was made", hint)
        found = self.examples(rows_of(images, Augment(), source.workers), table, source.path)
        return replace(found, duplicate_groups=scan.duplicate_groups)
