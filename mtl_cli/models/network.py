"""The network: what the tasks share, and a head per task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import nn

from mtl_cli.config.schema import Head, Model
from mtl_cli.data.inputs import Inputs, InputSpec
from mtl_cli.models.layers import mlp_layers
from mtl_cli.models.sharing.hard import HardSharing
from mtl_cli.tasks.task import Level, Task


class Shape(NamedTuple):
    """What a network needs to know of a task: the width of its output, and what it is given for."""

    outputs: int
    level: Level = "row"


def shapes(tasks: Mapping[str, Task]) -> dict[str, Shape]:
    """Return the shape of each task."""
    return {name: Shape(task.outputs, task.level) for name, task in tasks.items()}


class Network(nn.Module):
    """Shared layers that give each task its representation z_t, and heads that read them.

    Parameters
    ----------
    shared : HardSharing
    heads : mapping of str to Module
        By task, in the tasks' order.
    """

    def __init__(self, shared: HardSharing, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.shared = shared
        self.heads = dict(heads)
        self._heads = nn.ModuleList(heads.values())  # registered as a list: a task may be called "keys" or "a b"

    @property
    def last_shared_layer(self) -> nn.Module | None:
        """The last layer with a weight that every task's gradient passes through; None if nothing is shared."""
        return self.shared.last_shared_layer

    def shared_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that all tasks share."""
        return self.shared.shared_parameters()

    def stack(self) -> list[nn.Module] | None:
        """Return the modules that, one after the other, make up ``representations``; None if it is more than that."""
        return self.shared.stack()

    def trunks(self) -> list[nn.Module]:
        """Return what was built as the config's trunk: it may be taken from another run, and be frozen."""
        return self.shared.trunks()

    @property
    def trunks_of_tasks(self) -> bool:
        """Whether each trunk is one task's own."""
        return self.shared.trunks_of_tasks

    def penalty(self) -> torch.Tensor | None:
        """Return what the sharing scheme adds to the training loss, a scalar; None if nothing."""
        return None

    def head_parameters(self, task: str) -> list[nn.Parameter]:
        """Return the parameters that only ``task`` uses above its representation."""
        return list(self.heads[task].parameters())

    def representations(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Return the representation each task's head reads: (n, width), or (n, length, width) for labels of tokens."""
        representations: dict[str, torch.Tensor] = self.shared(inputs)
        return representations

    def forward(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Return each task's output, (n, outputs), or (n, length, outputs)."""
        representations = self.representations(inputs)
        return {task: head(representations[task]) for task, head in self.heads.items()}


def build_network(config: Model, spec: InputSpec, tasks: Mapping[str, Shape]) -> Network:
    """Build the network for inputs as ``spec`` has them and tasks of the given shapes, by name."""
    trunk = config.trunk.build(spec)
    shared = HardSharing(trunk, {name: task.level for name, task in tasks.items()})
    heads = {
        name: _build_head(config.heads.get(name, config.head), trunk.width, task.outputs)
        for name, task in tasks.items()
    }
    return Network(shared, heads)


def _build_head(config: Head, width: int, outputs: int) -> nn.Module:
    layers, _ = mlp_layers(width, config.hidden, config.activation, dropout=config.dropout)
    output = nn.Linear(config.hidden[-1] if config.hidden else width, outputs)
    return nn.Sequential(*layers, output) if config.hidden else output
