"""Counts: a whole number of events per row, 0 or more, such as visits, defects or reads."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import component
from mtl_cli.runs.strangers import made_of
from mtl_cli.tasks.answer_columns import DEVIATION, HIGH, LOW, PREDICTION, AnswerColumn
from mtl_cli.tasks.counts import (
    LEAST_LOG_DISPERSION,
    MOST_LOG,
    MOST_LOG_DISPERSION,
    best_log_dispersion,
    half_deviance,
    negative_binomial,
    poisson,
)
from mtl_cli.tasks.labels import label_column, numbers, refuse_values
from mtl_cli.tasks.resampling import mean_of
from mtl_cli.tasks.task import Target, Task, TaskConfig

if TYPE_CHECKING:
    import pandas as pd
    import torch

MOST = 2**24
"""Larger counts are not whole in 32 bits."""
LEAST_SHARE = 0.01
"""What another model predicts is taken for at least this share of the mean: it may predict counts below 0."""


@component("task", "count")
@dataclass(frozen=True, kw_only=True)
class Count(TaskConfig):
    """A task whose labels are whole numbers, 0 or more.

    Parameters
    ----------
    loss : {"poisson", "negative_binomial"}
        What the count is like around its mean μ: of variance μ, or μ + α μ² with an α that each row has of its own.
    """

    loss: Literal["poisson", "negative_binomial"] = "poisson"

    post_hoc_keys: ClassVar[tuple[str, ...]] = ("interval",)

    @property
    def loss_name(self) -> str:
        return self.loss

    @property
    def labels_as_text(self) -> bool:
        return False

    def further_columns(self, name: str) -> list[str]:
        return super().further_columns(name) + [DEVIATION.named(name)]

    def labels(self, name: str, table: pd.DataFrame) -> pd.Series:
        return CountTask(name, self.columns(name), self.weight, self.auxiliary, self.loss).labels(table)

    def fit(self, name: str, table: pd.DataFrame, train: np.ndarray) -> CountTask:
        """Fit to the rows ``train`` of ``table``.

        Raises
        ------
        UserError
            If labels are missing, constant, no whole numbers, or below 0.
        """
        where = f"tasks.{name}"
        task = CountTask(name, self.columns(name), self.weight, self.auxiliary, self.loss)
        labels = task.labels(table)
        if labels.isna().all():
            raise UserError(where, f"all labels in column '{task.columns[0]}' are missing")
        target = task.encode(labels)
        values = target.values[train][target.mask[train]].astype("float64")
        if not len(values):
            raise UserError(where, "all labels of the training rows are missing")
        if values.min() == values.max():
            raise UserError(where, f"the label is constant over the training rows ({values[0]:g})")
        task.offsets = [math.log(values.mean())]
        if self.loss == "negative_binomial":
            task.offsets.append(best_log_dispersion(values))
        return task

    @staticmethod
    def restore(state: dict[str, Any]) -> CountTask:
        """Rebuild the task from its saved ``state``."""
        return made_of(CountTask, state)


@dataclass
class CountTask(Task):
    """A count task fitted to its training rows. See ``Task`` for the methods.

    The first output is log μ, the second, of a negative binomial, log α.
    """

    loss_name: str
    offsets: list[float] = field(default_factory=list)
    """Added to the outputs, so that 0 says the best constants."""

    kind: ClassVar[str] = "count"
    pictures: ClassVar[tuple[str, ...]] = ("scatter", "counts")
    explained_as: ClassVar[str | None] = "logarithm of the mean"
    primary: ClassVar[str] = "deviance"
    learns: ClassVar[Literal["number", "class", "labels"] | None] = "number"

    @property
    def outputs(self) -> int:
        return 1 if self.loss_name == "poisson" else 2

    @property
    def baseline(self) -> np.ndarray:
        return np.zeros(self.outputs, dtype="float32")

    @property
    def log_axes(self) -> bool:
        return True

    def labels(self, table: pd.DataFrame) -> pd.Series:
        where = f"tasks.{self.name}"
        labels = numbers(label_column(table, self.columns[0], self.name), where, "counts are numbers")
        for wrong, what in (
            (labels < 0, "is below 0"),
            (labels % 1 > 0, "is not whole"),
            (labels > MOST, "is too large"),
        ):
            refuse_values(wrong.to_numpy(), labels, where, f"{what}: a count is 0, 1, 2, …", "else kind: regression")
        return labels

    def encode(self, labels: pd.Series) -> Target:
        values = labels.to_numpy(dtype="float64", na_value=np.nan)
        mask = ~np.isnan(values)
        return Target(np.where(mask, values, 0.0).astype("float32"), mask)

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """−log p(y) per row."""
        log_mean = output[:, 0] + self.offsets[0]
        if self.loss_name == "poisson":
            return poisson(log_mean, target)
        return negative_binomial(log_mean, output[:, 1] + self.offsets[1], target)

    def average(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs of the members' mean μ, and of the mean log α."""
        import torch

        log_mean = (outputs[..., 0].double() + self.offsets[0]).clamp(max=MOST_LOG)
        mean = log_mean.logsumexp(1) - math.log(outputs.shape[1]) - self.offsets[0]
        return torch.cat([mean.unsqueeze(1).to(outputs.dtype), outputs[..., 1:].mean(1)], 1)

    def in_own_units(self, output: np.ndarray, fitted: Task) -> np.ndarray:
        assert isinstance(fitted, CountTask)
        if fitted.offsets == self.offsets:
            return output
        return np.asarray((output + np.array(fitted.offsets) - np.array(self.offsets)).astype(output.dtype))

    def mean(self, output: np.ndarray) -> np.ndarray:
        """Return μ, float64, (n,)."""
        return np.asarray(np.exp((output[:, 0].astype("float64") + self.offsets[0]).clip(max=MOST_LOG)))

    def variance(self, output: np.ndarray) -> np.ndarray:
        """Return the variance of a count of each row's distribution, μ or μ + α μ², (n,)."""
        mean = self.mean(output)
        if self.loss_name == "poisson":
            return mean
        log_alpha = output[:, 1].astype("float64") + self.offsets[1]
        return np.asarray(mean + np.exp(log_alpha.clip(LEAST_LOG_DISPERSION, MOST_LOG_DISPERSION)) * mean**2)

    def probabilities_of(self, output: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Return the probability of each of some counts, (n, counts)."""
        import torch

        rows = torch.from_numpy(output).repeat_interleave(len(counts), 0)
        each = torch.from_numpy(np.tile(counts.astype("float32"), len(output)))
        return np.asarray(np.exp(-self.loss(rows, each).numpy().astype("float64")).reshape(len(output), len(counts)))

    def answer_columns(self) -> list[AnswerColumn]:
        return super().answer_columns() + [DEVIATION.column(self.name)]

    def decode(self, output: np.ndarray) -> dict[str, np.ndarray]:
        """Return the mean, and the deviation of a single count around it."""
        return {
            PREDICTION.named(self.name): self.mean(output),
            DEVIATION.named(self.name): np.sqrt(self.variance(output)),
        }

    def nonconformity(self, output: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return |√y − √μ|: a Poisson count's root has the same variance whatever its mean (Anscombe 1948)."""
        return np.asarray(np.abs(np.sqrt(values.astype("float64")) - np.sqrt(self.mean(output))))

    def interval_columns(self, output: np.ndarray) -> dict[str, np.ndarray]:
        if self.post_hoc.conformal is None:
            return {}
        root, radius = np.sqrt(self.mean(output)), self.post_hoc.conformal.radius
        low, high = np.ceil((root - radius).clip(min=0) ** 2 - 1e-9), np.floor((root + radius) ** 2 + 1e-9)
        return {LOW.named(self.name): low, HIGH.named(self.name): high}

    def interval_size(self, output: np.ndarray) -> dict[str, float]:
        low, high = self.interval_columns(output).values()
        return {"width": float((high - low).mean())}

    def metrics(self, output: np.ndarray, values: np.ndarray) -> dict[str, float]:
        """Return the mean unit deviance of a Poisson count, the share of it that is explained, and errors of the mean.

        ``dispersion`` is Pearson's: the mean of (y − μ)² over the variance, 1 where the distribution fits.
        """
        truth, mean = values.astype("float64"), self.mean(output)
        deviance = self._deviance(np.log(mean), truth)
        constant = self._deviance(np.full(len(truth), self.offsets[0]), truth).mean()
        return {
            "deviance": float(deviance.mean()),
            "d2": float(1 - deviance.mean() / constant) if constant > 0 else math.nan,
            "rmse": float(np.sqrt(((truth - mean) ** 2).mean())),
            "mae": float(np.abs(truth - mean).mean()),
            "dispersion": float(((truth - mean) ** 2 / self.variance(output)).mean()),
        }

    @staticmethod
    def _deviance(log_mean: np.ndarray, truth: np.ndarray) -> np.ndarray:
        import torch

        return 2 * np.asarray(half_deviance(torch.from_numpy(log_mean), torch.from_numpy(truth)).numpy())

    def resampled(self, output: np.ndarray, values: np.ndarray, counts: np.ndarray) -> np.ndarray:
        return mean_of(self._deviance(np.log(self.mean(output)), values.astype("float64")), counts)

    def output_of(self, predicted: np.ndarray) -> np.ndarray:
        mean = math.exp(self.offsets[0])
        own = np.log(np.maximum(predicted.astype("float64"), LEAST_SHARE * mean)) - self.offsets[0]
        return np.column_stack([own, np.zeros((len(own), self.outputs - 1))]).astype("float32")

    def explained(self, output: torch.Tensor) -> torch.Tensor:
        return output[:, 0] + self.offsets[0]

    def monitor(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return 2 * half_deviance(output[:, 0] + self.offsets[0], target).mean()
