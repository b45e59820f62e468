"""A task of one class a row, of several: how its labels are read, and what is counted of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mtl_cli.tasks.classes import unseen_classes
from mtl_cli.tasks.labels import (
    apply_mapping,
    check_classes,
    check_training_labels,
    class_indices,
    known_texts,
    label_column,
    typed_classes,
    without_unknown,
)
from mtl_cli.tasks.task import Label, Target, Task

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class ClassTask(Task):
    """A task whose label is one of ``classes``, by their place in it. See ``Task`` for the methods."""

    classes: list[Label]
    mapping: dict[str, Label | None] | None

    @property
    def class_labels(self) -> list[Label]:
        return self.classes

    def fit_classes(self, labels: pd.Series, classes: list[Label], train: np.ndarray) -> np.ndarray:
        """Take the classes, and return how many labels of the rows ``train`` each of them has, shape (classes,).

        Raises
        ------
        UserError
            If they are measurements, or the training labels are of one class.
        """
        where = f"tasks.{self.name}"
        self.classes = classes
        check_classes(classes, int(labels.notna().sum()), where)
        target = self.encode(labels)
        check_training_labels(target.mask[train], where)
        counts = np.bincount(target.values[train][target.mask[train]], minlength=len(classes)).astype("float64")
        self.unseen = unseen_classes(classes, counts, where)
        return counts

    def labels(self, table: pd.DataFrame) -> pd.Series:
        column = typed_classes(label_column(table, self.columns[0], self.name))
        return apply_mapping(column, self.mapping, f"tasks.{self.name}")

    def known_labels(self, table: pd.DataFrame) -> tuple[pd.Series, dict[str, int]]:
        column = label_column(table, self.columns[0], self.name)
        kept, unknown = without_unknown(typed_classes(column), known_texts(self.classes, self.mapping))
        return apply_mapping(kept, self.mapping, f"tasks.{self.name}"), unknown

    def encode(self, labels: pd.Series) -> Target:
        return Target(*class_indices(labels, self.classes, f"tasks.{self.name}"))
