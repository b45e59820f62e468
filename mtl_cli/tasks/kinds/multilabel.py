"""Multilabel classification: any number of labels per row."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from mtl_cli.config.convert import PositiveFloat
from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import component
from mtl_cli.tasks.calibration import expected_calibration_error
from mtl_cli.tasks.classes import counted
from mtl_cli.tasks.labels import check_training_labels, each, label_column, typed_classes
from mtl_cli.tasks.links import Link, logit_of_mean, sigmoid
from mtl_cli.tasks.resampling import area_under_roc
from mtl_cli.tasks.task import Decided, Target, Task, TaskConfig, device_tensor
from mtl_cli.tasks.thresholds import DEFAULT, Goal, best_threshold

if TYPE_CHECKING:
    import pandas as pd
    import torch


@component("task", "multilabel")
@dataclass(frozen=True, kw_only=True)
class Multilabel(TaskConfig):
    """A task whose rows carry a set of labels.

    Parameters
    ----------
    target : str or list of str
        One column with labels joined by ``separator``, or several columns of 0/1 or true/false, one a label. A row has
        no label set if the one column, or any of the several, is empty.
    separator : str
        Between the labels of a row.
    none : str
        How an empty set is written in the one column.
    pos_weight : float or "auto", optional
        Weight of the positive entries in the loss; ``auto`` is negatives / positives, for each label.
    """

    separator: str = "|"
    none: str = "none"
    pos_weight: Literal["auto"] | PositiveFloat | None = None

    several_columns: ClassVar[bool] = True
    post_hoc_keys: ClassVar[tuple[str, ...]] = ("calibrate", "threshold")

    @property
    def named_labels(self) -> set[str]:
        return {self.none}

    def labels(self, name: str, table: pd.DataFrame) -> pd.Series:
        return self._unfitted(name).labels(table)

    def strata(self, name: str, table: pd.DataFrame) -> pd.Series:
        task = self._unfitted(name)
        return task.strata(task.labels(table))

    def _unfitted(self, name: str) -> MultilabelTask:
        return MultilabelTask(name, self.columns(name), self.weight, self.auxiliary, [], self.separator, self.none)

    def fit(self, name: str, table: pd.DataFrame, train: np.ndarray) -> MultilabelTask:
        """Fit to the rows ``train`` of ``table``.

        Raises
        ------
        UserError
            If there is no label, or the training rows never or always carry one.
        """
        where = f"tasks.{name}"
        task = self._unfitted(name)
        labels = task.labels(table)
        if labels.isna().all():
            raise UserError(where, "all labels are missing")
        found = {label for entry in labels.dropna() for label in task.split(entry)}
        task.classes = list(task.columns) if len(task.columns) > 1 else sorted(found)
        if not task.classes:
            raise UserError(where, "no row carries a label")
        target = task.encode(labels)
        check_training_labels(target.mask[train], where)
        share = target.values[train][target.mask[train]].mean(0, dtype="float64")
        for label, s in zip(task.classes, share, strict=True):
            if s in (0.0, 1.0):
                raise UserError(where, f"{'no' if s == 0 else 'every'} training row carries '{label}'", "leave it out")
        if self.pos_weight == "auto":
            task.pos_weight = ((1 - share) / share).tolist()
        elif self.pos_weight is not None:
            task.pos_weight = [self.pos_weight] * len(task.classes)
        weight = np.array(task.pos_weight or 1.0)
        task.constant = np.log(weight * share / (1 - share)).tolist()
        return task

    @staticmethod
    def restore(state: dict[str, Any]) -> MultilabelTask:
        """Rebuild the task from its saved ``state``."""
        return MultilabelTask(**state)


@dataclass
class MultilabelTask(Task):
    """A multilabel task fitted to its training rows. See ``Task`` for the methods."""

    classes: list[str]
    separator: str
    none: str
    pos_weight: list[float] | None = None
    constant: list[float] | None = None

    kind: ClassVar[str] = "multilabel"
    link: ClassVar[Link | None] = "sigmoid"
    pictures: ClassVar[tuple[str, ...]] = ("label_confusion", "calibration")
    primary: ClassVar[str] = "micro_f1"
    learns: ClassVar[Literal["number", "class", "labels"] | None] = "labels"

    @property
    def outputs(self) -> int:
        return len(self.classes)

    @property
    def baseline(self) -> np.ndarray:
        return np.array(self.constant, dtype="float32")

    def labels(self, table: pd.DataFrame) -> pd.Series:
        """Return each row's labels joined by the separator."""
        import pandas as pd

        if len(self.columns) == 1:
            column = label_column(table, self.columns[0], self.name)
            return each(column, str)
        flags = []
        for name in self.columns:
            column = typed_classes(label_column(table, name, self.name))
            wrong = column.dropna()[~column.dropna().isin([0, 1])]
            if len(wrong):
                raise UserError(
                    f"tasks.{self.name}", f"'{wrong.iloc[0]}' in column '{name}' is neither 0/1 nor true/false"
                )
            flags.append(column)
        table_of_flags = pd.concat(flags, axis=1)
        missing = table_of_flags.isna().any(axis=1)
        carried = table_of_flags.fillna(0).astype(bool).to_numpy()
        joined = [self.join(row) for row in carried]
        return pd.Series(joined, index=table.index, dtype="object").mask(missing)

    def known_labels(self, table: pd.DataFrame) -> tuple[pd.Series, dict[str, int]]:
        """Return each row's labels, without those that the task was not fitted for."""
        labels, unknown = self.labels(table), Counter[str]()
        if len(self.columns) > 1:
            return labels, {}
        kept: list[str | None] = []
        for entry in labels:
            if not isinstance(entry, str):
                kept.append(None)
                continue
            found = self.split(entry)
            unknown.update(label for label in found if label not in self.classes)
            kept.append(self.separator.join(label for label in found if label in self.classes) or self.none)
        return labels.where(labels.isna(), kept), dict(unknown)

    def strata(self, labels: pd.Series) -> pd.Series:
        return labels.map(lambda entry: frozenset(self.split(entry)), na_action="ignore")

    def split(self, entry: str) -> list[str]:
        """Return the labels in one row's entry."""
        parts = [part.strip() for part in entry.split(self.separator)]
        return [part for part in parts if part and part != self.none]

    def join(self, carried: np.ndarray) -> str:
        """Write a row's labels as they are read."""
        names = self.classes or self.columns
        return self.separator.join(name for name, c in zip(names, carried, strict=True) if c) or self.none

    def encode(self, labels: pd.Series) -> Target:
        positions = {label: i for i, label in enumerate(self.classes)}
        values = np.zeros((len(labels), len(positions)), dtype="float32")
        mask = labels.notna().to_numpy(copy=True)
        for row, entry in enumerate(labels):
            for label in self.split(entry) if mask[row] else ():
                if label not in positions:
                    known = ", ".join(self.classes[:12])
                    raise UserError(f"tasks.{self.name}", f"'{label}' is none of the labels", f"they are {known}")
                values[row, positions[label]] = 1
        return Target(values, mask)

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Binary cross-entropy with logits, the mean over labels, per row."""
        from torch.nn import functional as F

        weight = None if self.pos_weight is None else device_tensor(tuple(self.pos_weight), output.device)
        return F.binary_cross_entropy_with_logits(output, target, pos_weight=weight, reduction="none").mean(-1)

    def same_loss(self, other: Task) -> bool:
        return isinstance(other, MultilabelTask) and self.pos_weight == other.pos_weight

    def merge(self, outputs: torch.Tensor) -> torch.Tensor:
        return logit_of_mean(outputs)

    def decode(self, output: np.ndarray) -> dict[str, np.ndarray]:
        """Return the labels whose probability is at least a half, and the probability of every label."""
        return self.decode_as(output, self._decided(output, DEFAULT))

    def decode_as(self, output: np.ndarray, decided: Decided) -> dict[str, np.ndarray]:
        predicted, probability = np.array([self.join(row) for row in decided.classes], dtype=object), decided.confidence
        by_label = {f"predicted_{self.name}_prob_{label}": probability[:, i] for i, label in enumerate(self.classes)}
        return {f"predicted_{self.name}": predicted, **by_label}

    def _decided(self, output: np.ndarray, thresholds: float | list[float]) -> Decided:
        probability = self.probability(output)
        return Decided(probability >= np.array(thresholds), probability)

    def over_threshold(self, output: np.ndarray) -> Decided | None:
        return None if self.post_hoc.thresholds is None else self._decided(output, self.post_hoc.thresholds)

    def find_thresholds(self, output: np.ndarray, values: np.ndarray, asked: Goal | float) -> list[float]:
        if not isinstance(asked, str):
            return [asked] * self.outputs
        columns = zip(self.probability(output).T, values.T > 0.5, strict=True)
        return [best_threshold(probability, truth, asked) for probability, truth in columns]

    def spread(self, outputs: np.ndarray) -> dict[str, np.ndarray]:
        """Return the deviation of the probability of each label."""
        deviations = sigmoid(outputs).std(0, ddof=1)
        return {f"{self.name}_spread_{label}": deviations[:, i] for i, label in enumerate(self.classes)}

    def probability(self, output: np.ndarray) -> np.ndarray:
        """Return the probability of every label, shape (n, labels)."""
        return sigmoid(output)

    def metrics(self, output: np.ndarray, values: np.ndarray) -> dict[str, float]:
        return self.metrics_as(output, values, self._decided(output, DEFAULT))

    def metrics_as(self, output: np.ndarray, values: np.ndarray, decided: Decided) -> dict[str, float]:
        from sklearn import metrics

        probability, truth, predicted = decided.confidence, values > 0.5, decided.classes
        mixed = truth.any(0) & ~truth.all(0)
        return {
            "micro_f1": float(metrics.f1_score(truth, predicted, average="micro", zero_division=0)),
            "macro_f1": float(metrics.f1_score(truth, predicted, average="macro", zero_division=0)),
            "accuracy": float((truth == predicted).mean()),
            "exact_match": float((truth == predicted).all(1).mean()),
            "roc_auc": float(metrics.roc_auc_score(truth[:, mixed], probability[:, mixed], average="macro"))
            if mixed.any()
            else math.nan,
            "log_loss": float(metrics.log_loss(truth.ravel(), probability.ravel(), labels=[False, True])),
            "ece": expected_calibration_error(*self.confidence(output, values)),
        }

    @property
    def compared(self) -> str:
        return "roc_auc"

    def resampled(self, output: np.ndarray, values: np.ndarray, counts: np.ndarray) -> np.ndarray:
        truth = values > 0.5
        mixed = np.flatnonzero(truth.any(0) & ~truth.all(0))
        if not len(mixed):
            return np.full(len(counts), math.nan)
        areas = np.stack([area_under_roc(truth[:, i], output[:, i], counts) for i in mixed])
        known = np.isfinite(areas)
        total = np.where(known, areas, 0.0).sum(0)
        return np.asarray(np.divide(total, known.sum(0), out=np.full(len(counts), math.nan), where=known.any(0)))

    def output_of(self, predicted: np.ndarray) -> np.ndarray:
        return np.asarray((np.log(predicted) - np.log1p(-predicted)).astype("float32"))

    def label_weights(self, values: np.ndarray) -> np.ndarray | None:
        return None if self.pos_weight is None else np.where(values > 0.5, np.array(self.pos_weight), 1.0)

    def by_class(
        self, output: np.ndarray, values: np.ndarray, decided: Decided | None = None
    ) -> dict[str, dict[str, float]]:
        truth, predicted = values > 0.5, (decided or self._decided(output, DEFAULT)).classes
        return counted(self.classes, truth.sum(0), predicted.sum(0), (truth & predicted).sum(0))

    def monitor(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        predicted, truth = output >= 0, target > 0.5
        both = (predicted & truth).sum()
        return 2 * both / (predicted.sum() + truth.sum()).clamp(min=1)

    def confidence(self, output: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.probability(output).ravel(), values.ravel() > 0.5

    def confidence_as(self, output: np.ndarray, values: np.ndarray, decided: Decided) -> tuple[np.ndarray, np.ndarray]:
        return self.confidence(output, values)
