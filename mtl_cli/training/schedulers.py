"""The learning-rate schedules that a config may name; torch's own, stepped once per epoch."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from mtl_cli.config.convert import Bound, NonNegativeInt, PositiveInt
from mtl_cli.config.errors import Problem
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    from torch.optim import Optimizer

Advance = Callable[[float | None], None]
"""Called at the end of each epoch with the validation score."""
Factor = Annotated[float, Bound(above=0, below=1)]
Share = Annotated[float, Bound(at_least=0, at_most=1)]


@dataclass(frozen=True, kw_only=True)
class SchedulerConfig(ABC):
    """A schedule of the learning rate over the epochs: its settings as fields."""

    needs_validation: ClassVar[bool] = False
    """Whether it depends on the validation score."""

    needs_end: ClassVar[bool] = False
    """Whether it is made for all epochs: a training that stopped before its end would miss the small steps."""

    @property
    def warmup(self) -> int:
        """The epochs in which the learning rate rises."""
        return 0

    def check(self, tasks: Sequence[str]) -> Iterator[Problem]:
        """Yield what is wrong with these keys for tasks of these names."""
        yield from ()

    @abstractmethod
    def build(self, optimizer: Optimizer, epochs: int) -> Advance:
        """Return what sets the learning rates at the end of each of ``epochs`` epochs."""


@component("scheduler", "none")
@dataclass(frozen=True, kw_only=True)
class Constant(SchedulerConfig):
    """The learning rate stays."""

    def build(self, optimizer: Optimizer, epochs: int) -> Advance:
        return lambda score: None


@component("scheduler", "cosine")
@dataclass(frozen=True, kw_only=True)
class Cosine(SchedulerConfig):
    """Half a cosine from the learning rate down to ``final`` times it at the last epoch."""

    final: Share = 0.0

    needs_end: ClassVar[bool] = True

    def build(self, optimizer: Optimizer, epochs: int) -> Advance:
        from torch.optim.lr_scheduler import LambdaLR

        schedule = LambdaLR(optimizer, lambda epoch: _half_cosine(epoch, epochs - 1, self.final))
        return lambda score: schedule.step()


@component("scheduler", "step")
@dataclass(frozen=True, kw_only=True)
class StepDecay(SchedulerConfig):
    """Multiply the learning rate by ``factor`` after every ``every`` epochs."""

    every: PositiveInt = 30
    factor: Factor = 0.1

    def build(self, optimizer: Optimizer, epochs: int) -> Advance:
        from torch.optim.lr_scheduler import StepLR

        schedule = StepLR(optimizer, self.every, self.factor)
        return lambda score: schedule.step()


@component("scheduler", "plateau")
@dataclass(frozen=True, kw_only=True)
class Plateau(SchedulerConfig):
    """Multiply the learning rate by ``factor`` when the validation score has not risen for ``patience`` epochs."""

    factor: Factor = 0.5
    patience: NonNegativeInt = 10

    needs_validation: ClassVar[bool] = True

    def build(self, optimizer: Optimizer, epochs: int) -> Advance:
        from torch.optim.lr_scheduler import ReduceLROnPlateau

        schedule = ReduceLROnPlateau(optimizer, "max", self.factor, self.patience, threshold=0.0)
        return lambda score: schedule.step(score) if score is not None else None


@component("scheduler", "warmup")
@dataclass(frozen=True, kw_only=True)
class Warmup(SchedulerConfig):
    """Rise linearly over ``epochs`` epochs, then fall by half a cosine to ``final`` times the learning rate."""

    epochs: PositiveInt = 5
    final: Share = 0.0

    needs_end: ClassVar[bool] = True

    @property
    def warmup(self) -> int:
        return self.epochs

    def build(self, optimizer: Optimizer, epochs: int) -> Advance:
        from torch.optim.lr_scheduler import LambdaLR

        def factor(epoch: int) -> float:
            if epoch < self.epochs:
                return (epoch + 1) / (self.epochs + 1)
            return _half_cosine(epoch - self.epochs, epochs - self.epochs - 1, self.final)

        schedule = LambdaLR(optimizer, factor)
        return lambda score: schedule.step()


def _half_cosine(epoch: int, last: int, final: float) -> float:
    """Return what to multiply the learning rate by in ``epoch``, from 0: 1 there, ``final`` in ``last``.

    A multiple suits groups of parameters with learning rates of their own, where torch's own schedule ends at one rate
    for all of them.
    """
    return final + (1 - final) * (1 + math.cos(math.pi * epoch / max(last, 1))) / 2
