"""The block that residual networks are made of."""

from __future__ import annotations

import torch
from torch import nn


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """Return a 3 × 3 convolution without a bias, for a batch norm follows."""
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)


class ResidualBlock(nn.Module):
    """relu(x' + norm(conv(relu(norm(conv(x)))))), x' being x, or its 1 × 1 convolution where the shape changes.

    That convolution reads only the places that its stride would: torch 2.13's own, of few channels that lie last in
    memory, writes where it must not on processors with AVX2 and without AVX-512.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    stride : int
        Of the first convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first, self.first_norm = convolution(inputs, outputs, stride), nn.BatchNorm2d(outputs)
        self.second, self.second_norm = convolution(outputs, outputs), nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        self._stride = stride
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
            )  # fmt: skip
        self.between, self.end = nn.ReLU(), nn.ReLU()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return (n, outputs, height / stride, width / stride)."""
        hidden = self.between(self.first_norm(self.first(images)))
        read = images[..., :: self._stride, :: self._stride]
        found: torch.Tensor = self.end(self.shortcut(read) + self.second_norm(self.second(hidden)))
        return found
