"""What a training step needs of a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import nn

from mtl_cli.data.inputs import Inputs


class SharedModel(Protocol):
    """A model with shared layers that give each task its representation z_t, and a head for each task that reads it.

    ``models.network.Network`` is one. A class that names this one as a base has the defaults.

    Attributes
    ----------
    heads : dict of str to Module
        By task, in the tasks' order.
    """

    heads: dict[str, nn.Module]

    @property
    def last_shared_layers(self) -> list[nn.Module]:
        """The last layers with a weight that every task's gradient passes through."""

    def modules(self) -> Iterator[nn.Module]:
        """Return all modules, the heads' too."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return all parameters, the heads' too, each once."""

    def representations(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Return the representation that each task's head reads."""

    def shared_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that the gradients of two tasks or more reach."""

    def head_parameters(self, task: str) -> list[nn.Parameter]:
        """Return the parameters that only ``task`` uses."""

    def stack(self) -> list[nn.Module] | None:
        """Return the modules that, one after the other, make up ``representations``; None if it is more than that."""
        return None
