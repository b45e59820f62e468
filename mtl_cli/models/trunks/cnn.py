"""A small convolutional network as the shared trunk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from mtl_cli.config.convert import PositiveInt, Probability
from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.registry import component
from mtl_cli.config.schema import Activation
from mtl_cli.models.trunk import Trunk, TrunkConfig

if TYPE_CHECKING:
    from mtl_cli.data.inputs import InputSpec


@component("trunk", "cnn")
@dataclass(frozen=True, kw_only=True)
class CNN(TrunkConfig):
    """After LeNet-5 (LeCun, Bottou, Bengio, Haffner 1998, doi 10.1109/5.726791), with what is usual today.

    Convolutions that keep the image's size, each followed by a norm, 2 × 2 max-pooling and an activation (in this
    order, which for ReLU is the same as the other, and has a quarter of the numbers to go through); then linear layers,
    each followed by an activation and dropout.

    Parameters
    ----------
    channels : list of int
        Of each convolution.
    kernel : int
        Its height and width, an odd number.
    hidden : list of int
        The width of each linear layer.
    activation : {"relu", "gelu", "silu", "tanh", "leaky_relu", "identity"}
    norm : {"none", "batch"}
        Behind each convolution.
    dropout : float
        The share of the linear layers' units set to zero in training.
    """

    channels: list[PositiveInt] = field(default_factory=lambda: [16, 32])
    kernel: PositiveInt = 5
    hidden: list[PositiveInt] = field(default_factory=lambda: [128])
    activation: Activation = "relu"
    norm: Literal["none", "batch"] = "none"
    dropout: Probability = 0.2

    accepts: ClassVar[tuple[str, ...]] = ("image",)
    staged: ClassVar[Literal["rows", "maps"] | None] = "maps"
    can_scale: ClassVar[bool] = True

    @property
    def shares_layers(self) -> bool:
        return bool(self.channels or self.hidden)

    @property
    def smallest_batch(self) -> int:
        return 2 if self.norm == "batch" and self.channels else 1

    @property
    def output_width(self) -> int | None:
        """The width of the representation; None if that depends on the images."""
        return self.hidden[-1] if self.hidden else None

    def scaled(self, factor: float) -> CNN:
        """Return the same with layers ``factor`` times as wide."""
        channels, hidden = ([max(1, round(w * factor)) for w in widths] for widths in (self.channels, self.hidden))
        return replace(self, channels=channels, hidden=hidden)

    def check(self, tasks: Sequence[str]) -> Iterator[Problem]:
        if self.kernel % 2 == 0:
            yield Problem("model.trunk.kernel", f"must be odd, not {self.kernel}", "3 and 5 are usual")

    def build(self, spec: InputSpec) -> Trunk:
        """Build the trunk. Raises UserError if the images are too small to be halved as often."""
        from torch import nn

        stages = self.stages(spec)
        shared = [stage.last_shared_layer for stage in stages if stage.last_shared_layer is not None]
        layers = [layer for stage in stages for layer in stage.module.children()]
        return Trunk(nn.Sequential(*layers), stages[-1].width, shared[-1] if shared else None)

    def stages(self, spec: InputSpec) -> list[Trunk]:
        """Build it a convolution at a time, and the linear layers, if any, as the last stage."""
        from torch import nn

        from mtl_cli.models.layers import ACTIVATIONS, ChannelsLast, Normalise, mlp_layers

        inputs, height, width = spec.shape
        found: list[Trunk] = []
        layers: list[nn.Module] = [Normalise(spec.center, spec.scale), ChannelsLast()]
        last: nn.Module | None = None
        for outputs in self.channels:
            if min(height, width) < 2:
                size = f"{spec.shape[1]} × {spec.shape[2]}"
                what = f"has {len(self.channels)} convolutions, each of which halves the image: too many for {size}"
                raise UserError("model.trunk.channels", what, "give fewer")
            if last is not None:
                found.append(Trunk(nn.Sequential(*layers), inputs, last))
                layers = []
            last = nn.Conv2d(inputs, outputs, self.kernel, padding=self.kernel // 2)
            norm = [nn.BatchNorm2d(outputs)] if self.norm == "batch" else []
            layers += [last, *norm, nn.MaxPool2d(2), ACTIVATIONS[self.activation]()]
            inputs, height, width = outputs, height // 2, width // 2
        if self.hidden and last is not None:
            found.append(Trunk(nn.Sequential(*layers), inputs, last))
            layers = []
        linear, linears = mlp_layers(inputs * height * width, self.hidden, self.activation, dropout=self.dropout)
        last = linears[-1] if linears else last
        out = self.hidden[-1] if self.hidden else inputs * height * width
        return [*found, Trunk(nn.Sequential(*layers, nn.Flatten(), *linear), out, last)]
