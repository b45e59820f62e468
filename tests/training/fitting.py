"""The trainer with the callbacks that a test asks for, in a run's order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mtl_cli.balancing.step import TrainingStep
from mtl_cli.config import schema
from mtl_cli.inference.evaluate import Validation
from mtl_cli.models.network import Network
from mtl_cli.training.budget import settled
from mtl_cli.training.callbacks.base import Best, Callback, Epoch, TrainerState
from mtl_cli.training.callbacks.early_stopping import EarlyStopping
from mtl_cli.training.callbacks.freeze import Freeze
from mtl_cli.training.callbacks.learning_rate import LearningRate
from mtl_cli.training.callbacks.penalties import Penalties
from mtl_cli.training.callbacks.validation import Validate
from mtl_cli.training.trainer import Trainer


class Tell(Callback):
    """Hands each epoch on."""

    def __init__(self, on_epoch: Callable[[Epoch], None]) -> None:
        self._on_epoch = on_epoch

    def on_epoch_end(self, trainer: TrainerState, epoch: Epoch) -> None:
        self._on_epoch(epoch)


class Listed(list[Any]):
    """Batches that are the same in each epoch, and so have no state."""

    def state_dict(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def after(self, done: int) -> Iterator[Any]:
        """Yield the batches without the first ``done``."""
        return iter(self[done:])


def fit(
    model: Network, step: TrainingStep, batches: Any, optimizer: Any, advance: Callable[[float | None], None],
    trainer: schema.Trainer, validation: Validation | None, on_epoch: Callable[[Epoch], None],
    penalties: Penalties | None = None, freeze: Freeze | None = None, more: Sequence[Callback] = (),
) -> Best:  # fmt: skip
    """Train ``model`` in place."""
    trainer = settled(trainer, len(batches), held_out=False)
    callbacks: list[Callback] = [] if freeze is None else [freeze]
    callbacks.append(penalties or Penalties(model, None, "", optimizer))
    if validation is not None:
        callbacks.append(Validate(validation))
    callbacks += [LearningRate(advance), Tell(on_epoch)]
    if validation is not None and trainer.early_stopping is not None:
        callbacks.append(EarlyStopping(trainer.early_stopping, 0 if freeze is None else freeze.until))
    return Trainer(step, optimizer, trainer, [*callbacks, *more]).fit(
        Listed(batches) if isinstance(batches, list) else batches
    )  # type: ignore[arg-type]
