"""What a built trunk tells the rest of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import nn


class Trunk(NamedTuple):
    """The shared layers.

    Parameters
    ----------
    module : Module
        From inputs to the representation, (n, inputs) to (n, width).
    width : int
    last_shared_layer : Module, optional
        The last layer with a weight matrix or kernel: never a norm layer. None if nothing is shared.
    """

    module: nn.Module
    width: int
    last_shared_layer: nn.Module | None
