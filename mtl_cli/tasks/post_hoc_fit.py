"""Fitting the steps behind a trained model's outputs: see ``post_hoc``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mtl_cli.tasks.conformal import Conformal, conformal_quantile
from mtl_cli.tasks.post_hoc import PostHoc
from mtl_cli.tasks.recalibration import METHODS
from mtl_cli.tasks.task import Task, TaskConfig


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
    found = task.fit_post_hoc(output, values)
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
