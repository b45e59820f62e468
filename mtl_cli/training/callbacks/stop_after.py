"""Training a number of steps that is known beforehand."""

from __future__ import annotations

from mtl_cli.training.callbacks.base import Callback, TrainerState


class StopAfter(Callback):
    """Stops the training after some steps of the optimizer.

    Parameters
    ----------
    steps : int
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def on_step(self, trainer: TrainerState) -> None:
        """Stop, if these were all."""
        if trainer.steps >= self._steps:
            trainer.stop(f"{self._steps} steps are done")
