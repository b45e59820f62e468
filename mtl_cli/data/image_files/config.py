"""What YAML says of image files: `mtl train dataset=images dataset.path=labels.csv dataset.image=file`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mtl_cli.config.registry import component
from mtl_cli.data.base import Notice, Prepared, Reader, encode_parts, fit_tasks
from mtl_cli.data.image_files import PART
from mtl_cli.data.image_files.source import ImageSource
from mtl_cli.data.split import Rows, split_rows
from mtl_cli.data.weights import weight_columns, weighted
from mtl_cli.tasks.task import TaskConfig

if TYPE_CHECKING:
    import pandas as pd

    from mtl_cli.data.folding import Folding


@component("dataset", "images")
@dataclass(frozen=True, kw_only=True)
class ImageFiles(ImageSource):
    """Image files and their labels: PNG, JPEG, TIFF and others that Pillow reads, and DICOM. For keys see
    ``ImageSource``."""

    def prepare(
        self,
        tasks: Mapping[str, TaskConfig],
        notice: Notice,
        like: Reader | None = None,
        folding: Folding | None = None,
    ) -> Prepared:
        from mtl_cli.data.held_out import hold_out
        from mtl_cli.data.image_files.listing import kept_images, listed
        from mtl_cli.data.image_files.reader import ImageFileReader
        from mtl_cli.data.image_files.rows import rows_of
        from mtl_cli.data.images.reader import with_labels
        from mtl_cli.data.tables.deciding import Words, decide, label_uses, named_labels
        from mtl_cli.data.tables.reader import check_columns

        table, paths = listed(self, self.text_columns(tasks), notice)
        columns = weight_columns(self.weight, tasks)
        check_columns(table, self.path, tasks, columns)
        words = Words(no_label=self.no_label, labels=named_labels(tasks))
        readings = decide(table, label_uses(tasks), words, self.path, notice)
        table = readings.apply(table)
        layout, images, about = kept_images(self, paths, notice)
        scan = images.scan()
        config = self.split_of(table.columns)
        rows = Rows(scan.duplicate_groups, lambda name: tasks[name].strata(name, table), table[self.image])
        split = split_rows(config, table, rows, notice)
        split, held_out = hold_out(folding, config, split, table, rows, tasks, table, notice)
        fitted = fit_tasks(tasks, table, split.train, notice)
        own = with_labels(scan.whole, table[[self.image, *label_uses(tasks)]])
        reader = ImageFileReader(self, layout, scan.spec(split.train), readings, own)
        every = reader.examples(rows_of(images, self.augment, self.workers), table, self.path)
        parts = encode_parts(split, fitted, every.select)
        parts["train"] = weighted(parts["train"], table, split.train, self.weight, tasks)
        return Prepared(fitted, reader, parts, split.table(table[self.image]), held_out, about=about)

    def label_table(self, notice: Notice) -> pd.DataFrame:
        from mtl_cli.data.image_files.listing import listed

        table, _ = listed(self, [self.image], notice)
        return table.drop(columns=[name for name in (self.image, PART) if name in table.columns])

    def restore(self, state: dict[str, Any]) -> Reader:
        from mtl_cli.data.image_files.reader import ImageFileReader

        return ImageFileReader.from_state(self, state)
