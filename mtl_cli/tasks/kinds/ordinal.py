"""Ordinal classification: one of several classes in order per row, such as low, middle, high, or a grade."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.registry import component
from mtl_cli.runs.strangers import made_of
from mtl_cli.tasks.answer_columns import CLASS_PROBABILITY, SPREAD
from mtl_cli.tasks.calibration import expected_calibration_error
from mtl_cli.tasks.class_task import ClassTask
from mtl_cli.tasks.classes import class_metrics
from mtl_cli.tasks.cumulative import class_probabilities, log_likelihood, raw_of, thresholds
from mtl_cli.tasks.labels import (
    class_list,
    text_of,
)
from mtl_cli.tasks.task import Decided, Label, Task, TaskConfig, device_tensor

if TYPE_CHECKING:
    import pandas as pd
    import torch


@component("task", "ordinal")
@dataclass(frozen=True, kw_only=True)
class Ordinal(TaskConfig):
    """A task whose classes have an order.

    Parameters
    ----------
    order : list, optional
        The classes from the lowest to the highest. Numbers have an order without it; other classes need it.
    mapping : dict, optional
        A class for each label in the column, such as ``{+: 1, ++: 2}``; null for what is no label.
    """

    order: list[Label] | None = None
    mapping: dict[str, Label | None] | None = None

    post_hoc_keys: ClassVar[tuple[str, ...]] = ("interval",)

    @property
    def named_labels(self) -> set[str]:
        return {*(self.mapping or {}), *(str(label) for label in self.order or [])}

    def check(self, name: str) -> Iterator[Problem]:
        names = [text_of(label) for label in self.order or []]
        if self.order is not None and len(set(names)) < max(2, len(names)):
            why = "names a class twice" if len(names) > 1 else "needs at least two classes"
            yield Problem(f"tasks.{name}.order", why, "order=[low,middle,high], from the lowest to the highest")

    def labels(self, name: str, table: pd.DataFrame) -> pd.Series:
        return self._unfitted(name).labels(table)

    def _unfitted(self, name: str) -> OrdinalTask:
        return OrdinalTask(name, self.columns(name), self.weight, self.auxiliary, [], self.mapping)

    def fit(self, name: str, table: pd.DataFrame, train: np.ndarray) -> OrdinalTask:
        """Fit to the rows ``train`` of ``table``. Classes are those of ``order``, or the numbers of the whole table.

        Raises
        ------
        UserError
            If classes that are no numbers have no order, or the order lacks one of them.
        """
        where = f"tasks.{name}"
        task = self._unfitted(name)
        labels = task.labels(table)
        counts = task.fit_classes(labels, self._in_order(class_list(labels, where), where), train)
        task.offsets = raw_of(np.maximum(counts, 1) / np.maximum(counts, 1).sum()).tolist()
        return task

    def _in_order(self, found: list[Label], where: str) -> list[Label]:
        """Return the classes from the lowest to the highest."""
        if self.order is None:
            if all(isinstance(label, int | float) and not isinstance(label, bool) for label in found):
                return found
            shown = ",".join(str(label) for label in found[:6]) + (",…" if len(found) > 6 else "")
            what = "the classes are not numbers, and their order is not given"
            raise UserError(where, what, f"{where}.order=[{shown}] from the lowest to the highest; or kind: multiclass")
        known = {text_of(label): label for label in self.order}
        for label in found:
            if text_of(label) not in known:
                raise UserError(f"{where}.order", f"lacks the class '{label}'", "it must name every class, in order")
        own = {text_of(label): label for label in found}
        return [own.get(text, label) for text, label in known.items()]

    @staticmethod
    def restore(state: dict[str, Any]) -> OrdinalTask:
        """Rebuild the task from its saved ``state``."""
        return made_of(OrdinalTask, state)


@dataclass
class OrdinalTask(ClassTask):
    """An ordinal task fitted to its training rows. See ``Task`` for the methods, and ``cumulative`` for the outputs."""

    offsets: list[float] = field(default_factory=list)
    """Added to the outputs, so that 0 says the training rows' shares, which are the best constant prediction."""

    kind: ClassVar[str] = "ordinal"
    ordered: ClassVar[bool] = True
    can_abstain: ClassVar[bool] = True
    pictures: ClassVar[tuple[str, ...]] = ("confusion", "calibration")
    stated: ClassVar[tuple[str, str]] = ("confidence: probability of the predicted class", "accuracy")
    explained_as: ClassVar[str | None] = "mean class number"
    primary: ClassVar[str] = "quadratic_kappa"
    learns: ClassVar[Literal["number", "class", "labels"] | None] = "class"

    @property
    def outputs(self) -> int:
        return len(self.classes) - 1

    @property
    def number_of_classes(self) -> int:
        return len(self.classes)

    @property
    def baseline(self) -> np.ndarray:
        return np.zeros(self.outputs, dtype="float32")

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """−log P(y) per row."""
        return -log_likelihood(output + device_tensor(tuple(self.offsets), output.device), target)

    def average(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs that give the members' mean probabilities."""
        import torch

        mean = self.probability(outputs.numpy()).mean(1)
        return torch.from_numpy((raw_of(mean) - np.array(self.offsets)).astype("float32")).to(outputs.dtype)

    def in_own_units(self, output: np.ndarray, fitted: Task) -> np.ndarray:
        assert isinstance(fitted, OrdinalTask)
        if fitted.offsets == self.offsets:
            return output
        return np.asarray((output + np.array(fitted.offsets) - np.array(self.offsets)).astype(output.dtype))

    def probability(self, output: np.ndarray) -> np.ndarray:
        """Return the probability of every class, shape (…, classes)."""
        return class_probabilities(output.astype("float64") + np.array(self.offsets))

    def choose(self, output: np.ndarray) -> Decided:
        """Return the median class of each row, the lowest that at least half of the probability does not exceed.

        It has the least expected distance from the true class in steps.
        """
        probability = self.probability(output)
        chosen = (probability.cumsum(1) < 0.5).sum(1).clip(max=self.outputs)
        return Decided(chosen, probability[np.arange(len(chosen)), chosen])

    def answer(self, output: np.ndarray, decided: Decided | None = None) -> Decided:
        return decided or self.choose(output)

    def spread(self, outputs: np.ndarray) -> dict[str, np.ndarray]:
        """Return the deviation of the mean class number that members give, in steps."""
        steps = self.probability(outputs) @ np.arange(len(self.classes))
        return {SPREAD.named(self.name): steps.std(0, ddof=1)}

    def probabilities(self, output: np.ndarray) -> dict[str, np.ndarray]:
        found = self.probability(output)
        return {CLASS_PROBABILITY.named(self.name, label): found[:, i] for i, label in enumerate(self.classes)}

    def metrics(self, output: np.ndarray, values: np.ndarray) -> dict[str, float]:
        """Return the metrics of the median class; ``mae`` is in steps from class to class."""
        decided, probability = self.choose(output), self.probability(output)
        truth = values.astype(int)
        own = probability[np.arange(len(truth)), truth]
        return {
            "quadratic_kappa": float(quadratic_kappa(truth, decided.classes, np.ones((1, len(truth))))[0]),
            "mae": float(np.abs(decided.classes - truth).mean()),
            **class_metrics(truth, decided.classes),
            "log_loss": float(-np.log(np.maximum(own, 1e-300)).mean()),
            "ece": expected_calibration_error(decided.confidence, decided.classes == truth),
        }

    def resampled(self, output: np.ndarray, values: np.ndarray, counts: np.ndarray) -> np.ndarray:
        return quadratic_kappa(values.astype(int), self.choose(output).classes, counts)

    def output_of(self, predicted: np.ndarray) -> np.ndarray:
        return np.asarray((raw_of(predicted) - np.array(self.offsets)).astype("float32"))

    def nonconformity(self, output: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return 1 − p of the label (Sadinle, Lei & Wasserman 2019, doi 10.1080/01621459.2017.1395341)."""
        return np.asarray(1 - self.probability(output)[np.arange(len(output)), values])

    def in_set(self, output: np.ndarray) -> np.ndarray:
        assert self.post_hoc.conformal is not None
        return np.asarray(1 - self.probability(output) <= self.post_hoc.conformal.radius)

    def explained(self, output: torch.Tensor) -> torch.Tensor:
        """Return the mean class number from 0: the sum of P(y > k)."""
        cuts = thresholds(output + device_tensor(tuple(self.offsets), output.device))
        return (-cuts).sigmoid().sum(-1)

    def monitor(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        cuts = thresholds(output + device_tensor(tuple(self.offsets), output.device))
        guess, truth = (cuts < 0).sum(-1).float(), target.float()
        observed = (guess - truth).square().mean()
        expected = (guess.square().mean() + truth.square().mean()) - 2 * guess.mean() * truth.mean()
        return 1 - observed / expected

    def confidence(self, output: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        decided = self.choose(output)
        return decided.confidence, decided.classes == values


def quadratic_kappa(truth: np.ndarray, predicted: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return Cohen's κ with weights (i − j)² in each resample, NaN where nothing varies (Cohen 1968).

    doi 10.1037/h0026256. It is 1 − E(t − p)² / E(t − p′)², with p′ a prediction of another row at random.
    """
    rows = counts.sum(1)
    moments = [counts @ each.astype("float64") / rows for each in (truth, predicted, truth**2, predicted**2)]
    observed = counts @ ((truth - predicted) ** 2).astype("float64") / rows
    expected = moments[2] + moments[3] - 2 * moments[0] * moments[1]
    return np.asarray(
        np.round(1 - np.divide(observed, expected, out=np.full(len(counts), np.nan), where=expected > 0), 12)
    )
