"""The contract of a callback: when it is called, what it sees of the training, and what it may change there."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from mtl_cli.config import schema
from mtl_cli.config.errors import Problem
from mtl_cli.runs.forms import Form

if TYPE_CHECKING:
    import torch
    from torch.optim import Optimizer

    from mtl_cli.balancing.result import StepResult
    from mtl_cli.balancing.step import TrainingStep
    from mtl_cli.models.network import Network

Row = dict[str, Any]


@dataclass(frozen=True)
class Epoch:
    """What is known at the end of an epoch.

    Parameters
    ----------
    history : dict
        A row of ``mtl_history.csv``.
    balance : list of dict
        Rows of ``<balancer>_weights.csv``: a step's weights, as used, and what the balancer saw.
    """

    history: Row
    balance: list[Row]

    @property
    def score(self) -> float | None:
        """The score on the validation rows; None if there is none."""
        score = self.history.get("val_score")
        return None if score is None or math.isnan(score) else score

    @property
    def monitored(self) -> float | None:
        """What early stopping goes by, larger where better; the score, unless ``monitor`` names another."""
        value = self.history.get("val_monitor", self.score)
        return None if value is None else float(value)


@dataclass(frozen=True)
class Best:
    """The epoch whose weights the model is left with.

    Parameters
    ----------
    score : float
        On the validation rows; NaN without them.
    epoch : int
        From 1; 0 as long as no epoch has ended well.
    weights : dict of str to Tensor, optional
        A copy of the model's state dict, where it is not simply that of the last epoch.
    steps : int
        Steps of the optimizer up to the end of that epoch.
    """

    score: float = -math.inf
    epoch: int = 0
    weights: dict[str, torch.Tensor] | None = None
    steps: int = 0


@dataclass
class TrainerState:
    """A training under way, as callbacks see it.

    Parameters
    ----------
    step : TrainingStep
        With the network, the tasks, and the balancer's state.
    optimizer : Optimizer
        Of the network's parameters only.
    settings : schema.Trainer
        The ``trainer`` keys of the config.
    callbacks : sequence of Callback
        Called in this order, and in the reverse order when the training stops.

    Attributes
    ----------
    epoch : int
        The epoch under way, from 1; between two epochs the one that has ended.
    steps : int
        Steps of the optimizer in all epochs so far.
    batch, batches : int
        Batches of this epoch that are done, and batches in an epoch.
    results : list of StepResult
        What the batches of the latest step left; its tensors may not be ready yet.
    best : Best
        The epoch that ended last; once the training has stopped, the one whose weights were kept.
    stopped : str, optional
        Why the training stops, if not because all its epochs are done.
    """

    step: TrainingStep
    optimizer: Optimizer
    settings: schema.Trainer
    callbacks: Sequence[Callback] = ()
    epoch: int = field(default=0, init=False)
    steps: int = field(default=0, init=False)
    batch: int = field(default=0, init=False)
    batches: int = field(default=0, init=False)
    results: list[StepResult] = field(default_factory=list, init=False)
    best: Best = field(default_factory=Best, init=False)
    stopped: str | None = field(default=None, init=False)

    @property
    def model(self) -> Network:
        """The network that is trained."""
        return cast("Network", self.step.model)

    @property
    def epochs(self) -> int:
        """The epochs at most; the settings have a number once a run is built."""
        return int(self.settings.epochs)

    def stop(self, reason: str) -> None:
        """End the training after the step under way, or else the next one; the epoch is closed as a whole one is."""
        self.stopped = self.stopped or reason


class Callback:
    """Something that is done at fixed points of the training. Hooks that a subclass does not define do nothing.

    Hooks within an epoch should not read numbers from the device: the loop does not wait for it before the epoch ends.
    """

    watches: ClassVar[bool] = False
    """Whether it has no state: no checkpoint knows of it, and a resumed run may be watched by another."""

    def on_start(self, trainer: TrainerState) -> None:
        """Called before the first epoch, after the states of an earlier training were restored."""

    def on_epoch_start(self, trainer: TrainerState) -> None:
        """Called before an epoch's first batch, with the model in training mode.

        Called again where a resumed training goes on with an epoch that was begun, with the states restored.
        """

    def on_gradients(self, trainer: TrainerState) -> None:
        """Called when a step's gradients are in ``.grad``, before they are clipped."""

    def on_update(self, trainer: TrainerState) -> None:
        """Called when the optimizer has changed the weights, before the balancer looks at the new losses."""

    def on_step(self, trainer: TrainerState) -> None:
        """Called when a step is done. A step whose gradients overflowed float16 is none."""

    def measure(self, trainer: TrainerState) -> Mapping[str, float]:
        """Return further columns of the history; called at the end of an epoch, before ``on_epoch_end`` of any."""
        return {}

    def on_epoch_end(self, trainer: TrainerState, epoch: Epoch) -> None:
        """Called at the end of an epoch with its row of the history."""

    def on_stop(self, trainer: TrainerState) -> None:
        """Called once ``on_start`` was, however the training ended: also after an error or Ctrl-C."""

    def state_dict(self) -> dict[str, Any]:
        """Return what the callback needs to go on as if it had not been interrupted: tensors and plain values."""
        return {}

    def form(self, trainer: TrainerState) -> Form:
        """Return what any state of this callback in this training is like, which is checked before one is loaded.

        Without it a state may be anything that ``load_state_dict`` takes; see ``runs.forms``.
        """
        return ...

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""


@dataclass(frozen=True)
class RunInfo:
    """What a callback may be told of the run that it is made for.

    Parameters
    ----------
    folder : Path
        The run's folder.
    config : dict
        The run's config as plain values.
    notice : callable
        Takes a line that the user should see.
    member : int, optional
        The number of the run's member that is trained, from 0, if there are several.
    """

    folder: Path
    config: dict[str, Any]
    notice: Callable[[str], None]
    member: int | None = None


@dataclass(frozen=True, kw_only=True)
class CallbackConfig(ABC):
    """The keys of a callback that a config chooses by ``callback``, or under ``trainer.callbacks`` by its name."""

    watches: ClassVar[bool] = False
    """Whether it looks on, and changes nothing of the training: members may be trained at once then, where only its
    hooks of whole epochs and steps are called, and single-task networks beside a run are trained without it."""

    def check(self, where: str) -> Iterator[Problem]:
        """Yield what can be known to be wrong before the training, such as a package that is not installed."""
        return iter(())

    @abstractmethod
    def build(self, run: RunInfo) -> Callback | None:
        """Return the callback, if there is anything to do. Raises UserError if it cannot do its work here."""

    def finish(self, run: RunInfo) -> None:  # noqa: B027  # most have nothing to do
        """Called once when a run is done: all of its files are there. What goes wrong costs a line, not the run."""


def chosen(config: schema.Config) -> dict[str, CallbackConfig]:
    """Return the callbacks that a config chooses, by the key that chooses each."""
    found: dict[str, CallbackConfig | None] = {"callback": config.callback}
    found |= {f"trainer.callbacks.{name}": own for name, own in config.trainer.callbacks.items()}
    return {key: own for key, own in found.items() if own is not None}
