"""The tasks' own weights, where they change over the epochs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mtl_cli.training.callbacks.base import Callback, TrainerState


class TaskWeights(Callback):
    """Sets the tasks' weights at the start of each epoch, and writes them to the history as ``task_weight_<task>``.

    Parameters
    ----------
    weights_in : callable
        Returns the weights in an epoch, from 1, by task, in the tasks' order.
    """

    def __init__(self, weights_in: Callable[[int], Mapping[str, float]]) -> None:
        self._weights_in = weights_in

    def on_epoch_start(self, trainer: TrainerState) -> None:
        """Set the weights."""
        trainer.step.weigh_tasks(list(self._weights_in(trainer.epoch).values()))

    def measure(self, trainer: TrainerState) -> Mapping[str, float]:
        """Return the weights."""
        return {f"task_weight_{name}": weight for name, weight in self._weights_in(trainer.epoch).items()}
