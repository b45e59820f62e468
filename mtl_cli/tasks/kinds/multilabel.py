"""Multilabel classification: any number of labels per row."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from mtl_cli.config.convert import NonNegativeFloat, PositiveFloat
from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.registry import component
from mtl_cli.runs.strangers import made_of
from mtl_cli.tasks.answer_columns import CLASS_PROBABILITY, LABEL_SPREAD, PREDICTION
from mtl_cli.tasks.calibration import expected_calibration_error
from mtl_cli.tasks.classes import counted
from mtl_cli.tasks.focal import best_logit, focal_cross_entropy
from mtl_cli.tasks.labels import check_training_labels, each, label_column, typed_classes
from mtl_cli.tasks.links import Link, logit_of_mean, sigmoid
from mtl_cli.tasks.resampling import area_under_roc
from mtl_cli.tasks.roc import area_with_interval
from mtl_cli.tasks.task import Decided, Label, Target, Task, TaskConfig, device_tensor
from mtl_cli.tasks.thresholds import DEFAULT, Goal, best_threshold

if TYPE_CHECKING:
    import pandas as pd
    import torch

UNKNOWN = "?"
"""Before the name of a label that nobody knows of in a row, in files."""


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
    focal : float
        γ of the focal loss, by which entries that are right already count less; 0 is the cross-entropy.
    uncertain : {"missing", "negative", "positive"}, optional
        What −1 in one of several columns says: that nobody knows of this label, or that the row does not carry it, or
        does (Irvin et al. 2019, arXiv 1901.07031, section 4.1). By default it is no label at all.
    blank : {"missing", "negative"}, optional
        Likewise of an empty cell; by default the row then has no label set.
    """

    separator: str = "|"
    none: str = "none"
    pos_weight: Literal["auto"] | PositiveFloat | None = None
    focal: NonNegativeFloat = 0.0
    uncertain: Literal["missing", "negative", "positive"] | None = None
    blank: Literal["missing", "negative"] | None = None

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
        task = MultilabelTask(name, self.columns(name), self.weight, self.auxiliary, [], self.separator, self.none)
        task.focal, task.uncertain, task.blank = self.focal, self.uncertain, self.blank
        return task

    def check(self, name: str) -> Iterator[Problem]:
        for key, value in (("uncertain", self.uncertain), ("blank", self.blank)):
            if value is not None and len(self.columns(name)) == 1:
                what = "is of labels that have a column each"
                yield Problem(f"tasks.{name}.{key}", what, f"tasks.{name}.target=[COLUMN,COLUMN]")

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
        values = target.values[train][target.mask[train]]
        known = values >= 0
        if not known.any(0).all():
            label = task.classes[int(known.any(0).argmin())]
            raise UserError(where, f"no training row says whether it carries '{label}'", "leave it out")
        share = np.where(known, values, 0).sum(0, dtype="float64") / known.sum(0)
        for label, s in zip(task.classes, share, strict=True):
            if s in (0.0, 1.0):
                raise UserError(where, f"{'no' if s == 0 else 'every'} training row carries '{label}'", "leave it out")
        if self.pos_weight == "auto":
            task.pos_weight = ((1 - share) / share).tolist()
        elif self.pos_weight is not None:
            task.pos_weight = [self.pos_weight] * len(task.classes)
        weights = task.pos_weight or [1.0] * len(task.classes)
        task.constant = [best_logit(s, w, self.focal) for s, w in zip(share.tolist(), weights, strict=True)]
        return task

    @staticmethod
    def restore(state: dict[str, Any]) -> MultilabelTask:
        """Rebuild the task from its saved ``state``."""
        return made_of(MultilabelTask, state)


@dataclass
class MultilabelTask(Task):
    """A multilabel task fitted to its training rows. See ``Task`` for the methods."""

    classes: list[str]
    separator: str
    none: str
    pos_weight: list[float] | None = None
    constant: list[float] | None = None
    focal: float = 0.0
    uncertain: str | None = None
    blank: str | None = None

    kind: ClassVar[str] = "multilabel"
    can_abstain: ClassVar[bool] = True
    link: ClassVar[Link | None] = "sigmoid"
    pictures: ClassVar[tuple[str, ...]] = ("label_confusion", "calibration")
    primary: ClassVar[str] = "micro_f1"
    learns: ClassVar[Literal["number", "class", "labels"] | None] = "labels"

    @property
    def partial(self) -> bool:
        """Whether of a row some labels may be known and others not."""
        return "missing" in (self.uncertain, self.blank)

    @property
    def class_labels(self) -> list[Label]:
        return list(self.classes)

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
        flags = np.stack([self._flags(label_column(table, name, self.name)) for name in self.columns], axis=1)
        missing = np.asarray(np.isnan(flags).any(1) | (flags < 0).all(1))
        joined = [self.join(row > 0, row < 0) for row in flags]
        return pd.Series(joined, index=table.index, dtype="object").mask(missing)

    def _flags(self, column: pd.Series) -> np.ndarray:
        """Return 1 where a label is carried, 0 where not, −1 where that is not known, NaN in a row without labels."""
        values = typed_classes(column)
        codes = {"missing": -1.0, "negative": 0.0, "positive": 1.0}
        known = [0, 1] if self.uncertain is None else [0, 1, -1]
        wrong = values.dropna()[~values.dropna().isin(known)]
        if len(wrong):
            what = f"'{wrong.iloc[0]}' in column '{column.name}' is neither 0/1 nor true/false"
            hint = f"tasks.{self.name}.uncertain=missing, negative or positive says what -1 is"
            raise UserError(f"tasks.{self.name}", what, hint if wrong.iloc[0] == -1 else None)
        found = values.astype("float64").to_numpy()
        found = np.where(found == -1, codes.get(self.uncertain or "", -1.0), found)
        return np.where(np.isnan(found), codes.get(self.blank or "", np.nan), found)

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

    def _unknown(self, entry: str) -> list[str]:
        """Return the labels that nobody knows of in one row's entry."""
        parts = [part.strip() for part in entry.split(self.separator)] if self.partial else []
        return [part.removeprefix(UNKNOWN) for part in parts if part.startswith(UNKNOWN)]

    def split(self, entry: str) -> list[str]:
        """Return the labels in one row's entry."""
        parts = [part.strip() for part in entry.split(self.separator)]
        parts = [part for part in parts if part and part != self.none]
        return [part for part in parts if not part.startswith(UNKNOWN)] if self.partial else parts

    def join(self, carried: np.ndarray, unknown: np.ndarray | None = None) -> str:
        """Write a row's labels as they are read, with a `?` before those that nobody knows of."""
        names = self.classes or self.columns
        found = [name for name, c in zip(names, carried, strict=True) if c]
        if unknown is not None:
            found += [f"{UNKNOWN}{name}" for name, u in zip(names, unknown, strict=True) if u]
        return self.separator.join(found) or self.none

    def encode(self, labels: pd.Series) -> Target:
        positions = {label: i for i, label in enumerate(self.classes)}
        values = np.zeros((len(labels), len(positions)), dtype="float32")
        mask = labels.notna().to_numpy(copy=True)
        for row, entry in enumerate(labels):
            for label in self.split(entry) if mask[row] else ():
                if label not in positions:
                    known = ", ".join(self.classes[:12])
                    raise UserError(f"tasks.{self.name}", f"'{label}' is not one of the labels", f"they are {known}")
                values[row, positions[label]] = 1
            for label in self._unknown(entry) if mask[row] else ():
                values[row, positions[label]] = -1
        share = (values >= 0).mean(1, dtype="float32") if self.partial else None
        return Target(values, mask, None if share is None else np.where(mask, share, 0.0).astype("float32"))

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Binary cross-entropy with logits, the mean over labels that are known, per row."""
        weight = None if self.pos_weight is None else device_tensor(tuple(self.pos_weight), output.device)
        if not self.partial:
            return focal_cross_entropy(output, target, self.focal, weight).mean(-1)
        known = target >= 0
        losses = focal_cross_entropy(output, target.clamp(min=0), self.focal, weight).where(known, 0.0)
        return losses.sum(-1) / known.sum(-1).clamp(min=1)

    def same_loss(self, other: Task) -> bool:
        if not isinstance(other, MultilabelTask):
            return False
        return (self.pos_weight, self.focal, self.partial) == (other.pos_weight, other.focal, other.partial)

    def merge(self, outputs: torch.Tensor) -> torch.Tensor:
        return logit_of_mean(outputs)

    def decode(self, output: np.ndarray) -> dict[str, np.ndarray]:
        """Return the labels whose probability is at least a half, and the probability of every label."""
        return self.decode_as(output, self._decided(output, DEFAULT))

    def decode_as(self, output: np.ndarray, decided: Decided) -> dict[str, np.ndarray]:
        predicted, probability = np.array([self.join(row) for row in decided.classes], dtype=object), decided.confidence
        by_label = {
            CLASS_PROBABILITY.named(self.name, label): probability[:, i] for i, label in enumerate(self.classes)
        }
        return {PREDICTION.named(self.name): predicted, **by_label}

    def _decided(self, output: np.ndarray, thresholds: float | list[float]) -> Decided:
        probability = self.probability(output)
        return Decided(probability >= np.array(thresholds), probability)

    def answer(self, output: np.ndarray, decided: Decided | None = None) -> Decided:
        """Return which labels each row is said to have and lack, and the product of the probabilities of all that."""
        chosen = decided or self._decided(output, DEFAULT)
        return Decided(chosen.classes, np.where(chosen.classes, chosen.confidence, 1 - chosen.confidence).prod(1))

    def is_right(self, classes: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return which rows have all labels right that are known."""
        return np.asarray((((values > 0.5) == classes) | (values < 0)).all(1))

    def over_threshold(self, output: np.ndarray) -> Decided | None:
        return None if self.post_hoc.thresholds is None else self._decided(output, self.post_hoc.thresholds)

    def find_thresholds(self, output: np.ndarray, values: np.ndarray, asked: Goal | float) -> list[float]:
        if not isinstance(asked, str):
            return [asked] * self.outputs
        columns = zip(self.probability(output).T, values.T, strict=True)
        return [best_threshold(stated[own >= 0], own[own >= 0] > 0.5, asked) for stated, own in columns]

    def spread(self, outputs: np.ndarray) -> dict[str, np.ndarray]:
        """Return the deviation of the probability of each label."""
        deviations = sigmoid(outputs).std(0, ddof=1)
        return {LABEL_SPREAD.named(self.name, label): deviations[:, i] for i, label in enumerate(self.classes)}

    def probability(self, output: np.ndarray) -> np.ndarray:
        """Return the probability of every label, shape (n, labels)."""
        return sigmoid(output)

    def metrics(self, output: np.ndarray, values: np.ndarray) -> dict[str, float]:
        return self.metrics_as(output, values, self._decided(output, DEFAULT))

    def metrics_as(self, output: np.ndarray, values: np.ndarray, decided: Decided) -> dict[str, float]:
        """Return the metrics over what is known; ``roc_auc`` is the mean over labels that some rows carry, not all."""
        from sklearn import metrics

        probability, truth, predicted, known = decided.confidence, values > 0.5, decided.classes, values >= 0
        entries, guesses, stated = truth[known], predicted[known], probability[known]
        each = [(truth[own, i], predicted[own, i], probability[own, i]) for i, own in enumerate(known.T)]
        f1 = [metrics.f1_score(own, guess, zero_division=0) for own, guess, _ in each]
        areas = [metrics.roc_auc_score(own, chance) for own, _, chance in each if own.any() and not own.all()]
        return {
            "micro_f1": float(metrics.f1_score(entries, guesses, zero_division=0)),
            "macro_f1": float(np.mean(f1)),
            "accuracy": float((entries == guesses).mean()),
            "exact_match": float(((truth == predicted) | ~known).all(1).mean()),
            "roc_auc": float(np.mean(areas)) if areas else math.nan,
            "log_loss": float(metrics.log_loss(entries, stated, labels=[False, True])),
            "ece": expected_calibration_error(*self.confidence(output, values)),
        }

    @property
    def compared(self) -> str:
        return "roc_auc"

    def resampled(self, output: np.ndarray, values: np.ndarray, counts: np.ndarray) -> np.ndarray:
        truth = values > 0.5
        mixed = np.flatnonzero(truth.any(0) & (values == 0).any(0))
        if not len(mixed):
            return np.full(len(counts), math.nan)
        known = values >= 0
        areas = np.stack(
            [area_under_roc(truth[known[:, i], i], output[known[:, i], i], counts[:, known[:, i]]) for i in mixed]
        )
        there = np.isfinite(areas)
        total = np.where(there, areas, 0.0).sum(0)
        return np.asarray(np.divide(total, there.sum(0), out=np.full(len(counts), math.nan), where=there.any(0)))

    def output_of(self, predicted: np.ndarray) -> np.ndarray:
        return np.asarray((np.log(predicted) - np.log1p(-predicted)).astype("float32"))

    def label_weights(self, values: np.ndarray) -> np.ndarray | None:
        return None if self.pos_weight is None else np.where(values > 0.5, np.array(self.pos_weight), 1.0)

    def by_class(
        self, output: np.ndarray, values: np.ndarray, decided: Decided | None = None
    ) -> dict[str, dict[str, float]]:
        truth, known = values > 0.5, values >= 0
        predicted = (decided or self._decided(output, DEFAULT)).classes & known
        found = counted(self.classes, truth.sum(0), predicted.sum(0), (truth & predicted).sum(0))
        for i, label in enumerate(self.classes):
            own = known[:, i]
            area = area_with_interval(truth[own, i], output[own, i])
            found[str(label)] |= dict(zip(("roc_auc", "roc_auc_low", "roc_auc_high"), area, strict=True))
        return found

    def monitor(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        predicted, truth = (output >= 0) & (target >= 0), target > 0.5
        both = (predicted & truth).sum()
        return 2 * both / (predicted.sum() + truth.sum()).clamp(min=1)

    def confidence(self, output: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        known = values >= 0
        return self.probability(output)[known], values[known] > 0.5

    def confidence_as(self, output: np.ndarray, values: np.ndarray, decided: Decided) -> tuple[np.ndarray, np.ndarray]:
        return self.confidence(output, values)
