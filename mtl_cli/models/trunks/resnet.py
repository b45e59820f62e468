"""A small residual network as the shared trunk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.config.convert import PositiveInt
from mtl_cli.config.registry import component
from mtl_cli.models.trunk import Trunk

if TYPE_CHECKING:
    from mtl_cli.data.inputs import InputSpec


@component("trunk", "resnet")
@dataclass(frozen=True, kw_only=True)
class ResNet:
    """The residual network for small images of He et al. 2016, arXiv 1512.03385, section 4.2, of 6n + 2 layers.

    A 3 × 3 convolution, then stages of ``blocks`` blocks with two 3 × 3 convolutions each; every stage but the first
    halves the image. At the end the mean over all places is the representation. Deviation: where a block changes the
    number of channels, its shortcut is a 1 × 1 convolution (the paper's option B), and not padded with zeros.

    Parameters
    ----------
    channels : list of int
        Of each stage.
    blocks : int
        In each stage, the paper's n.
    """

    channels: list[PositiveInt] = field(default_factory=lambda: [16, 32, 64])
    blocks: PositiveInt = 1

    takes: ClassVar[tuple[str, ...]] = ("image",)
    shares_layers: ClassVar[bool] = True
    smallest_batch: ClassVar[int] = 2
    """Batch norm may have no variance for one row."""

    def build(self, spec: InputSpec) -> Trunk:
        """Build the trunk."""
        from torch import nn

        from mtl_cli.models.layers import ChannelsLast, Normalise
        from mtl_cli.models.residual import ResidualBlock, convolution

        first = self.channels[0] if self.channels else 16
        layers: list[nn.Module] = [
            Normalise(spec.center, spec.scale), ChannelsLast(),
            convolution(spec.shape[0], first), nn.BatchNorm2d(first), nn.ReLU(),
        ]  # fmt: skip
        inputs, last = first, layers[2]
        for stage, outputs in enumerate(self.channels):
            for block in range(self.blocks):
                residual = ResidualBlock(inputs, outputs, stride=2 if stage and not block else 1)
                layers.append(residual)
                inputs, last = outputs, residual.second
        return Trunk(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), inputs, last)
