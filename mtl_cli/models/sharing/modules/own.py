"""A trunk for each task: nothing in common, or weights that are held near each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from mtl_cli.data.inputs import Inputs
from mtl_cli.models.sharing.modules.shared import Shared, at_level
from mtl_cli.models.trunk import Trunk
from mtl_cli.tasks.task import Level

Distance = Callable[[Sequence[torch.Tensor]], torch.Tensor]
"""From the tasks' weights of one layer to a number that is smaller the more they have in common."""


class OwnTrunks(Shared):
    """Each task's inputs go through its own trunk. No gradient of one task reaches another's.

    Parameters
    ----------
    trunks : sequence of Trunk
        One a task.
    tasks : mapping of str to {"row", "token"}
        What each task has labels for.
    distance : callable, optional
        Without it there is no penalty.
    strength : float
        What the sum of the distances is multiplied by.
    """

    def __init__(
        self,
        trunks: Sequence[Trunk],
        tasks: Mapping[str, Level],
        distance: Distance | None = None,
        strength: float = 0.0,
    ) -> None:
        super().__init__(trunks[0].width)
        self.own = nn.ModuleList(trunk.module for trunk in trunks)
        self.tasks = dict(tasks)
        self._distance, self._strength = distance, strength

    def trunks(self) -> list[nn.Module]:
        """Return each task's trunk."""
        return list(self.own)

    def penalty(self) -> torch.Tensor | None:
        """Return the distance between the tasks' weights, summed over layers."""
        if self._distance is None or len(self.own) < 2:
            return None
        layers = zip(*(trunk.parameters() for trunk in self.own), strict=True)
        return self._strength * torch.stack([self._distance(layer) for layer in layers]).sum()

    def forward(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Return the representation of each task."""
        trunks = zip(self.tasks.items(), self.own, strict=True)
        return {task: at_level(trunk(inputs), level) for (task, level), trunk in trunks}


def squared_distance(layer: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return Σ_{s<t} ‖W_s − W_t‖²_F, as T Σ_t ‖W_t − W̄‖²_F, which is the same."""
    stacked = torch.stack([*layer])
    return len(layer) * (stacked - stacked.mean(0)).square().sum()


def trace_norm(layer: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the sum of the singular values of the matrix whose T columns are the tasks' weights, vec W_t.

    On CUDA the singular values make the host wait for the device.
    """
    found: torch.Tensor = torch.linalg.svdvals(torch.stack([weight.flatten() for weight in layer], 1)).sum()
    return found
