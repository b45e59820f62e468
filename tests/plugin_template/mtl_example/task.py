"""A kind of task: `tasks='{price: {kind: upper_limit, q: 0.9}}'`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mtl_cli.config.convert import Probability
from mtl_cli.config.registry import component
from mtl_cli.tasks.kinds.regression import Regression, RegressionTask

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch


@component("task", "upper_limit")
@dataclass(frozen=True, kw_only=True)
class Quantile(Regression):
    """A number of which a quantile is predicted, by the pinball loss."""

    q: Probability = 0.5

    def fit(
        self, name: str, table: pd.DataFrame, train: np.ndarray
    ) -> QuantileTask:
        fitted = super().fit(name, table, train)
        task = QuantileTask(**fitted.state(), q=self.q)
        target = task.encode(task.labels(table.iloc[train]))
        values = sorted(target.values[target.mask])
        task.constant = float(values[int(self.q * len(values))])
        return task

    @staticmethod
    def restore(state: dict[str, Any]) -> QuantileTask:
        return QuantileTask(**state)


@dataclass
class QuantileTask(RegressionTask):
    """The fitted task: its fields are saved with the model."""

    q: float = 0.5

    kind: ClassVar[str] = "upper_limit"

    def loss(
        self, output: torch.Tensor, target: torch.Tensor
    ) -> torch.Tensor:
        error = target - output.squeeze(-1)
        above, below = error.clamp(min=0), (-error).clamp(min=0)
        return self.q * above + (1 - self.q) * below
