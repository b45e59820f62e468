"""The stacks of layers that trunks and heads are made of."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "leaky_relu": nn.LeakyReLU,
    "identity": nn.Identity,
}
NORMS: dict[str, type[nn.Module]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


def mlp_layers(
    inputs: int,
    hidden: list[int],
    activation: str,
    norm: str = "none",
    dropout: float = 0.0,
    linear: Callable[[int, int], nn.Module] = nn.Linear,
) -> tuple[nn.Sequential, list[nn.Module]]:
    """Return a multi-layer perceptron: linear layers, each followed by norm, activation and dropout.

    Parameters
    ----------
    inputs : int
    hidden : list of int
        The width of each layer.
    activation, norm : str
        Keys of ``ACTIVATIONS`` and ``NORMS``; "none" for no norm.
    dropout : float
    linear : callable
        Makes a layer from (inputs, outputs).

    Returns
    -------
    stack : Sequential
        From (n, inputs) to (n, hidden[-1]).
    linears : list of Module
        The linear layers in it.
    """
    layers: list[nn.Module] = []
    linears: list[nn.Module] = []
    for width in hidden:
        linears.append(linear(inputs, width))
        layers.append(linears[-1])
        if norm != "none":
            layers.append(NORMS[norm](width))
        layers.append(ACTIVATIONS[activation]())
        if dropout > 0:
            layers.append(nn.Dropout(dropout))
        inputs = width
    return nn.Sequential(*layers), linears


class Normalise(nn.Module):
    """From an image's bytes to what a network reads: (byte − center) / scale for each channel.

    Parameters
    ----------
    center, scale : list of float
        By channel, in units of the bytes.
    """

    def __init__(self, center: list[float], scale: list[float]) -> None:
        super().__init__()
        self.center: torch.Tensor
        self.factor: torch.Tensor
        self.register_buffer("center", torch.tensor(center).view(-1, 1, 1), persistent=False)
        self.register_buffer("factor", 1 / torch.tensor(scale).view(-1, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return (n, channels, height, width) as floating-point numbers."""
        return (images - self.center) * self.factor


class ChannelsLast(nn.Module):
    """Lays images out with their channels side by side, in which convolutions on the CPU take two thirds of the time.

    Convolutions keep this layout. Their weights do not have it: a gradient that is put together outside autograd would
    then be laid out differently from its weight, which fused optimizers do not notice.
    """

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the same numbers; ``contiguous`` would leave images of one channel as they are."""
        return torch.empty_like(images, memory_format=torch.channels_last).copy_(images)
