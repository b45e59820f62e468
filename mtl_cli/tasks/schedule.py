"""A task's weight over the epochs: an auxiliary task that fades out, a hard one that comes in late."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from mtl_cli.config.convert import NonNegativeFloat, PositiveInt
from mtl_cli.config.errors import Problem


@dataclass(frozen=True)
class WeightSchedule:
    """How a task's ``weight`` changes into another one.

    With u = (epoch − first) / (last − first), cut to [0, 1], the weight is w + (to − w) s(u), where s(u) is u
    (``linear``), (1 − cos πu) / 2 (``cosine``), or 1 from ``last`` on and 0 before (``step``).

    Parameters
    ----------
    to : float
        The weight from epoch ``last`` on.
    last : int
    first : int
        Up to and with this epoch the task has its own weight.
    shape : {"linear", "cosine", "step"}
    """

    to: NonNegativeFloat
    last: PositiveInt
    first: PositiveInt = 1
    shape: Literal["linear", "cosine", "step"] = "linear"

    def at(self, weight: float, epoch: int) -> float:
        """Return the weight in an epoch (from 1) of a task whose own weight is ``weight``."""
        if self.shape == "step":
            return self.to if epoch >= self.last else weight
        share = min(max((epoch - self.first) / (self.last - self.first), 0.0), 1.0)
        return weight + (self.to - weight) * ((1 - math.cos(math.pi * share)) / 2 if self.shape == "cosine" else share)

    def check(self, where: str) -> Iterator[Problem]:
        """Yield what is wrong with the keys, which stand under ``where``."""
        if self.last <= self.first:
            yield Problem(
                f"{where}.last", f"is {self.last}, not after first, {self.first}", "a schedule needs two epochs"
            )
