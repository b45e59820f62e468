"""Early stopping: the weights of the best epoch are kept, and the training ends when no better one comes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

from mtl_cli.config import schema
from mtl_cli.runs.forms import Either, Form
from mtl_cli.training.callbacks.base import Best, Callback, Epoch, TrainerState


class EarlyStopping(Callback):
    """Stops the training when the validation score has not risen for some epochs, and restores the best weights.

    Of epochs with equal scores the earliest is kept. The weights are restored however the training ends, so that after
    Ctrl-C or a loss that is not finite the best model so far is left.

    Parameters
    ----------
    settings : schema.EarlyStopping
        With numbers in place of ``auto``.
    after : int
        The epoch up to which the training is not stopped, such as the last one in which the trunk is frozen.
    so_far : float
        Of the epochs so far, the share that scores are averaged over at most.
    """

    def __init__(self, settings: schema.EarlyStopping, after: int = 0, so_far: float = math.inf) -> None:
        self._settings, self._after, self._so_far = settings, after, so_far
        self.best = Best()
        self._highest, self._mean = -math.inf, cast("float | None", None)

    def on_epoch_end(self, trainer: TrainerState, epoch: Epoch) -> None:
        """Keep the weights if they are the best so far, or stop if those have been the best for long enough."""
        score, min_delta = self._smoothed(epoch, trainer.epoch), self._settings.min_delta if self.best.weights else 0.0
        if score is not None and score > self._highest + min_delta:
            self._highest = score
            shown = score if epoch.score is None else epoch.score
            weights = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
            self.best = Best(shown, trainer.epoch, weights, trainer.steps)
        elif trainer.epoch - max(self.best.epoch, self._after) >= int(self._settings.patience):
            trainer.stop(f"no better score in {self._settings.patience} epochs")

    def _smoothed(self, epoch: Epoch, number: int) -> float | None:
        """Return the exponential mean of what is monitored; what is not known takes no part in it."""
        value = epoch.monitored
        if value is None or math.isnan(value):
            return None
        share = 1 / min(int(self._settings.smooth), max(1.0, self._so_far * number))
        self._mean = value if self._mean is None else (1 - share) * self._mean + share * value
        return self._mean

    def on_stop(self, trainer: TrainerState) -> None:
        """Restore the best weights."""
        if self.best.weights is not None:
            trainer.model.load_state_dict(self.best.weights)
            trainer.best = self.best

    def state_dict(self) -> dict[str, Any]:
        """Return the best epoch and its weights."""
        best = self.best
        kept = {"score": best.score, "epoch": best.epoch, "weights": best.weights, "steps": best.steps}
        return kept | {"highest": self._highest, "mean": self._mean}

    def form(self, trainer: TrainerState) -> Form:
        """Return what any such state is like."""
        weights = Either(None, trainer.model.state_dict())
        return {"score": 0.0, "epoch": 0, "weights": weights, "steps": 0, "highest": 0.0, "mean": Either(None, 0.0)}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""
        self._highest, self._mean = saved["highest"], saved["mean"]
        self.best = Best(saved["score"], saved["epoch"], saved["weights"], saved["steps"])
