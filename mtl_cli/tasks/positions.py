"""A class for each token of a row: what such tasks have in common, whether tokens are residues or words.

The label of a row is a text that holds a label for each of its tokens. How it is cut into them, a kind says.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mtl_cli.config.errors import UserError
from mtl_cli.tasks.answer_columns import PREDICTION, PROBABILITY, SPREAD
from mtl_cli.tasks.calibration import expected_calibration_error
from mtl_cli.tasks.classes import best_constant, class_metrics, class_weights, per_class, unseen_classes
from mtl_cli.tasks.labels import check_training_labels, each, label_column
from mtl_cli.tasks.links import log_of_mean, softmax
from mtl_cli.tasks.resampling import ratio_of
from mtl_cli.tasks.task import Decided, Level, Target, Task, device_tensor

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    import pandas as pd
    import torch

NO_LABEL = -1
"""The class number of a token without a label, and of places beyond a row's end."""


@dataclass
class PositionTask(Task):
    """A task with a class per token, fitted to its training rows. See ``Task`` for the methods.

    Outputs have the shape (n, length, classes). Targets, of int8 or int16, have the shape (n, longest row):
    ``NO_LABEL`` where there is none, and beyond a row's end. Either may be the longer one; no label lies beyond the
    shorter.

    Parameters
    ----------
    classes : list of str
    missing : str or list of str
        What stands for no label.
    mapping : dict, optional
        A label for each label in the column.
    class_weights : list of float, optional
    constant : list of float, optional
        Log-probabilities of the best constant prediction, w_c f_c normalised.
    """

    classes: list[str]
    missing: Collection[str]
    mapping: dict[str, str] | None
    class_weights: list[float] | None = None
    constant: list[float] | None = None

    level: ClassVar[Level] = "token"
    pictures: ClassVar[tuple[str, ...]] = ("confusion", "calibration")
    stated: ClassVar[tuple[str, str]] = ("confidence: probability of the predicted class", "accuracy")
    primary: ClassVar[str] = "accuracy"

    @abstractmethod
    def split(self, text: str) -> Sequence[str]:
        """Return the labels of a row's tokens."""

    @abstractmethod
    def join(self, labels: Iterable[str]) -> str:
        """Return labels as the text of a row."""

    @property
    def outputs(self) -> int:
        return len(self.classes)

    @property
    def baseline(self) -> np.ndarray:
        return np.array(self.constant, dtype="float32")

    def fit_classes(
        self, weights: Literal["balanced"] | Mapping[str, float] | None, table: pd.DataFrame, train: np.ndarray
    ) -> None:
        """Take the classes of the whole table, and what is counted of those of the rows ``train``.

        Raises
        ------
        UserError
            If there is one class only, in the table or in the training rows.
        """
        where = f"tasks.{self.name}"
        labels = self.labels(table)
        every = self.found(labels)
        if len(every) < 2:
            what = f"has one class only, '{every.pop()}'" if every else "has no label"
            raise UserError(where, what, "a task needs at least two classes")
        self.classes = sorted(every)
        target = self.encode(labels.iloc[train])
        check_training_labels(target.mask, where)
        counts = np.bincount(target.values[target.values >= 0], minlength=len(self.classes)).astype("float64")
        self.unseen = unseen_classes(self.classes, counts, where)
        if weights is not None:
            self.class_weights = class_weights(weights, self.classes, counts, where)
        self.constant = best_constant(counts, self.class_weights)

    def found(self, labels: pd.Series) -> set[str]:
        """Return the classes that some rows have."""
        return set(chain.from_iterable(map(self.split, labels.dropna()))) - set(self.missing)

    def strata(self, labels: pd.Series) -> pd.Series:
        """Return which classes occur in each row."""
        return labels.map(lambda text: frozenset(self.split(text)) - set(self.missing), na_action="ignore")

    def labels(self, table: pd.DataFrame) -> pd.Series:
        """Return the texts, each label mapped; missing where no token has a label."""
        labels = each(label_column(table, self.columns[0], self.name), lambda text: str(text).strip("\r\n\t"))
        if self.mapping is not None:
            known = {**{label: label for label in self.missing}, **self.mapping}
            if unknown := sorted(set(chain.from_iterable(map(self.split, labels.dropna()))) - set(known)):
                what = f"has no entry for '{unknown[0]}'"
                raise UserError(f"tasks.{self.name}.mapping", what, f"it maps {', '.join(self.mapping)}")
            labels = each(labels, lambda text: self.join(known[label] for label in self.split(text)))
        return labels.where(labels.map(lambda text: bool(set(self.split(text or "")) - set(self.missing))), None)

    def known_labels(self, table: pd.DataFrame) -> tuple[pd.Series, dict[str, int]]:
        """Return the texts, with a token's label missing where the task was not fitted for it."""
        column = each(label_column(table, self.columns[0], self.name), lambda text: str(text).strip("\r\n\t"))
        counts = Counter(chain.from_iterable(map(self.split, column.dropna())))
        known = set(self.missing) | set(self.classes if self.mapping is None else self.mapping)
        unknown = {label: n for label, n in counts.items() if label not in known}
        if not unknown or not self.missing:
            return self.labels(table), {}
        none = next(iter(self.missing))
        kept = each(column, lambda text: self.join(none if label in unknown else label for label in self.split(text)))
        return self.labels(table.assign(**{self.columns[0]: kept})), unknown

    def encode(self, labels: pd.Series) -> Target:
        """Return each token's class, and how many tokens of each row have one.

        Raises
        ------
        UserError
            For a label that is no class, naming row and position.
        """
        rows = [() if missing else self.split(text) for text, missing in zip(labels, labels.isna(), strict=True)]
        lengths = np.array([len(row) for row in rows], dtype="int64")
        codes = {label: code for code, label in enumerate(dict.fromkeys(chain.from_iterable(rows)))}
        numbers = np.array([self._class_of(label) for label in codes], dtype="int16")
        found = numbers[[codes[label] for label in chain.from_iterable(rows)]] if codes else numbers
        dtype = "int8" if len(self.classes) <= np.iinfo("int8").max else "int16"
        values = np.full((len(labels), max(int(lengths.max(initial=0)), 1)), NO_LABEL, dtype=dtype)
        inside = np.arange(values.shape[1]) < lengths[:, None]
        if (found < NO_LABEL).any():
            row, position = (int(index[0]) for index in np.nonzero(_fill(inside, found) < NO_LABEL))
            what = f"'{rows[row][position]}' at position {position + 1} of row {int(labels.index[row]) + 1}"
            raise UserError(f"tasks.{self.name}", f"{what} is not one of the classes {self.join(self.classes)}")
        values[inside] = found
        counts = (values >= 0).sum(1)
        return Target(values, counts > 0, counts.astype("float32"))

    def _class_of(self, label: str) -> int:
        if label in self.missing:
            return NO_LABEL
        return self.classes.index(label) if label in self.classes else NO_LABEL - 1

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean over each row's labelled tokens of w_y (−log p_y), shape (n,); 0 for a row without."""
        from torch.nn import functional as F

        length = min(output.shape[1], target.shape[1])
        target = target[:, :length].long()
        weights = None if self.class_weights is None else device_tensor(tuple(self.class_weights), output.device)
        losses = F.cross_entropy(
            output[:, :length].flatten(0, 1), target.flatten(), weights, ignore_index=NO_LABEL, reduction="none"
        )
        return losses.view(target.shape).sum(1) / (target >= 0).sum(1).clamp(min=1)

    def chosen(self, output: torch.Tensor) -> torch.Tensor:
        """Return the number of the class that each token is given, (n, length): the most probable one."""
        return output.argmax(-1)

    def decode(self, output: np.ndarray) -> dict[str, np.ndarray]:
        """Return the chosen classes as texts, and the mean of their probabilities.

        A row ends where ``output`` is NaN.
        """
        lengths = (~np.isnan(output[:, :, 0])).sum(1)
        chosen, stated = self._chosen(output)
        names = np.array(self.classes, dtype=object)[chosen]
        texts = np.empty(len(output), dtype=object)
        texts[:] = [self.join(row[:length]) for row, length in zip(names, lengths, strict=True)]
        sums = np.where(np.arange(stated.shape[1]) < lengths[:, None], stated, 0).sum(1)
        return {PREDICTION.named(self.name): texts, PROBABILITY.named(self.name): sums / np.maximum(lengths, 1)}

    def _chosen(self, output: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the chosen classes and their probabilities, both (n, length), of outputs that may be NaN."""
        import torch

        output = np.nan_to_num(output)
        chosen = self.chosen(torch.from_numpy(output)).numpy()
        return chosen, np.take_along_axis(softmax(output), chosen[..., None], -1)[..., 0]

    def average(self, outputs: torch.Tensor) -> torch.Tensor:
        return log_of_mean(outputs)

    def spread(self, outputs: np.ndarray) -> dict[str, np.ndarray]:
        """Return, by row, the mean over its tokens of the deviation of the predicted class's probability."""
        inside = ~np.isnan(outputs[0, :, :, 0])
        probabilities = softmax(np.nan_to_num(outputs))
        predicted = probabilities.mean(0).argmax(2)
        stated = np.take_along_axis(probabilities, predicted[None, :, :, None], 3)[..., 0]
        sums = np.where(inside, stated.std(0, ddof=1), 0).sum(1)
        return {SPREAD.named(self.name): sums / np.maximum(inside.sum(1), 1)}

    def metrics(self, output: np.ndarray, values: np.ndarray) -> dict[str, float]:
        """Return the metrics over all labelled tokens."""
        from sklearn import metrics

        there, truth = _labelled(output, values)
        probability = softmax(output[:, : there.shape[1]][there])
        chosen, stated = (found[:, : there.shape[1]][there] for found in self._chosen(output))
        return {
            self.token_name: len(truth),
            **class_metrics(truth, chosen),
            "log_loss": float(metrics.log_loss(truth, probability, labels=np.arange(self.outputs))),
            "ece": expected_calibration_error(stated, chosen == truth),
        }

    def resampled(self, output: np.ndarray, values: np.ndarray, counts: np.ndarray) -> np.ndarray:
        there, _ = _labelled(output, values)
        hits = (self._chosen(output)[0][:, : there.shape[1]] == values[:, : there.shape[1]]) & there
        return ratio_of(hits.sum(1), there.sum(1), counts)

    def by_class(
        self, output: np.ndarray, values: np.ndarray, decided: Decided | None = None
    ) -> dict[str, dict[str, float]]:
        """Return the same of tokens in place of rows."""
        there, truth = _labelled(output, values)
        return per_class(self.classes, truth.astype(int), self._chosen(output)[0][:, : there.shape[1]][there])

    def monitor(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        length = min(output.shape[1], target.shape[1])
        target = target[:, :length]
        hits = (self.chosen(output)[:, :length] == target) & (target >= 0)
        return hits.sum() / (target >= 0).sum()

    def confidence(self, output: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        there, truth = _labelled(output, values)
        chosen, stated = (found[:, : there.shape[1]][there] for found in self._chosen(output))
        return stated, chosen == truth


def _labelled(output: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which places have a label, as far as both go, bool (n, length), and the classes there, (m,)."""
    length = min(output.shape[1], values.shape[1])
    there = values[:, :length] >= 0
    return there, values[:, :length][there]


def _fill(inside: np.ndarray, found: np.ndarray) -> np.ndarray:
    wide = np.zeros(inside.shape, dtype="int16")
    wide[inside] = found
    return wide
