"""Freezing the trunk, for the whole run or for its first epochs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mtl_cli.runs.forms import Form
from mtl_cli.training.callbacks.base import Callback, TrainerState

if TYPE_CHECKING:
    from mtl_cli.balancing.step import TrainingStep
    from mtl_cli.models.network import Network


class Freeze(Callback):
    """Freezes the trunk: no gradient, no dropout in it, and batch norm by its running statistics.

    Other layers that tasks share, such as the units that stitch their trunks together, are not trained either. What was
    built without a gradient stays so when the rest is trained again. A balancer that needs shared gradients is given
    none meanwhile: its weights stay 1, and it begins when the trunk does.

    Parameters
    ----------
    network : Network
    step : TrainingStep
    epochs : int, optional
        How many; None freezes the trunk for good.
    """

    def __init__(self, network: Network, step: TrainingStep, epochs: int | None) -> None:
        self._network, self._step, self._epochs = network, step, epochs
        every = [*(p for trunk in network.trunks() for p in trunk.parameters()), *network.shared_parameters()]
        self._parameters = [p for p in {id(p): p for p in every}.values() if p.requires_grad]
        self._held = False

    @property
    def until(self) -> int:
        """The last epoch in which the trunk is frozen; 0 if it is frozen for good."""
        return self._epochs or 0

    @property
    def size(self) -> int:
        """How many parameters are frozen."""
        return sum(p.numel() for p in self._parameters)

    def on_epoch_start(self, trainer: TrainerState) -> None:
        """Freeze the trunk in this epoch, or train it again."""
        self.begin(trainer.epoch)

    def begin(self, epoch: int) -> None:
        """Freeze the trunk in this epoch, from 1, or train it. To be called once the network is in training mode."""
        held = self._epochs is None or epoch <= self._epochs
        if held != self._held:
            self._set(held)
            self._step.hold(held, epoch)
        if held:
            for trunk in self._network.trunks():
                trunk.eval()

    def state_dict(self) -> dict[str, Any]:
        """Return whether the trunk is frozen."""
        return {"held": self._held}

    def form(self, trainer: TrainerState) -> Form:
        """Return what any such state is like."""
        return self.state_dict()

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned; the step has been restored by itself."""
        self._set(saved["held"])

    def _set(self, held: bool) -> None:
        self._held = held
        for parameter in self._parameters:
            parameter.requires_grad_(not held)
