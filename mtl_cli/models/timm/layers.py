"""An image model with layers of our own above it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import nn

from mtl_cli.models.layers import Normalise
from mtl_cli.models.pretrained import PretrainedTrunk
from mtl_cli.models.timm.settings import TimmKeys


class TimmTrunk(PretrainedTrunk):
    """From the bytes of images, (n, channels, height, width), to a representation of each, (n, width).

    Parameters
    ----------
    backbone : Module
        With the parameters that are trained marked as such.
    config : TimmKeys
    inner : int
        The width of what it makes of an image.
    channels : int
        That it reads: where it reads three, a grey image is all three.
    center, scale : sequence of float
        Of its channels, in units of bytes.
    """

    marks = 0

    def __init__(
        self,
        backbone: nn.Module,
        config: TimmKeys,
        inner: int,
        channels: int,
        center: Sequence[float],
        scale: Sequence[float],
    ) -> None:
        super().__init__(backbone, inner, config)
        self.channels, self.normalise = channels, Normalise(list(center), list(scale))

    def train(self, mode: bool = True) -> Self:
        """Set the mode; norms of which nothing is trained keep their running statistics."""
        super().train(mode)
        for part in self.backbone.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm) and not any(
                parameter.requires_grad for parameter in part.parameters()
            ):
                part.eval()
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the representation of each image."""
        found: torch.Tensor = self.hidden(self.states(images))
        return found

    def run(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the vector that the model makes of each image."""
        pixels = self.normalise(tokens.expand(-1, self.channels, -1, -1))
        found: torch.Tensor = self.backbone(pixels)
        return found
