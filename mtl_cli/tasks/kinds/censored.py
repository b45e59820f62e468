"""Censored regression: numbers of which some are known only from bounds, such as those below a limit of detection."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import component
from mtl_cli.runs.strangers import made_of
from mtl_cli.tasks.answer_columns import PREDICTION, QUANTILE, AnswerColumn
from mtl_cli.tasks.bounds import FAR, LEAST_SCALE, Bounds, best_constant, censored_loss, parse_bounds
from mtl_cli.tasks.labels import first, label_column, text_of
from mtl_cli.tasks.resampling import mean_of
from mtl_cli.tasks.task import LabelUse, Target, Task, TaskConfig

if TYPE_CHECKING:
    import pandas as pd
    import torch

MAX_LOG = 80.0
Z90 = 1.6448536269514722
ENDS = ("q05", "q95")
"""Between −z and z lie 90 % of a normal distribution."""


@component("task", "censored")
@dataclass(frozen=True, kw_only=True)
class Censored(TaskConfig):
    """A task whose labels are numbers or bounds of numbers: `5.3`, `<5`, `>10`, `3-7`.

    Parameters
    ----------
    transform : {"none", "log1p"}
        ``log1p`` takes log(1 + y) for normally distributed, for concentrations and prices; predictions are back in y.
    """

    transform: Literal["none", "log1p"] = "none"

    def label_uses(self, name: str) -> dict[str, LabelUse]:
        return dict.fromkeys(self.columns(name), "bounds")

    def further_columns(self, name: str) -> list[str]:
        return super().further_columns(name) + [QUANTILE.named(name, q) for q in ENDS]

    def labels(self, name: str, table: pd.DataFrame) -> pd.Series:
        return self._unfitted(name).labels(table)

    def strata(self, name: str, table: pd.DataFrame) -> pd.Series:
        task = self._unfitted(name)
        return task.strata(task.labels(table))

    def _unfitted(self, name: str) -> CensoredTask:
        return CensoredTask(name, self.columns(name), self.weight, self.auxiliary, self.transform)

    def fit(self, name: str, table: pd.DataFrame, train: np.ndarray) -> CensoredTask:
        """Fit to the rows ``train`` of ``table``.

        Raises
        ------
        UserError
            If labels are neither numbers nor bounds, or the training rows do not bound them on both sides.
        """
        where = f"tasks.{name}"
        task = self._unfitted(name)
        labels = task.labels(table)
        if labels.isna().all():
            raise UserError(where, f"all labels in column '{task.columns[0]}' are missing")
        low, high, mask = task.ends(labels)
        low, high = low[train][mask[train]], high[train][mask[train]]
        if not len(low):
            raise UserError(where, "all labels of the training rows are missing")
        for ends, side in ((low, "lower"), (high, "upper")):
            if not np.isfinite(ends).any():
                what = f"no label of the training rows has a {side} bound: nothing says how far it reaches"
                raise UserError(where, what, "whether a number is below a limit is for kind: binary")
        middle = _middle(low, high)
        if middle.min() == middle.max():
            raise UserError(
                where, f"the label is constant over the training rows ({labels.iloc[train].dropna().iloc[0]})"
            )
        task.center, task.scale = float(middle.mean()), float(middle.std())
        task.offsets = list(best_constant(*task.encoded(low, high)))
        return task

    @staticmethod
    def restore(state: dict[str, Any]) -> CensoredTask:
        """Rebuild the task from its saved ``state``."""
        return made_of(CensoredTask, state)


@dataclass
class CensoredTask(Task):
    """A censored task fitted to its training rows. See ``Task`` for the methods.

    Outputs are the mean and, before a softplus, the deviation of each row's normal distribution, in units of the
    transformed labels. Targets are both ends, (n, 2).
    """

    transform: str
    center: float = 0.0
    scale: float = 1.0
    offsets: list[float] = field(default_factory=lambda: [0.0, 1.0])
    """The mean and deviation that outputs of 0 say: the best constants."""

    kind: ClassVar[str] = "censored"
    pictures: ClassVar[tuple[str, ...]] = ("censored",)
    explained_as: ClassVar[str | None] = "mean"
    primary: ClassVar[str] = "rmse"

    @property
    def outputs(self) -> int:
        return 2

    @property
    def baseline(self) -> np.ndarray:
        return np.zeros(2, dtype="float32")

    @property
    def log_axes(self) -> bool:
        return self.transform == "log1p"

    def labels(self, table: pd.DataFrame) -> pd.Series:
        """Return what is known of each number as a text, always written in the same way: `5.3`, `<5`, `>10`, `3..7`."""
        import pandas as pd

        column = label_column(table, self.columns[0], self.name)
        codes, different = pd.factorize(column)
        found = [parse_bounds(text_of(value)) for value in different]
        if None in found:
            value, row = first(column, codes == found.index(None))
            raise UserError(
                f"tasks.{self.name}",
                f"'{value}' in row {row} is neither a number nor a bound of one, such as <5, >10 or 3-7",
            )
        texts = np.array([*map(str, found), None], dtype=object)
        return pd.Series(texts[codes], index=column.index, dtype="object", name=column.name)

    def ends(self, labels: pd.Series) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return both ends of each label, transformed, infinite where there is none, and whether there is a label."""
        mask = labels.notna().to_numpy(copy=True)
        known = [parse_bounds(text) or Bounds(math.nan, math.nan) for text in labels[mask]]
        low, high = np.zeros(len(labels)), np.zeros(len(labels))
        low[mask], high[mask] = [each.low for each in known], [each.high for each in known]
        if self.transform == "log1p":
            wrong = mask & ((high <= -1) | ((low <= -1) & np.isfinite(low)))
            if wrong.any():
                value, row = first(labels, wrong)
                raise UserError(f"tasks.{self.name}.transform", f"log1p of '{value}' in row {row}")
            finite = np.isfinite(low)
            low, high = np.log1p(low, where=finite, out=low.copy()), np.log1p(high)
        return low, high, mask

    def encoded(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return ends in units of the outputs, ``FAR`` where they are infinite."""
        each = [((end - self.center) / self.scale).clip(-FAR, FAR).astype("float32") for end in (low, high)]
        return each[0], each[1]

    def encode(self, labels: pd.Series) -> Target:
        low, high, mask = self.ends(labels)
        return Target(np.where(mask[:, None], np.stack(self.encoded(low, high), axis=1), 0.0).astype("float32"), mask)

    def strata(self, labels: pd.Series) -> pd.Series:
        """Return the middle of both bounds, or the one there is."""
        import pandas as pd

        low, high, mask = CensoredTask.ends(self, labels)
        return pd.Series(np.where(mask, _middle(low, high), np.nan), index=labels.index, name=labels.name)

    def distribution(self, output: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return each row's mean and deviation, in units of the encoded labels."""
        from torch.nn.functional import softplus

        mean, spread = self.offsets
        raw = spread - LEAST_SCALE
        start = raw + math.log(-math.expm1(-max(raw, 1e-6)))  # what softplus makes the constant's deviation of
        return output[..., 0] + mean, LEAST_SCALE + softplus(output[..., 1] + start)

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return −log of what each row's normal distribution says of its label: see ``bounds.censored_loss``."""
        return censored_loss(*self.distribution(output), target[:, 0], target[:, 1])

    def _normal(self, output: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return each row's mean and deviation, float64, of the transformed labels."""
        import torch

        mean, spread = (each.numpy() for each in self.distribution(torch.from_numpy(output.astype("float64"))))
        return mean * self.scale + self.center, spread * self.scale

    def _outputs(self, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """Return the outputs that say so, the way back of ``_normal``."""
        raw = np.maximum(np.stack([spread / self.scale, np.full(len(spread), self.offsets[1])]) - LEAST_SCALE, 1e-6)
        own, start = raw + np.log(-np.expm1(-raw))
        return np.column_stack([(mean - self.center) / self.scale - self.offsets[0], own - start]).astype("float32")

    def average(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs whose prediction is the members' mean, with the deviation of their mixture."""
        import torch

        each = [self._normal(own.numpy()) for own in outputs.unbind(1)]
        means, spreads = np.stack([mean for mean, _ in each]), np.stack([spread for _, spread in each])
        variance = (spreads**2 + means**2).mean(0) - means.mean(0) ** 2
        middle = means.mean(0)
        if self.transform == "log1p":
            middle = np.log1p(np.expm1(means.clip(max=MAX_LOG)).mean(0))
        return torch.from_numpy(self._outputs(middle, np.sqrt(np.maximum(variance, 0)))).to(outputs.dtype)

    def in_own_units(self, output: np.ndarray, fitted: Task) -> np.ndarray:
        assert isinstance(fitted, CensoredTask)
        if (fitted.center, fitted.scale, fitted.offsets) == (self.center, self.scale, self.offsets):
            return output
        return self._outputs(*fitted._normal(output))

    def _to_user(self, values: np.ndarray) -> np.ndarray:
        return np.expm1(values.clip(max=MAX_LOG)) if self.transform == "log1p" else values

    def answer_columns(self) -> list[AnswerColumn]:
        return super().answer_columns() + [QUANTILE.column(self.name, q) for q in ENDS]

    def decode(self, output: np.ndarray) -> dict[str, np.ndarray]:
        """Return the middle of each row's distribution, and the quantiles between which 90 % of it lies."""
        mean, spread = self._normal(output)
        names = [PREDICTION.named(self.name), *(QUANTILE.named(self.name, q) for q in ENDS)]
        each = (mean, mean - Z90 * spread, mean + Z90 * spread)
        return {name: self._to_user(values) for name, values in zip(names, each, strict=True)}

    def _errors(self, output: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how far each prediction is from its label, or outside of its bounds; and which labels are known."""
        predicted = self._to_user(self._normal(output)[0])
        ends = values.astype("float64") * self.scale + self.center
        low, high = (self._to_user(np.where(np.abs(values[:, i]) >= FAR, 0.0, ends[:, i])) for i in (0, 1))
        below = np.where(values[:, 0] <= -FAR, 0.0, low - predicted)
        above = np.where(values[:, 1] >= FAR, 0.0, predicted - high)
        known = values[:, 0] == values[:, 1]
        return np.maximum(np.maximum(below, above), 0.0), known

    def metrics(self, output: np.ndarray, values: np.ndarray) -> dict[str, float]:
        """Return errors in label units, 0 where a bound is kept.

        ``exact_rmse`` is of the numbers that are known, ``bounds_kept`` the share of the others whose bounds the
        prediction keeps, and ``coverage_90`` the share of known numbers between the predicted quantiles.
        """
        errors, known = self._errors(output, values)
        mean, spread = self._normal(output)
        z = np.abs(values[:, 0].astype("float64") * self.scale + self.center - mean)[known] / spread[known]
        return {
            "rmse": float(np.sqrt((errors**2).mean())),
            "mae": float(errors.mean()),
            "exact_rmse": float(np.sqrt((errors[known] ** 2).mean())) if known.any() else math.nan,
            "bounds_kept": float((errors[~known] == 0).mean()) if not known.all() else math.nan,
            "coverage_90": float((z <= Z90).mean()) if known.any() else math.nan,
        }

    def resampled(self, output: np.ndarray, values: np.ndarray, counts: np.ndarray) -> np.ndarray:
        return np.asarray(np.sqrt(mean_of(self._errors(output, values)[0] ** 2, counts)))

    def explained(self, output: torch.Tensor) -> torch.Tensor:
        """Return the mean of each row's distribution, of labels as they are transformed."""
        return self.distribution(output)[0] * self.scale + self.center

    def monitor(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        def to_user(encoded: torch.Tensor) -> torch.Tensor:
            values = encoded * self.scale + self.center
            return values.clamp(max=MAX_LOG).expm1() if self.transform == "log1p" else values

        low, high = target[:, 0], target[:, 1]
        predicted = to_user(output[:, 0] + self.offsets[0])
        below = (to_user(low.where(low > -FAR, 0.0)) - predicted).where(low > -FAR, 0.0)
        above = (predicted - to_user(high.where(high < FAR, 0.0))).where(high < FAR, 0.0)
        return below.maximum(above).clamp(min=0).square().mean().sqrt()


def _middle(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the middle of both ends, or the one that is finite."""
    with np.errstate(invalid="ignore"):
        both = (low + high) / 2
    return np.where(np.isfinite(both), both, np.where(np.isfinite(low), low, high))
