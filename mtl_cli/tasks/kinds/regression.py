"""Regression: one number per row."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from mtl_cli.config.convert import PositiveFloat
from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.registry import component
from mtl_cli.runs.strangers import made_of
from mtl_cli.tasks.answer_columns import HIGH, LOW, PREDICTION, QUANTILE, AnswerColumn
from mtl_cli.tasks.labels import apply_mapping, first, label_column, numbers, refuse_values, typed_classes
from mtl_cli.tasks.quantiles import check_quantiles, column_suffix, median_weights, pinball
from mtl_cli.tasks.resampling import mean_of
from mtl_cli.tasks.task import Share, Target, Task, TaskConfig, device_tensor

if TYPE_CHECKING:
    import pandas as pd
    import torch


MAX_LOG = 80.0
"""Predictions of log(1 + y) are cut here, where y is 5e34: a wild one stays a number."""

QUANTILES = (0.05, 0.5, 0.95)

LARGEST, LARGEST_PLAIN = 1e100, 1e18
"""Larger labels have squares that are infinite, in 64 bits or, where they are not standardised, in 32."""


@component("task", "regression")
@dataclass(frozen=True, kw_only=True)
class Regression(TaskConfig):
    """A task whose labels are numbers.

    Parameters
    ----------
    loss : {"mse", "mae", "huber", "quantile"}
        Of the encoded labels; ``quantile`` learns several quantiles of a row's label in place of one number.
    quantiles : list of float, optional
        Which ones, in rising order; by default 0.05, 0.5 and 0.95. The prediction is the median, or lies between the
        quantiles next to it.
    delta : float
        Where the Huber loss turns from squared to absolute, in units of the encoded labels.
    transform : {"none", "log1p"}
        ``log1p`` trains on log(1 + y), for counts and prices; predictions and metrics are back in y.
    standardize : bool
        Train on labels with mean 0 and deviation 1 over the training rows.
    mapping : dict, optional
        A number for each label, such as ``{low: 0, high: 1}``; null for what is no label.
    """

    loss: Literal["mse", "mae", "huber", "quantile"] = "mse"
    quantiles: list[Share] | None = None
    delta: PositiveFloat = 1.0
    transform: Literal["none", "log1p"] = "none"
    standardize: bool = True
    mapping: dict[str, float | None] | None = None

    post_hoc_keys: ClassVar[tuple[str, ...]] = ("interval",)

    @property
    def loss_name(self) -> str:
        return self.loss

    @property
    def labels_as_text(self) -> bool:
        return self.mapping is not None

    @property
    def named_labels(self) -> set[str]:
        return set(self.mapping or {})

    @property
    def learned_quantiles(self) -> list[float]:
        """The quantiles that are learned; none if one number is."""
        return list(self.quantiles or QUANTILES) if self.loss == "quantile" else []

    def further_columns(self, name: str) -> list[str]:
        quantiles = self.learned_quantiles
        return super().further_columns(name) + [QUANTILE.named(name, column_suffix(q)) for q in quantiles]

    def check(self, name: str) -> Iterator[Problem]:
        where = f"tasks.{name}.quantiles"
        if self.quantiles is not None and self.loss != "quantile":
            yield Problem(where, f"has no effect with loss: {self.loss}", "loss: quantile")
        elif self.quantiles is not None:
            yield from check_quantiles(self.quantiles, where)

    def labels(self, name: str, table: pd.DataFrame) -> pd.Series:
        return self._unfitted(name).labels(table)

    def _unfitted(self, name: str) -> RegressionTask:
        task = RegressionTask(
            name, self.columns(name), self.weight, self.auxiliary, self.loss, self.delta, self.transform, self.mapping
        )
        task.quantiles = self.learned_quantiles
        return task

    def fit(self, name: str, table: pd.DataFrame, train: np.ndarray) -> RegressionTask:
        """Fit to the rows ``train`` of ``table``.

        Raises
        ------
        UserError
            If labels are missing, constant, no numbers, or negative under ``log1p``.
        """
        where = f"tasks.{name}"
        task = self._unfitted(name)
        labels = task.labels(table)
        if labels.isna().all():
            raise UserError(where, f"all labels in column '{task.columns[0]}' are missing")
        task.refuse_extremes(labels, LARGEST if self.standardize else LARGEST_PLAIN)
        values, mask = task.transformed(labels)
        values = values[train][mask[train]]
        if not len(values):
            raise UserError(where, "all labels of the training rows are missing")
        if values.min() == values.max():
            raise UserError(where, f"the label is constant over the training rows ({labels.iloc[train].max():g})")
        if self.standardize:
            task.center, task.scale = float(values.mean()), float(values.std())
            values = (values - task.center) / task.scale
        if task.quantiles:
            task.constant = np.quantile(values, task.quantiles).tolist()
        else:
            task.constant = _best_constant(values, self.loss, self.delta)
        return task

    @staticmethod
    def restore(state: dict[str, Any]) -> RegressionTask:
        """Rebuild the task from its saved ``state``."""
        return made_of(RegressionTask, state)


@dataclass
class RegressionTask(Task):
    """A regression task fitted to its training rows. See ``Task`` for the methods."""

    loss_name: str
    delta: float
    transform: str
    mapping: dict[str, float | None] | None
    center: float = 0.0
    scale: float = 1.0
    constant: float | list[float] = 0.0
    quantiles: list[float] = field(default_factory=list)
    """Those that are learnt; none if one number is."""

    kind: ClassVar[str] = "regression"
    pictures: ClassVar[tuple[str, ...]] = ("scatter",)
    primary: ClassVar[str] = "rmse"
    learns: ClassVar[Literal["number", "class", "labels"] | None] = "number"

    @property
    def linear(self) -> bool:
        return not self.quantiles  # a linear model says one number of a row

    @property
    def outputs(self) -> int:
        return len(self.quantiles) or 1

    @property
    def squared_error(self) -> bool:
        return self.loss_name == "mse"

    @property
    def log_axes(self) -> bool:
        return self.transform == "log1p"

    @property
    def baseline(self) -> np.ndarray:
        return np.array(self.constant if self.quantiles else [self.constant], dtype="float32")

    def labels(self, table: pd.DataFrame) -> pd.Series:
        where = f"tasks.{self.name}"
        column = label_column(table, self.columns[0], self.name)
        if self.mapping is not None:
            column = apply_mapping(typed_classes(column), self.mapping, where)
        bounds = any(
            isinstance(value, str) and value.strip().startswith(("<", ">", "≤", "≥")) for value in column.unique()
        )
        others = (
            "kind: censored learns from bounds such as <5"
            if bounds
            else "for text labels use kind: multiclass, or give a mapping to numbers"
        )
        return numbers(column, where, others)

    def refuse_extremes(self, labels: pd.Series, most: float) -> None:
        """Raise UserError for a label whose square is no number that can be computed with."""
        hint = "if it stands for a missing label, dataset.no_label=[…] names it"
        wrong = (labels.abs() > most).to_numpy()
        refuse_values(wrong, labels, f"tasks.{self.name}", "is too large to learn", hint)

    def encode(self, labels: pd.Series) -> Target:
        self.refuse_extremes(labels, LARGEST)
        values, mask = self.transformed(labels)
        return Target(np.where(mask, (values - self.center) / self.scale, 0.0).astype("float32"), mask)

    def transformed(self, labels: pd.Series) -> tuple[np.ndarray, np.ndarray]:
        """Return the labels after ``transform``, float64, and whether there is one."""
        values = labels.to_numpy(dtype="float64", na_value=np.nan)
        mask = ~np.isnan(values)
        if self.transform == "log1p":
            if (values[mask] <= -1).any():
                value, row = first(labels, mask & (values <= -1))
                raise UserError(f"tasks.{self.name}.transform", f"log1p of {value:g} in row {row}")
            values = np.log1p(values, where=mask, out=np.zeros_like(values))
        return values, mask

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Squared, absolute or Huber loss of the encoded label, or the mean pinball loss of the quantiles, per row."""
        from torch.nn import functional as F

        if self.quantiles:
            return pinball(output, target, device_tensor(tuple(self.quantiles), output.device))
        prediction = output.squeeze(-1)
        if self.loss_name == "mse":
            return F.mse_loss(prediction, target, reduction="none")
        if self.loss_name == "mae":
            return F.l1_loss(prediction, target, reduction="none")
        return F.huber_loss(prediction, target, reduction="none", delta=self.delta)

    def same_loss(self, other: Task) -> bool:
        if not isinstance(other, RegressionTask):
            return False
        return (self.loss_name, self.delta, self.quantiles) == (other.loss_name, other.delta, other.quantiles)

    def average(self, outputs: torch.Tensor) -> torch.Tensor:
        if self.transform == "none":
            return outputs.mean(1)
        values = outputs.double() * self.scale + self.center
        mean = values.clamp(max=MAX_LOG).expm1().mean(1).log1p()
        return ((mean - self.center) / self.scale).to(outputs.dtype)

    def in_own_units(self, output: np.ndarray, fitted: Task) -> np.ndarray:
        assert isinstance(fitted, RegressionTask)
        if (fitted.center, fitted.scale) == (self.center, self.scale):
            return output
        values = output.astype("float64") * fitted.scale + fitted.center
        return ((values - self.center) / self.scale).astype(output.dtype)

    def answer_columns(self) -> list[AnswerColumn]:
        return super().answer_columns() + [QUANTILE.column(self.name, column_suffix(q)) for q in self.quantiles]

    def decode(self, output: np.ndarray) -> dict[str, np.ndarray]:
        """Return the number, and each quantile of it in a column such as ``predicted_price_q05``."""
        found = {PREDICTION.named(self.name): self._to_user(self._point(output))}
        each = zip(self.quantiles, np.sort(output, axis=1).T, strict=False)  # none but of a quantile loss
        return found | {QUANTILE.named(self.name, column_suffix(q)): self._to_user(values) for q, values in each}

    def _point(self, output: np.ndarray) -> np.ndarray:
        """Return the one number that is predicted, encoded, (n,)."""
        if not self.quantiles:
            return output[:, 0]
        return np.asarray(np.sort(output, axis=1).astype("float64") @ np.array(median_weights(self.quantiles)))

    def nonconformity(self, output: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return |y − ŷ| of the encoded labels: under ``log1p`` an interval is wider where predictions are larger.

        Of quantiles, how far a label is outside of the first and the last, negative inside (Romano, Patterson & Candès
        2019, arXiv 1905.03222): intervals are then as wide as the row's own uncertainty.
        """
        label = values.astype("float64")
        return np.asarray(np.maximum(output.min(1) - label, label - output.max(1)))

    def interval_columns(self, output: np.ndarray) -> dict[str, np.ndarray]:
        if self.post_hoc.conformal is None:
            return {}
        least, most = output.min(1).astype("float64"), output.max(1).astype("float64")
        radius = np.maximum(self.post_hoc.conformal.radius, (least - most) / 2)  # not to turn an interval inside out
        ends = {LOW: least - radius, HIGH: most + radius}
        return {kind.named(self.name): self._to_user(values) for kind, values in ends.items()}

    def interval_size(self, output: np.ndarray) -> dict[str, float]:
        low, high = self.interval_columns(output).values()
        return {"width": float((high - low).mean())}

    def metrics(self, output: np.ndarray, values: np.ndarray) -> dict[str, float]:
        from sklearn import metrics

        truth, predicted = self._to_user(values), self._to_user(self._point(output))
        mse = float(metrics.mean_squared_error(truth, predicted))
        return {
            "rmse": math.sqrt(mse),
            "mse": mse,
            "mae": float(metrics.mean_absolute_error(truth, predicted)),
            "r2": float(metrics.r2_score(truth, predicted)) if len(truth) > 1 else math.nan,
            **({"pinball": self._pinball(output, truth)} if self.quantiles else {}),
        }

    def _pinball(self, output: np.ndarray, truth: np.ndarray) -> float:
        """Return the mean pinball loss over rows and quantiles, in label units."""
        from sklearn import metrics

        each = zip(self.quantiles, np.sort(output, axis=1).T, strict=True)
        losses = [metrics.mean_pinball_loss(truth, self._to_user(values), alpha=quantile) for quantile, values in each]
        return float(np.mean(losses))

    def resampled(self, output: np.ndarray, values: np.ndarray, counts: np.ndarray) -> np.ndarray:
        errors = (self._to_user(self._point(output)) - self._to_user(values)) ** 2
        return np.asarray(np.sqrt(mean_of(errors, counts)))

    def output_of(self, predicted: np.ndarray) -> np.ndarray:
        return np.repeat(predicted.reshape(-1, 1), self.outputs, axis=1).astype("float32")

    def monitor(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if self.quantiles:
            point = output.sort(-1).values @ device_tensor(median_weights(self.quantiles), output.device)
        else:
            point = output.squeeze(-1)
        return (self.to_user_tensor(point) - self.to_user_tensor(target)).square().mean().sqrt()

    def to_user_tensor(self, encoded: torch.Tensor) -> torch.Tensor:
        """Return encoded labels or outputs in label units."""
        values = encoded * self.scale + self.center
        return values.expm1() if self.transform == "log1p" else values

    def _to_user(self, encoded: np.ndarray) -> np.ndarray:
        values = encoded.astype("float64") * self.scale + self.center
        return np.expm1(values.clip(max=MAX_LOG)) if self.transform == "log1p" else values

    def confidence(self, output: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError("a regression states no probabilities")


def _best_constant(values: np.ndarray, loss: str, delta: float) -> float:
    """Return the c of least mean loss: the mean, the median, or for Huber the root of the loss's derivative."""
    if loss == "mse":
        return float(values.mean())
    if loss == "mae":
        return float(np.median(values))
    low, high = float(values.min()), float(values.max())
    for _ in range(60):  # the derivative rises with c, so bisection finds its root
        middle = (low + high) / 2
        if np.clip(values - middle, -delta, delta).sum() > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2
