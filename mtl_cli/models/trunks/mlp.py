"""A multi-layer perceptron as the shared trunk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from mtl_cli.config.convert import PositiveInt, Probability
from mtl_cli.config.registry import component
from mtl_cli.config.schema import Activation
from mtl_cli.models.trunk import Trunk, TrunkKeys

if TYPE_CHECKING:
    from mtl_cli.data.inputs import InputSpec


@component("trunk", "mlp")
@dataclass(frozen=True, kw_only=True)
class MLP(TrunkKeys):
    """Linear layers, each followed by a norm, an activation and dropout.

    Parameters
    ----------
    hidden : list of int
        The width of each layer; empty passes the inputs straight to the heads.
    activation : {"relu", "gelu", "silu", "tanh", "leaky_relu"}
    norm : {"none", "batch", "layer"}
    dropout : float
        The share of units set to zero in training.
    """

    hidden: list[PositiveInt] = field(default_factory=lambda: [128, 64])
    activation: Activation = "relu"
    norm: Literal["none", "batch", "layer"] = "none"
    dropout: Probability = 0.2

    takes: ClassVar[tuple[str, ...]] = ("features", "image")

    @property
    def shares_layers(self) -> bool:
        """Whether there is any shared layer, which balancers that look at gradients need."""
        return bool(self.hidden)

    @property
    def smallest_batch(self) -> int:
        """Return the fewest rows a training step can take: batch norm has no variance for one."""
        return 2 if self.norm == "batch" and self.hidden else 1

    def build(self, spec: InputSpec) -> Trunk:
        """Build the trunk for rows of features, or for images, which it reads as one long row."""
        from torch import nn

        from mtl_cli.models.layers import Normalise, mlp_layers

        layers, linears = mlp_layers(spec.width, self.hidden, self.activation, self.norm, self.dropout)
        if spec.kind == "image":
            layers = nn.Sequential(Normalise(spec.center, spec.scale), nn.Flatten(), *layers)
        return Trunk(layers, self.hidden[-1] if self.hidden else spec.width, linears[-1] if linears else None)
