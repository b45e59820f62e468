"""A small residual network as the shared trunk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.config.convert import PositiveInt
from mtl_cli.config.errors import Problem
from mtl_cli.config.registry import component
from mtl_cli.models.trunk import Trunk, TrunkConfig

if TYPE_CHECKING:
    from mtl_cli.data.inputs import InputSpec


@component("trunk", "resnet")
@dataclass(frozen=True, kw_only=True)
class ResNet(TrunkConfig):
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

    accepts: ClassVar[tuple[str, ...]] = ("image",)
    can_scale: ClassVar[bool] = True

    @property
    def smallest_batch(self) -> int:
        return 2

    @property
    def output_width(self) -> int:
        """The width of the representation."""
        return self.channels[-1]

    def scaled(self, factor: float) -> ResNet:
        """Return the same with layers ``factor`` times as wide."""
        return replace(self, channels=[max(1, round(width * factor)) for width in self.channels])

    def check(self, tasks: Sequence[str]) -> Iterator[Problem]:
        if not self.channels:
            yield Problem("model.trunk.channels", "names no stage", "[16, 32, 64]")

    def build(self, spec: InputSpec) -> Trunk:
        """Build the trunk."""
        from torch import nn

        from mtl_cli.models.layers import ChannelsLast, Normalise
        from mtl_cli.models.residual import ResidualBlock, convolution

        first = self.channels[0]
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
