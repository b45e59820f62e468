"""The network: what the tasks share, and a head per task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from mtl_cli.config.schema import Head, Model
from mtl_cli.data.inputs import Inputs, InputSpec
from mtl_cli.models.budget import largest_factor
from mtl_cli.models.layers import mlp_layers
from mtl_cli.models.sharing.hard import Hard
from mtl_cli.models.sharing.modules.shared import Shared
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
    shared : Shared
    heads : mapping of str to Module
        By task, in the tasks' order.
    """

    def __init__(self, shared: Shared, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.shared = shared
        self.heads = dict(heads)
        self._heads = nn.ModuleList(heads.values())  # registered as a list: a task may be called "keys" or "a b"

    @property
    def last_shared_layers(self) -> list[nn.Module]:
        """The last layers with a weight that every task's gradient passes through: one, or one an expert; [] if none."""
        return self.shared.last_shared_layers

    @property
    def last_shared_layer(self) -> nn.Module | None:
        """The last shared layer where there is one and no other beside it."""
        layers = self.last_shared_layers
        return layers[0] if len(layers) == 1 else None

    def shared_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that the gradients of two tasks or more reach."""
        return self.shared.shared_parameters()

    def penalty(self) -> torch.Tensor | None:
        """Return what the sharing scheme adds to the training loss, a scalar; None if nothing. Once after each step."""
        return self.shared.penalty()

    def stack(self) -> list[nn.Module] | None:
        """Return the modules that, one after the other, make up ``representations``; None if it is more than that."""
        return self.shared.stack()

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
    """Build the network for inputs as ``spec`` has them and tasks of the given shapes, by name.

    Raises
    ------
    UserError
        If ``model.sharing.budget`` leaves too little for the number of tasks.
    """
    trunk = config.trunk
    if getattr(config.sharing, "budget", "each") == "total":
        limit = _parameters(config, trunk, Hard(), spec, tasks)
        scaled = config.trunk.scaled
        factor = largest_factor(lambda f: _parameters(config, scaled(f), config.sharing, spec, tasks), limit)
        trunk = scaled(factor)
    return _build(config, trunk, config.sharing, spec, tasks)


def _build(config: Model, trunk: Any, sharing: Any, spec: InputSpec, tasks: Mapping[str, Shape]) -> Network:
    shared = sharing.build(trunk, spec, {name: task.level for name, task in tasks.items()})
    heads = {
        name: _build_head(config.heads.get(name, config.head), shared.width, task.outputs)
        for name, task in tasks.items()
    }
    return Network(shared, heads)


def _parameters(config: Model, trunk: Any, sharing: Any, spec: InputSpec, tasks: Mapping[str, Shape]) -> int:
    with torch.device("meta"):  # shapes only
        return sum(p.numel() for p in _build(config, trunk, sharing, spec, tasks).parameters())


def _build_head(config: Head, width: int, outputs: int) -> nn.Module:
    layers, _ = mlp_layers(width, config.hidden, config.activation, dropout=config.dropout)
    output = nn.Linear(config.hidden[-1] if config.hidden else width, outputs)
    return nn.Sequential(*layers, output) if config.hidden else output
