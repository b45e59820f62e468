"""Binary classification: one of two labels per row."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from mtl_cli.config.convert import NonNegativeFloat, PositiveFloat
from mtl_cli.config.errors import Problem, UserError, did_you_mean
from mtl_cli.config.registry import component
from mtl_cli.runs.strangers import made_of
from mtl_cli.tasks.answer_columns import CLASS_PROBABILITY
from mtl_cli.tasks.calibration import expected_calibration_error
from mtl_cli.tasks.class_task import ClassTask
from mtl_cli.tasks.focal import best_logit, focal_cross_entropy
from mtl_cli.tasks.labels import (
    check_training_labels,
    class_list,
    each,
    label_column,
    numbers,
    text_of,
)
from mtl_cli.tasks.links import Link, logit_of_mean, sigmoid
from mtl_cli.tasks.resampling import area_under_roc
from mtl_cli.tasks.task import Decided, Label, Target, Task, TaskConfig, device_tensor
from mtl_cli.tasks.thresholds import DEFAULT, Goal, best_threshold

if TYPE_CHECKING:
    import pandas as pd
    import torch


@component("task", "binary")
@dataclass(frozen=True, kw_only=True)
class Binary(TaskConfig):
    """A task with two classes.

    Parameters
    ----------
    at_least : float, optional
        The label is whether the column's number is at least this.
    positive : str, optional
        The class whose probability is predicted. By default the second in order: True, 1, or the later in the alphabet.
    mapping : dict, optional
        A class for each label in the column, such as ``{M: malignant, B: benign}``; null for what is no label.
    pos_weight : float or "auto", optional
        Weight of the positive rows in the loss; ``auto`` is negatives / positives among the training rows.
    focal : float
        γ of the focal loss, by which rows that are right already count less; 0 is the cross-entropy.
    """

    at_least: float | None = None
    positive: str | bool | None = None
    mapping: dict[str, Label | None] | None = None
    pos_weight: Literal["auto"] | PositiveFloat | None = None
    focal: NonNegativeFloat = 0.0

    post_hoc_keys: ClassVar[tuple[str, ...]] = ("calibrate", "threshold", "interval")

    @property
    def labels_as_text(self) -> bool:
        return self.at_least is None

    @property
    def named_labels(self) -> set[str]:
        return {*(self.mapping or {}), *([] if self.positive is None else [str(self.positive)])}

    def check(self, name: str) -> Iterator[Problem]:
        if self.at_least is not None and self.mapping is not None:
            yield Problem(f"tasks.{name}", "has both at_least and a mapping", "give one of them")

    def labels(self, name: str, table: pd.DataFrame) -> pd.Series:
        return self._unfitted(name).labels(table)

    def _unfitted(self, name: str) -> BinaryTask:
        return BinaryTask(name, self.columns(name), self.weight, self.auxiliary, [], self.mapping, self.at_least)

    def fit(self, name: str, table: pd.DataFrame, train: np.ndarray) -> BinaryTask:
        """Fit to the rows ``train`` of ``table``.

        Raises
        ------
        UserError
            If there are not exactly two classes, or the training rows lack one.
        """
        where = f"tasks.{name}"
        task = self._unfitted(name)
        labels = task.labels(table)
        task.classes = class_list(labels, where)
        if len(task.classes) != 2:
            shown = ", ".join(f"'{label}'" for label in task.classes[:5]) + (", …" if len(task.classes) > 5 else "")
            hint = "use kind: multiclass, or give at_least=… or a mapping"
            raise UserError(where, f"has {len(task.classes)} classes ({shown}), not two", hint)
        if self.positive is not None:
            names = [text_of(label) for label in task.classes]
            positive = text_of(self.positive)
            if positive not in names:
                near = did_you_mean(str(self.positive), names)
                raise UserError(f"{where}.positive", f"no label is '{self.positive}'", near)
            if positive == names[0]:
                task.classes.reverse()
        target = task.encode(labels)
        check_training_labels(target.mask[train], where)
        positives = float(target.values[train][target.mask[train]].mean())
        if positives in (0.0, 1.0):
            raise UserError(where, f"all labels of the training rows are '{task.classes[int(positives)]}'")
        if self.pos_weight == "auto":
            task.pos_weight = (1 - positives) / positives
        elif self.pos_weight is not None:
            task.pos_weight = self.pos_weight
        task.focal = self.focal
        task.constant = best_logit(positives, task.pos_weight, self.focal)
        return task

    @staticmethod
    def restore(state: dict[str, Any]) -> BinaryTask:
        """Rebuild the task from its saved ``state``."""
        return made_of(BinaryTask, state)


@dataclass
class BinaryTask(ClassTask):
    """A binary task fitted to its training rows. See ``Task`` for the methods."""

    at_least: float | None
    pos_weight: float = 1.0
    constant: float = 0.0
    """The logit of the best constant probability, pπ / (pπ + 1 − π) for positive weight p and positive share π."""
    focal: float = 0.0

    kind: ClassVar[str] = "binary"
    can_abstain: ClassVar[bool] = True
    link: ClassVar[Link | None] = "sigmoid"
    pictures: ClassVar[tuple[str, ...]] = ("confusion", "calibration")
    primary: ClassVar[str] = "accuracy"
    learns: ClassVar[Literal["number", "class", "labels"] | None] = "class"

    @property
    def linear(self) -> bool:
        return True

    @property
    def outputs(self) -> int:
        return 1

    @property
    def baseline(self) -> np.ndarray:
        return np.array([self.constant], dtype="float32")

    def labels(self, table: pd.DataFrame) -> pd.Series:
        if self.at_least is None:
            return super().labels(table)
        column, threshold = label_column(table, self.columns[0], self.name), self.at_least
        return each(numbers(column, f"tasks.{self.name}.at_least"), lambda value: bool(value >= threshold))

    def known_labels(self, table: pd.DataFrame) -> tuple[pd.Series, dict[str, int]]:
        return super().known_labels(table) if self.at_least is None else (self.labels(table), {})

    def encode(self, labels: pd.Series) -> Target:
        found = super().encode(labels)
        return Target(found.values.astype("float32"), found.mask)

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """−[p y log σ(o) + (1 − y) log(1 − σ(o))] per row, with p the positive weight."""
        weight = None if self.pos_weight == 1 else device_tensor((self.pos_weight,), output.device)
        return focal_cross_entropy(output.squeeze(-1), target, self.focal, weight)

    def same_loss(self, other: Task) -> bool:
        return isinstance(other, BinaryTask) and (self.pos_weight, self.focal) == (other.pos_weight, other.focal)

    def merge(self, outputs: torch.Tensor) -> torch.Tensor:
        return logit_of_mean(outputs)

    def choose(self, output: np.ndarray) -> Decided:
        """Return the more probable label, and the probability of the positive one."""
        return self._decided(output, DEFAULT)

    def _decided(self, output: np.ndarray, threshold: float) -> Decided:
        probability = self.probability(output)
        return Decided((probability >= threshold).astype(int), probability)

    def answer(self, output: np.ndarray, decided: Decided | None = None) -> Decided:
        chosen = decided or self.choose(output)
        return Decided(chosen.classes, np.where(chosen.classes == 1, chosen.confidence, 1 - chosen.confidence))

    def over_threshold(self, output: np.ndarray) -> Decided | None:
        thresholds = self.post_hoc.thresholds
        return None if thresholds is None else self._decided(output, thresholds[0])

    def find_thresholds(self, output: np.ndarray, values: np.ndarray, asked: Goal | float) -> list[float]:
        if not isinstance(asked, str):
            return [asked]
        return [best_threshold(self.probability(output), values > 0.5, asked)]

    def nonconformity(self, output: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return 1 − p of the label (Sadinle, Lei & Wasserman 2019, doi 10.1080/01621459.2017.1395341)."""
        return np.asarray(1 - sigmoid(np.where(values > 0.5, output[:, 0], -output[:, 0])))

    def in_set(self, output: np.ndarray) -> np.ndarray:
        assert self.post_hoc.conformal is not None
        each = [self.nonconformity(output, np.full(len(output), value)) for value in (0.0, 1.0)]
        return np.asarray(np.stack(each, axis=1) <= self.post_hoc.conformal.radius)

    def probability(self, output: np.ndarray) -> np.ndarray:
        """Return the probability of the positive label, shape (n,)."""
        return sigmoid(output[:, 0])

    def metrics_as(self, output: np.ndarray, values: np.ndarray, decided: Decided) -> dict[str, float]:
        from sklearn import metrics

        probability, truth, predicted = decided.confidence, values.astype(int), decided.classes
        both = len(np.unique(truth)) == 2
        _, recall, f1, _ = metrics.precision_recall_fscore_support(truth, predicted, labels=[0, 1], zero_division=0)
        return {
            "accuracy": float(metrics.accuracy_score(truth, predicted)),
            "balanced_accuracy": float(recall.mean()) if both else math.nan,
            "macro_f1": float(f1.mean()),
            "roc_auc": float(metrics.roc_auc_score(truth, probability)) if both else math.nan,
            "log_loss": float(metrics.log_loss(truth, probability, labels=[0, 1])),
            "ece": expected_calibration_error(*self.confidence(output, values)),
        }

    @property
    def compared(self) -> str:
        return "roc_auc"

    def resampled(self, output: np.ndarray, values: np.ndarray, counts: np.ndarray) -> np.ndarray:
        return area_under_roc(values > 0.5, output[:, 0], counts)

    def output_of(self, predicted: np.ndarray) -> np.ndarray:
        return np.asarray((np.log(predicted[:, 1:]) - np.log(predicted[:, :1])).astype("float32"))

    def label_weights(self, values: np.ndarray) -> np.ndarray | None:
        return None if self.pos_weight == 1 else np.where(values > 0.5, self.pos_weight, 1.0)

    def probabilities(self, output: np.ndarray) -> dict[str, np.ndarray]:
        positive = self.probability(output)
        either = zip(self.classes, (1 - positive, positive), strict=True)
        return {CLASS_PROBABILITY.named(self.name, label): probability for label, probability in either}

    def monitor(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return ((output.squeeze(-1) >= 0) == (target > 0.5)).float().mean()

    def confidence(self, output: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.probability(output), values > 0.5

    def confidence_as(self, output: np.ndarray, values: np.ndarray, decided: Decided) -> tuple[np.ndarray, np.ndarray]:
        return self.confidence(output, values)
