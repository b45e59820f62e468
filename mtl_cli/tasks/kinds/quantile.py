"""Quantiles of each row's label, by their pinball loss: see ``tasks/quantiles.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from mtl_cli.config.registry import component
from mtl_cli.runs.strangers import made_of
from mtl_cli.tasks.kinds.regression import Regression, RegressionTask
from mtl_cli.tasks.quantiles import column_suffix
from mtl_cli.tasks.task import Share

if TYPE_CHECKING:
    import pandas as pd
    import torch


@component("task", "quantile")
@dataclass(frozen=True, kw_only=True)
class Quantile(Regression):
    """A task whose labels are numbers, of each of which several quantiles are learned.

    It is a regression by the pinball loss, and is measured by it too.

    Parameters
    ----------
    loss : {"quantile"}
    quantiles : list of float, optional
        In rising order, each between 0 and 1; by default 0.05, 0.5 and 0.95. The prediction is the median.
    """

    loss: Literal["quantile"] = "quantile"  # the one loss that this kind has

    def fit(self, name: str, table: pd.DataFrame, train: np.ndarray) -> QuantileTask:
        """Fit to the rows ``train`` of ``table``, as ``Regression.fit`` does."""
        return QuantileTask(**super().fit(name, table, train).state())

    @staticmethod
    def restore(state: dict[str, Any]) -> QuantileTask:
        """Rebuild the task from its saved ``state``."""
        return made_of(QuantileTask, state)


@dataclass
class QuantileTask(RegressionTask):
    """A quantile task fitted to its training rows. See ``Task`` for the methods."""

    kind: ClassVar[str] = "quantile"
    primary: ClassVar[str] = "pinball"

    def metrics(self, output: np.ndarray, values: np.ndarray) -> dict[str, float]:
        """Return the pinball loss first, and the share of labels below each quantile, as ``below_q05``."""
        found = super().metrics(output, values)
        below = (values[:, None] <= np.sort(output, axis=1)).mean(0)
        shares = zip(map(column_suffix, self.quantiles), below.tolist(), strict=True)
        return {"pinball": found.pop("pinball"), **found, **{f"below_{name}": share for name, share in shares}}

    def resampled(self, output: np.ndarray, values: np.ndarray, counts: np.ndarray) -> np.ndarray:
        truth = self._to_user(values)
        found = np.zeros(len(counts))
        for quantile, own in zip(self.quantiles, np.sort(output, axis=1).T, strict=True):
            error = truth - self._to_user(own)
            found += counts @ np.maximum(quantile * error, (quantile - 1) * error) / counts.sum(1)
        return found / len(self.quantiles)

    def monitor(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        import torch

        truth = self.to_user_tensor(target).unsqueeze(-1)
        error = truth - self.to_user_tensor(output.sort(-1).values)
        quantiles = torch.tensor(self.quantiles, device=output.device)
        return torch.maximum(quantiles * error, (quantiles - 1) * error).mean()


@component("task", "interval")
@dataclass(frozen=True, kw_only=True)
class Interval(Quantile):
    """A task whose labels are numbers, and whose prediction is an interval that holds a share of them.

    The quantiles at its ends are learned, and then moved on rows that the model was not trained on until they hold what
    they should (Romano, Patterson & Candès 2019, arXiv 1905.03222).

    Parameters
    ----------
    interval : float
        The share.
    quantiles : list of float, optional
        By default those that leave out as much below as above, and the median.
    """

    interval: Share = 0.9  # which this kind always has

    @property
    def learned_quantiles(self) -> list[float]:
        outside = round((1 - self.interval) / 2, 10)
        return list(self.quantiles or (outside, 0.5, round(1 - outside, 10)))

    def fit(self, name: str, table: pd.DataFrame, train: np.ndarray) -> IntervalTask:
        """Fit to the rows ``train`` of ``table``, as ``Regression.fit`` does."""
        return IntervalTask(**super().fit(name, table, train).state())

    @staticmethod
    def restore(state: dict[str, Any]) -> IntervalTask:
        """Rebuild the task from its saved ``state``."""
        return made_of(IntervalTask, state)


@dataclass
class IntervalTask(QuantileTask):
    """An interval task fitted to its training rows. See ``Task`` for the methods."""

    kind: ClassVar[str] = "interval"
    pictures: ClassVar[tuple[str, ...]] = ("scatter", "intervals")

    def interval_metrics(self, output: np.ndarray, values: np.ndarray) -> dict[str, float]:
        """Return the share inside, the mean width, and the mean interval score, less of which is better.

        The width, and 2 / α of the distance from it for a label outside (Gneiting & Raftery 2007, doi
        10.1198/016214506000001437, equation 43).
        """
        conformal = self.post_hoc.conformal
        if conformal is None:
            return {}
        low, high = self.interval_columns(output).values()
        truth, alpha = self._to_user(values), 1 - conformal.coverage
        outside = np.maximum(np.maximum(low - truth, truth - high), 0.0)
        score = float((high - low + 2 / alpha * outside).mean())
        return {**super().interval_metrics(output, values), "interval_score": score}
