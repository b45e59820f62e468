"""The steps behind a trained model's outputs, fitted to labelled rows that it was not trained on.

Outputs are calibrated first, then thresholds and intervals are found for what that gives.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mtl_cli.tasks.conformal import Conformal, conformal_quantile
from mtl_cli.tasks.recalibration import METHODS, Recalibration, restored

if TYPE_CHECKING:
    from mtl_cli.tasks.task import Task, TaskConfig


@dataclass(frozen=True)
class PostHoc:
    """What a task's outputs go through before they are written and measured.

    Parameters
    ----------
    recalibration : Recalibration, optional
    thresholds : list of float, optional
        The probability from which on each label is predicted; a half if None.
    conformal : Conformal, optional
        What makes an interval or a set of a prediction.
    """

    recalibration: Recalibration | None = None
    thresholds: list[float] | None = None
    conformal: Conformal | None = None

    def state(self) -> dict[str, Any]:
        """Return what ``restore`` takes: plain numbers and strings; nothing of steps that there are not."""
        return {
            **({} if self.recalibration is None else {"recalibration": self.recalibration.state()}),
            **({} if self.thresholds is None else {"thresholds": self.thresholds}),
            **({} if self.conformal is None else {"conformal": asdict(self.conformal)}),
        }

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """Rebuild the steps from their ``state``."""
        recalibration, conformal = state.get("recalibration"), state.get("conformal")
        return cls(
            None if recalibration is None else restored(recalibration),
            state.get("thresholds"),
            None if conformal is None else Conformal(**conformal),
        )


def fit_post_hoc(config: TaskConfig, task: Task, output: np.ndarray, values: np.ndarray) -> PostHoc:
    """Fit the steps that a task's config asks for.

    Parameters
    ----------
    config : TaskConfig
    task : Task
        Fitted, without such steps.
    output : ndarray of shape (n, outputs)
    values : ndarray
        The encoded labels of the same rows, all of which have one.
    """
    found = PostHoc()
    if config.calibrate != "none":
        assert task.link is not None
        found = replace(found, recalibration=METHODS[config.calibrate].fit(output, values, task.link))
        output = replace(task, post_hoc=found).calibrated(output)
    if config.threshold is not None:
        found = replace(found, thresholds=task.find_thresholds(output, values, config.threshold))
    if config.interval is not None:
        radius = conformal_quantile(task.nonconformity(output, values), config.interval)
        found = replace(found, conformal=Conformal(config.interval, radius))
    return found
