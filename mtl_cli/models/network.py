"""The network: one shared trunk, one head per task (hard parameter sharing)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import nn

from mtl_cli.config.schema import Head, Model
from mtl_cli.models.layers import mlp_layers
from mtl_cli.models.trunk import Trunk


class TrunkConfig(Protocol):
    """The config of a trunk."""

    def build(self, inputs: int) -> Trunk:
        """Build the trunk."""


class Network(nn.Module):
    """A trunk whose representation z all heads read.

    Parameters
    ----------
    trunk : Trunk
    heads : mapping of str to Module
        By task, in the tasks' order.
    """

    def __init__(self, trunk: Trunk, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.trunk = trunk.module
        self.heads = dict(heads)
        self._heads = nn.ModuleList(heads.values())  # registered as a list: a task may be called "keys" or "a b"
        self._last_shared = (trunk.last_shared_layer,)  # in a tuple, or it would be registered twice

    @property
    def last_shared_layer(self) -> nn.Module | None:
        """The last layer with a weight that every task's gradient passes through; None if nothing is shared."""
        return self._last_shared[0]

    def shared_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that all tasks share."""
        return list(self.trunk.parameters())

    def stack(self) -> list[nn.Module] | None:
        """Return the modules that, one after the other, make up ``representations``; None if it is more than that."""
        trunk = self.trunk
        if not isinstance(trunk, nn.Sequential) or trunk._forward_hooks or trunk._forward_pre_hooks:
            return None
        return list(trunk) if type(trunk) is nn.Sequential else None

    def head_parameters(self, task: str) -> list[nn.Parameter]:
        """Return the parameters that only ``task`` uses."""
        return list(self.heads[task].parameters())

    def representations(self, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the representation each task's head reads; here the same tensor for all."""
        shared = self.trunk(inputs)
        return dict.fromkeys(self.heads, shared)

    def forward(self, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return each task's output, (n, outputs)."""
        representations = self.representations(inputs)
        return {task: head(representations[task]) for task, head in self.heads.items()}


def build_network(config: Model, inputs: int, outputs: Mapping[str, int]) -> Network:
    """Build the network for rows of ``inputs`` numbers and tasks of the given output widths."""
    trunk_config: TrunkConfig = config.trunk
    trunk = trunk_config.build(inputs)
    heads = {task: _build_head(config.heads.get(task, config.head), trunk.width, n) for task, n in outputs.items()}
    return Network(trunk, heads)


def _build_head(config: Head, width: int, outputs: int) -> nn.Module:
    layers, _ = mlp_layers(width, config.hidden, config.activation, dropout=config.dropout)
    output = nn.Linear(config.hidden[-1] if config.hidden else width, outputs)
    return nn.Sequential(*layers, output) if config.hidden else output
