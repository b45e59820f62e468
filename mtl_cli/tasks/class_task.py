"""A task whose rows have one class each: how its labels are read, and how its answers are written and counted."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mtl_cli.tasks.answer_columns import PREDICTION, PROBABILITY, SET
from mtl_cli.tasks.classes import per_class, unseen_classes
from mtl_cli.tasks.conformal import set_texts
from mtl_cli.tasks.labels import (
    apply_mapping,
    as_label_array,
    check_classes,
    check_training_labels,
    class_indices,
    known_texts,
    label_column,
    typed_classes,
    without_unknown,
)
from mtl_cli.tasks.task import Decided, Label, Target, Task

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

    @abstractmethod
    def choose(self, output: np.ndarray) -> Decided:
        """Return the class that the outputs of each row stand for, and the probability that is stated of it."""

    @abstractmethod
    def in_set(self, output: np.ndarray) -> np.ndarray:
        """Return which classes the set of each row has, bool of shape (n, classes), where sets were fitted."""

    def decode(self, output: np.ndarray) -> dict[str, np.ndarray]:
        """Return the class and the probability that ``choose`` does."""
        return self.decode_as(output, self.choose(output))

    def decode_as(self, output: np.ndarray, decided: Decided) -> dict[str, np.ndarray]:
        return {
            PREDICTION.named(self.name): as_label_array(self.classes)[decided.classes],
            PROBABILITY.named(self.name): decided.confidence,
        }

    def interval_columns(self, output: np.ndarray) -> dict[str, np.ndarray]:
        if self.post_hoc.conformal is None:
            return {}
        return {SET.named(self.name): set_texts(self.in_set(output), self.classes)}

    def interval_size(self, output: np.ndarray) -> dict[str, float]:
        return {"set_size": float(self.in_set(output).sum(1).mean())}

    def metrics(self, output: np.ndarray, values: np.ndarray) -> dict[str, float]:
        return self.metrics_as(output, values, self.choose(output))

    def by_class(
        self, output: np.ndarray, values: np.ndarray, decided: Decided | None = None
    ) -> dict[str, dict[str, float]]:
        return per_class(self.classes, values.astype(int), (decided or self.choose(output)).classes)
