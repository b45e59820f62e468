"""Multiclass classification: one of several labels per row."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from mtl_cli.config.convert import NonNegativeFloat, Probability
from mtl_cli.config.registry import component
from mtl_cli.runs.strangers import made_of
from mtl_cli.tasks.answer_columns import CLASS_PROBABILITY, SPREAD
from mtl_cli.tasks.calibration import expected_calibration_error
from mtl_cli.tasks.class_task import ClassTask
from mtl_cli.tasks.classes import best_constant, class_metrics, class_weights
from mtl_cli.tasks.labels import (
    class_list,
)
from mtl_cli.tasks.links import Link, log_of_mean, log_sum_exp, softmax
from mtl_cli.tasks.resampling import mean_of
from mtl_cli.tasks.task import Decided, Label, Task, TaskConfig, device_tensor

if TYPE_CHECKING:
    import pandas as pd
    import torch


@component("task", "multiclass")
@dataclass(frozen=True, kw_only=True)
class Multiclass(TaskConfig):
    """A task with two or more classes.

    Parameters
    ----------
    mapping : dict, optional
        A class for each label in the column; null for what is no label, as in ``{Unknown: null}``.
    class_weights : "balanced" or dict, optional
        Weight of each class in the loss; ``balanced`` is n / (classes · n_class) over the training rows.
    label_smoothing : float
        The share of each row's target that is spread over all classes.
    """

    mapping: dict[str, Label | None] | None = None
    class_weights: Literal["balanced"] | dict[str, NonNegativeFloat] | None = None
    label_smoothing: Probability = 0.0

    post_hoc_keys: ClassVar[tuple[str, ...]] = ("calibrate", "interval")

    @property
    def named_labels(self) -> set[str]:
        weighted = self.class_weights if isinstance(self.class_weights, dict) else {}
        return {*(self.mapping or {}), *weighted}

    def labels(self, name: str, table: pd.DataFrame) -> pd.Series:
        return self._unfitted(name).labels(table)

    def _unfitted(self, name: str) -> MulticlassTask:
        return MulticlassTask(
            name, self.columns(name), self.weight, self.auxiliary, [], self.mapping, self.label_smoothing
        )

    def fit(self, name: str, table: pd.DataFrame, train: np.ndarray) -> MulticlassTask:
        """Fit to the rows ``train`` of ``table``. Classes are those of the whole table.

        Raises
        ------
        UserError
            If there is one class only, in the table or in the training rows.
        """
        where = f"tasks.{name}"
        task = self._unfitted(name)
        labels = task.labels(table)
        counts = task.fit_classes(labels, class_list(labels, where), train)
        if self.class_weights is not None:
            task.class_weights = class_weights(self.class_weights, task.classes, counts, where)
        task.constant = best_constant(counts, task.class_weights, self.label_smoothing)
        return task

    @staticmethod
    def restore(state: dict[str, Any]) -> MulticlassTask:
        """Rebuild the task from its saved ``state``."""
        return made_of(MulticlassTask, state)


@dataclass
class MulticlassTask(ClassTask):
    """A multiclass task fitted to its training rows. See ``Task`` for the methods."""

    label_smoothing: float
    class_weights: list[float] | None = None
    constant: list[float] | None = None
    """Log-probabilities of the best constant prediction, w_c ((1 − ε) f_c + ε / C) normalised."""

    kind: ClassVar[str] = "multiclass"
    link: ClassVar[Link | None] = "softmax"
    one_class: ClassVar[bool] = True
    can_abstain: ClassVar[bool] = True
    pictures: ClassVar[tuple[str, ...]] = ("confusion", "calibration")
    stated: ClassVar[tuple[str, str]] = ("confidence: probability of the predicted class", "accuracy")
    primary: ClassVar[str] = "accuracy"
    learns: ClassVar[Literal["number", "class", "labels"] | None] = "class"

    @property
    def linear(self) -> bool:
        return True

    @property
    def outputs(self) -> int:
        return len(self.classes)

    @property
    def baseline(self) -> np.ndarray:
        return np.array(self.constant, dtype="float32")

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Cross-entropy per row: (1 − ε) w_y (−log p_y) + (ε / C) Σ_c w_c (−log p_c)."""
        from torch.nn import functional as F

        weights = None if self.class_weights is None else device_tensor(tuple(self.class_weights), output.device)
        return F.cross_entropy(output, target, weights, reduction="none", label_smoothing=self.label_smoothing)

    def same_loss(self, other: Task) -> bool:
        if not isinstance(other, MulticlassTask):
            return False
        return (self.class_weights, self.label_smoothing) == (other.class_weights, other.label_smoothing)

    def merge(self, outputs: torch.Tensor) -> torch.Tensor:
        return log_of_mean(outputs)

    def spread(self, outputs: np.ndarray) -> dict[str, np.ndarray]:
        """Return the deviation of the probability that members give to the class with the largest mean of them."""
        probabilities = softmax(outputs)
        predicted = probabilities.mean(0).argmax(1)
        stated = probabilities[:, np.arange(len(predicted)), predicted]
        return {SPREAD.named(self.name): stated.std(0, ddof=1)}

    def nonconformity(self, output: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return 1 − p of the label (Sadinle, Lei & Wasserman 2019, doi 10.1080/01621459.2017.1395341)."""
        return np.asarray(1 - softmax(output)[np.arange(len(output)), values])

    def in_set(self, output: np.ndarray) -> np.ndarray:
        assert self.post_hoc.conformal is not None
        return np.asarray(1 - softmax(output) <= self.post_hoc.conformal.radius)

    def choose(self, output: np.ndarray) -> Decided:
        """Return the most probable class of each row, without the matrix of all probabilities."""
        total, predicted = log_sum_exp(output)
        return Decided(predicted, np.exp(output[np.arange(len(output)), predicted] - total))

    def answer(self, output: np.ndarray, decided: Decided | None = None) -> Decided:
        return decided or self.choose(output)

    def probabilities(self, output: np.ndarray) -> dict[str, np.ndarray]:
        found = self.probability(output)
        return {CLASS_PROBABILITY.named(self.name, label): found[:, i] for i, label in enumerate(self.classes)}

    def probability(self, output: np.ndarray) -> np.ndarray:
        """Return the probability of every class, shape (n, classes)."""
        return softmax(output)

    def metrics_as(self, output: np.ndarray, values: np.ndarray, decided: Decided) -> dict[str, float]:
        """Return the metrics of chosen classes; ``roc_auc`` and ``log_loss`` are of the head's own probabilities."""
        total = log_sum_exp(output)[0]
        return {
            **class_metrics(values, decided.classes),
            "roc_auc": _roc_auc(values, output, total, np.unique(values)),
            "log_loss": float((total - output[np.arange(len(output)), values]).mean()),
            "ece": expected_calibration_error(decided.confidence, decided.classes == values),
        }

    def resampled(self, output: np.ndarray, values: np.ndarray, counts: np.ndarray) -> np.ndarray:
        return mean_of(output.argmax(-1) == values, counts)

    def output_of(self, predicted: np.ndarray) -> np.ndarray:
        return np.asarray(np.log(predicted).astype("float32"))

    def label_weights(self, values: np.ndarray) -> np.ndarray | None:
        return None if self.class_weights is None else np.array(self.class_weights)[values]

    def monitor(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (output.argmax(-1) == target).float().mean()

    def confidence(self, output: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        likeliest = self.choose(output)
        return likeliest.confidence, likeliest.classes == values


def _roc_auc(values: np.ndarray, output: np.ndarray, total: np.ndarray, present: np.ndarray) -> float:
    """Return the mean over present classes of one class against the rest; NaN where only one is present.

    ``total`` is the outputs' log-sum-exp; the probabilities are made of one class at a time.
    """
    from sklearn import metrics

    if len(present) < 2:
        return math.nan
    areas = [metrics.roc_auc_score(values == label, np.exp(output[:, label] - total)) for label in present]
    return float(np.mean(areas))
