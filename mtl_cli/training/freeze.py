"""Leaving the trunk as it is, for the whole run or for its first epochs."""

from __future__ import annotations

from mtl_cli.balancing.step import TrainingStep
from mtl_cli.models.network import Network


class Freeze:
    """Holds the trunk: no gradient, no dropout in it, and batch norm by its running statistics.

    Nor is anything else trained that tasks share, such as what stitches their trunks together. What was built without a
    gradient stays so when the rest is let go. A balancer that looks at shared gradients has nothing to see meanwhile:
    its weights stay 1, and it begins when the trunk does.

    Parameters
    ----------
    network : Network
    step : TrainingStep
    epochs : int, optional
        How many; None holds the trunk for good.
    """

    def __init__(self, network: Network, step: TrainingStep, epochs: int | None) -> None:
        self._network, self._step, self._epochs = network, step, epochs
        every = [*(p for trunk in network.trunks() for p in trunk.parameters()), *network.shared_parameters()]
        self._parameters = [p for p in {id(p): p for p in every}.values() if p.requires_grad]
        self._held = False

    @property
    def until(self) -> int:
        """The last epoch of a hold that ends; 0 if it does not."""
        return self._epochs or 0

    @property
    def size(self) -> int:
        """How many parameters it holds."""
        return sum(p.numel() for p in self._parameters)

    def begin(self, epoch: int) -> None:
        """Hold the trunk in this epoch, from 1, or let it go. To be called once the network is in training mode."""
        held = self._epochs is None or epoch <= self._epochs
        if held != self._held:
            self._held = held
            for parameter in self._parameters:
                parameter.requires_grad_(not held)
            self._step.hold(held, epoch)
        if held:
            for trunk in self._network.trunks():
                trunk.eval()
