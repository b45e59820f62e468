"""Hard parameter sharing: one trunk, and each task reads what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import nn

from mtl_cli.data.inputs import Inputs
from mtl_cli.models.sharing.modules.shared import Shared, at_level
from mtl_cli.models.trunk import Trunk
from mtl_cli.tasks.task import Level


class HardSharing(Shared):
    """One trunk for all tasks.

    Parameters
    ----------
    trunk : Trunk
    tasks : mapping of str to {"row", "token"}
        What each task has labels for, in the tasks' order.
    """

    trunks_of_tasks: ClassVar[bool] = False

    def __init__(self, trunk: Trunk, tasks: Mapping[str, Level]) -> None:
        super().__init__(trunk.width)
        self.trunk = trunk.module
        self.tasks = dict(tasks)
        self._last = [] if trunk.last_shared_layer is None else [trunk.last_shared_layer]

    def trunks(self) -> list[nn.Module]:
        """Return the trunk."""
        return [self.trunk]

    @property
    def last_shared_layers(self) -> list[nn.Module]:
        """The trunk's last layer with a weight."""
        return self._last

    def shared_parameters(self) -> list[nn.Parameter]:
        """Return the trunk's parameters."""
        return list(self.trunk.parameters())

    def stack(self) -> list[nn.Module] | None:
        """Return the trunk's layers if it is a plain sequence of them."""
        trunk = self.trunk
        if not isinstance(trunk, nn.Sequential) or trunk._forward_hooks or trunk._forward_pre_hooks:
            return None
        return list(trunk) if type(trunk) is nn.Sequential else None

    def forward(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Return the representation of each task; the same tensor for all tasks of one level."""
        found = self.trunk(inputs)
        if isinstance(found, torch.Tensor):
            return dict.fromkeys(self.tasks, found)
        return {task: at_level(found, level) for task, level in self.tasks.items()}
