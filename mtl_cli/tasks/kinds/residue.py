"""A class for each residue of a sequence, such as its secondary structure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from mtl_cli.config.convert import NonNegativeFloat
from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.registry import component
from mtl_cli.tasks.calibration import expected_calibration_error
from mtl_cli.tasks.classes import best_constant, class_metrics, class_weights, per_class, unseen_classes
from mtl_cli.tasks.labels import check_training_labels, each, label_column
from mtl_cli.tasks.links import log_of_mean, softmax
from mtl_cli.tasks.task import Decided, Level, Target, Task, TaskConfig, device_tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    import torch


NO_LABEL = -1
"""The class number of a residue without a label, and of places beyond a row's end."""


@component("task", "residue")
@dataclass(frozen=True, kw_only=True)
class Residue(TaskConfig):
    """A class for each residue. The label of a row is a text as long as its sequence, a character per residue.

    Parameters
    ----------
    missing : str
        The characters that mean a missing label.
    mapping : dict, optional
        A character for each character in the column, such as H for each of the helices H, G and I.
    class_weights : "balanced" or dict, optional
        Weight of each class in the loss; ``balanced`` is n / (classes · n_class) over the residues of training rows.
    """

    missing: str = "-."
    mapping: dict[str, str] | None = None
    class_weights: Literal["balanced"] | dict[str, NonNegativeFloat] | None = None

    level: ClassVar[Level] = "token"

    def check(self, name: str) -> Iterator[Problem]:
        for key, value in (self.mapping or {}).items():
            if len(key) != 1 or len(value) != 1:
                what = f"maps '{key}' to '{value}', and each residue has a single character"
                yield Problem(f"tasks.{name}.mapping", what)

    def labels(self, name: str, table: pd.DataFrame) -> pd.Series:
        return self._unfitted(name).labels(table)

    def strata(self, name: str, table: pd.DataFrame) -> pd.Series:
        """Return which classes occur in each row."""
        labels = self.labels(name, table)
        return labels.map(lambda text: frozenset(set(text) - set(self.missing)), na_action="ignore")

    def _unfitted(self, name: str) -> ResidueTask:
        return ResidueTask(name, self.columns(name), self.weight, self.auxiliary, [], self.missing, self.mapping)

    def fit(self, name: str, table: pd.DataFrame, train: np.ndarray) -> ResidueTask:
        """Fit to the rows ``train`` of ``table``. Classes are the characters of the whole table.

        Raises
        ------
        UserError
            If there is one class only, in the table or in the training rows.
        """
        where = f"tasks.{name}"
        task = self._unfitted(name)
        labels = task.labels(table)
        every = set("".join(labels.dropna())) - set(self.missing)
        if len(every) < 2:
            what = f"has one class only, '{every.pop()}'" if every else "has no label"
            raise UserError(where, what, "a task needs at least two classes")
        task.classes = sorted(every)
        target = task.encode(labels.iloc[train])
        check_training_labels(target.mask, where)
        counts = np.bincount(target.values[target.values >= 0], minlength=len(task.classes)).astype("float64")
        task.unseen = unseen_classes(task.classes, counts, where)
        if self.class_weights is not None:
            task.class_weights = class_weights(self.class_weights, task.classes, counts, where)
        task.constant = best_constant(counts, task.class_weights)
        return task

    @staticmethod
    def restore(state: dict[str, Any]) -> ResidueTask:
        """Rebuild the task from its saved ``state``."""
        return ResidueTask(**state)


@dataclass
class ResidueTask(Task):
    """A residue task fitted to its training rows. See ``Task`` for the methods.

    Outputs have the shape (n, length, classes). Targets, of int8, have the shape (n, longest row): ``NO_LABEL`` where
    there is none, and beyond a row's end. Either may be the longer one; no label lies beyond the shorter.
    """

    classes: list[str]
    missing: str
    mapping: dict[str, str] | None
    class_weights: list[float] | None = None
    constant: list[float] | None = None
    """Log-probabilities of the best constant prediction, w_c f_c normalised."""

    kind: ClassVar[str] = "residue"
    level: ClassVar[Level] = "token"
    pictures: ClassVar[tuple[str, ...]] = ("confusion", "calibration")
    stated: ClassVar[tuple[str, str]] = ("confidence: probability of the predicted class", "accuracy")
    primary: ClassVar[str] = "accuracy"

    @property
    def outputs(self) -> int:
        return len(self.classes)

    @property
    def baseline(self) -> np.ndarray:
        return np.array(self.constant, dtype="float32")

    def labels(self, table: pd.DataFrame) -> pd.Series:
        """Return the texts, each character mapped; missing where no residue has a label."""
        labels = each(label_column(table, self.columns[0], self.name), lambda text: str(text).strip("\r\n\t"))
        if self.mapping is not None:
            known = {**{character: character for character in self.missing}, **self.mapping}
            if unknown := sorted(set("".join(labels.dropna())) - set(known)):
                what = f"has no entry for '{unknown[0]}'"
                raise UserError(f"tasks.{self.name}.mapping", what, f"it maps {', '.join(self.mapping)}")
            labels = each(labels, lambda text: text.translate(str.maketrans(known)))
        return labels.where(labels.map(lambda text: bool(set(text or "") - set(self.missing))), None)

    def known_labels(self, table: pd.DataFrame) -> tuple[pd.Series, dict[str, int]]:
        """Return the texts, with a residue's label missing where the task was not fitted for it."""
        column = label_column(table, self.columns[0], self.name)
        counts = Counter("".join(each(column, lambda text: str(text).strip("\r\n\t")).dropna()))
        known = set(self.missing) | set(self.classes if self.mapping is None else self.mapping)
        unknown = {character: n for character, n in counts.items() if character not in known}
        if not unknown or not self.missing:
            return self.labels(table), {}
        left_out = str.maketrans(dict.fromkeys(unknown, self.missing[0]))
        kept = each(column, lambda text: str(text).strip("\r\n\t").translate(left_out))
        return self.labels(table.assign(**{self.columns[0]: kept})), unknown

    def encode(self, labels: pd.Series) -> Target:
        """Return each residue's class, and how many residues of each row have one.

        Raises
        ------
        UserError
            For a character that is no class, naming row and position.
        """
        lengths = np.array([0 if missing else len(text) for text, missing in zip(labels, labels.isna(), strict=True)])
        texts = "".join(labels.dropna())
        codes = {character: code for code, character in enumerate(dict.fromkeys(texts))}
        numbers = np.array([self._class_of(character) for character in codes], dtype="int16")
        found = numbers[[codes[character] for character in texts]] if texts else numbers
        values = np.full((len(labels), max(int(lengths.max(initial=0)), 1)), NO_LABEL, dtype="int8")
        inside = np.arange(values.shape[1]) < lengths[:, None]
        if (found < NO_LABEL).any():
            row, position = (int(index[0]) for index in np.nonzero(_fill(inside, found) < NO_LABEL))
            what = f"'{labels.iloc[row][position]}' at position {position + 1} of row {int(labels.index[row]) + 1}"
            raise UserError(f"tasks.{self.name}", f"{what} is none of the classes {''.join(self.classes)}")
        values[inside] = found
        counts = (values >= 0).sum(1)
        return Target(values, counts > 0, counts.astype("float32"))

    def _class_of(self, character: str) -> int:
        if character in self.missing:
            return NO_LABEL
        return self.classes.index(character) if character in self.classes else NO_LABEL - 1

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean over each row's labelled residues of w_y (−log p_y), shape (n,); 0 for a row without."""
        from torch.nn import functional as F

        length = min(output.shape[1], target.shape[1])
        target = target[:, :length].long()
        weights = None if self.class_weights is None else device_tensor(tuple(self.class_weights), output.device)
        losses = F.cross_entropy(
            output[:, :length].flatten(0, 1), target.flatten(), weights, ignore_index=NO_LABEL, reduction="none"
        )
        return losses.view(target.shape).sum(1) / (target >= 0).sum(1).clamp(min=1)

    def decode(self, output: np.ndarray) -> dict[str, np.ndarray]:
        """Return the most probable classes as texts, and the mean of their probabilities.

        A row ends where ``output`` is NaN.
        """
        lengths = (~np.isnan(output[:, :, 0])).sum(1)
        probability = softmax(np.nan_to_num(output))
        letters, best = np.array(self.classes)[probability.argmax(2)], probability.max(2)
        texts = np.empty(len(output), dtype=object)
        texts[:] = ["".join(row[:length]) for row, length in zip(letters, lengths, strict=True)]
        sums = np.where(np.arange(best.shape[1]) < lengths[:, None], best, 0).sum(1)
        return {f"predicted_{self.name}": texts, f"predicted_{self.name}_prob": sums / np.maximum(lengths, 1)}

    def average(self, outputs: torch.Tensor) -> torch.Tensor:
        return log_of_mean(outputs)

    def spread(self, outputs: np.ndarray) -> dict[str, np.ndarray]:
        """Return, by row, the mean over its residues of the deviation of the predicted class's probability."""
        inside = ~np.isnan(outputs[0, :, :, 0])
        probabilities = softmax(np.nan_to_num(outputs))
        predicted = probabilities.mean(0).argmax(2)
        stated = np.take_along_axis(probabilities, predicted[None, :, :, None], 3)[..., 0]
        sums = np.where(inside, stated.std(0, ddof=1), 0).sum(1)
        return {f"{self.name}_spread": sums / np.maximum(inside.sum(1), 1)}

    def metrics(self, output: np.ndarray, values: np.ndarray) -> dict[str, float]:
        """Return the metrics over all labelled residues."""
        from sklearn import metrics

        probability, truth = self._labelled(output, values)
        predicted = probability.argmax(1)
        return {
            "residues": len(truth),
            **class_metrics(truth, predicted),
            "log_loss": float(metrics.log_loss(truth, probability, labels=np.arange(self.outputs))),
            "ece": expected_calibration_error(probability.max(1), predicted == truth),
        }

    def by_class(
        self, output: np.ndarray, values: np.ndarray, decided: Decided | None = None
    ) -> dict[str, dict[str, float]]:
        """Return the same of residues in place of rows."""
        probability, truth = self._labelled(output, values)
        return per_class(self.classes, truth.astype(int), probability.argmax(1))

    def monitor(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        length = min(output.shape[1], target.shape[1])
        target = target[:, :length]
        hits = (output[:, :length].argmax(-1) == target) & (target >= 0)
        return hits.sum() / (target >= 0).sum()

    def confidence(self, output: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        probability, truth = self._labelled(output, values)
        return probability.max(1), probability.argmax(1) == truth

    def _labelled(self, output: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the probabilities and the classes of the residues that have a label, shapes (m, classes) and (m,)."""
        length = min(output.shape[1], values.shape[1])
        there = values[:, :length] >= 0
        return softmax(output[:, :length][there]), values[:, :length][there]


def _fill(inside: np.ndarray, found: np.ndarray) -> np.ndarray:
    wide = np.zeros(inside.shape, dtype="int16")
    wide[inside] = found
    return wide
