"""What a sharing scheme builds: everything between the inputs and the representation that each task's head reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import nn

from mtl_cli.tasks.task import Level

Found = torch.Tensor | dict[str, torch.Tensor]
"""What a trunk returns: the representation, or one for each level."""


class Shared(nn.Module):
    """From the inputs to the representation of each task, {task: (n, width)}.

    Parameters
    ----------
    width : int
        Of every task's representation.
    """

    trunks_of_tasks: ClassVar[bool] = True
    """Whether some of the trunks are one task's own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def trunks(self) -> list[nn.Module]:
        """Return what was built as the config's trunk, from the inputs on."""
        raise NotImplementedError

    @property
    def last_shared_layers(self) -> list[nn.Module]:
        """The last layers with a weight that every task's gradient passes through; [] if there are none."""
        return []

    def shared_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that the gradients of two tasks or more reach."""
        return []

    def stack(self) -> list[nn.Module] | None:
        """Return the modules that, one after the other, make up the whole; None if it is more than that."""
        return None

    def penalty(self) -> torch.Tensor | None:
        """Return what the scheme adds to the training loss, a scalar; None if nothing."""
        return None


def at_level(found: Found, level: Level) -> torch.Tensor:
    """Return the representation for labels of rows, or of tokens."""
    return found if isinstance(found, torch.Tensor) else found[level]


def parameters_of(modules: Iterable[nn.Module]) -> list[nn.Parameter]:
    """Return the parameters of several modules."""
    return [parameter for module in modules for parameter in module.parameters()]
