"""What every kind of task is to the rest of the program.

A kind is two classes in one file of ``tasks/kinds``: its config (a dataclass, the YAML keys), whose ``fit`` looks at
the labels and whose ``restore`` reads a model file, and what both return: a ``Task``, which owns the target, the loss,
the way back to user units and the metrics.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np

from mtl_cli.config.convert import NonNegativeFloat
from mtl_cli.tasks.schedule import WeightSchedule

if TYPE_CHECKING:
    import pandas as pd
    import torch

Label = str | int | float | bool
Level = Literal["row", "token"]
"""What has a label of its own: a row, or each token of a row that is a sequence."""


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """The keys that every kind of task has.

    Parameters
    ----------
    target : str or list of str, optional
        The column that holds the labels; by default the task's own name.
    dataset : str, optional
        Where several data sets are joined, the one whose rows the task labels.
    weight : float
        Multiplies this task's loss, before any balancer sees it.
    weight_schedule : WeightSchedule, optional
        How the weight changes over the epochs.
    auxiliary : bool
        Train this task, but leave it out of the score.
    """

    target: str | list[str] | None = None
    dataset: str | None = None
    weight: NonNegativeFloat = 1.0
    weight_schedule: WeightSchedule | None = None
    auxiliary: bool = False

    level: ClassVar[Level] = "row"
    several_columns: ClassVar[bool] = False
    """Whether ``target`` may be a list."""

    @property
    def labels_as_text(self) -> bool:
        """Whether a text file's labels are to be read as they are written, not as numbers."""
        return True

    def weight_at(self, epoch: int) -> float:
        """Return the task's weight in an epoch, from 1."""
        return self.weight if self.weight_schedule is None else self.weight_schedule.at(self.weight, epoch)

    def columns(self, name: str) -> list[str]:
        """Return the label columns of the task called ``name``."""
        target = self.target if self.target is not None else name
        return target if isinstance(target, list) else [target]


@dataclass(frozen=True)
class Target:
    """Encoded labels.

    Parameters
    ----------
    values : ndarray of shape (n,) or (n, labels)
        Zero where there is no label.
    mask : ndarray of bool, shape (n,)
        Whether there is a label.
    weights : ndarray of shape (n,), float32, optional
        How many labels a row stands for, where that is not one: the row's loss is their mean.
    """

    values: np.ndarray
    mask: np.ndarray
    weights: np.ndarray | None = None


class Task(Protocol):
    """A task that has been fitted to the labels of the training rows.

    It may also have ``merge``, which makes one output of those of an ensemble's members, (n, members, outputs) to
    (n, outputs); without it, that is their mean.
    """

    kind: ClassVar[str]
    primary: ClassVar[str]
    """The metric shown first and kept per epoch."""
    lower_is_better: ClassVar[bool]
    level: ClassVar[Level]
    pictures: ClassVar[tuple[str, ...]]
    """Which of ``scatter``, ``confusion`` and ``calibration`` show this kind's predictions."""
    name: str
    columns: list[str]
    weight: float
    auxiliary: bool

    @property
    def outputs(self) -> int:
        """The width of the head's output."""

    @property
    def baseline(self) -> np.ndarray:
        """The best constant output on the training rows, shape (outputs,)."""

    def labels(self, table: pd.DataFrame) -> pd.Series:
        """Return the labels in the user's own terms, missing where there are none."""

    def encode(self, labels: pd.Series) -> Target:
        """Turn labels into what the loss takes. Raises UserError for a label it was not fitted for."""

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss per row, shape (n,)."""

    def decode(self, output: np.ndarray) -> dict[str, np.ndarray]:
        """Return prediction columns in user units, by column name."""

    def metrics(self, output: np.ndarray, values: np.ndarray) -> dict[str, float]:
        """Return the metrics of rows that have a label."""

    def monitor(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the primary metric as a tensor, cheaply, for the history."""

    def confidence(self, output: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return stated probabilities and whether what they were stated of is so; for ``calibration``."""

    def state(self) -> dict[str, Any]:
        """Return what the config class's ``restore`` needs: plain numbers, strings, lists."""


@functools.lru_cache(maxsize=64)
def device_tensor(values: tuple[float, ...], device: torch.device) -> torch.Tensor:
    """Return constants as a tensor that is copied to the device once, not at every step."""
    import torch

    return torch.tensor(values, device=device)
