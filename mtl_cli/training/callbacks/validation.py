"""The score on the validation rows, and the losses and metrics behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mtl_cli.training.callbacks.base import Callback, TrainerState

if TYPE_CHECKING:
    from mtl_cli.inference.evaluate import Validation


class Validate(Callback):
    """Measures the model on the validation rows at the end of each epoch.

    Parameters
    ----------
    validation : Validation
    """

    def __init__(self, validation: Validation) -> None:
        self._validation = validation

    def measure(self, trainer: TrainerState) -> Mapping[str, float]:
        """Return ``val_loss_<task>``, ``val_<metric>_<task>`` and ``val_score``."""
        return self._validation(trainer.model)
