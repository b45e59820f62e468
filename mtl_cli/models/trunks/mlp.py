"""A multi-layer perceptron as the shared trunk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mtl_cli.config.convert import PositiveInt, Probability
from mtl_cli.config.registry import component
from mtl_cli.config.schema import Activation
from mtl_cli.models.trunk import Trunk


@component("trunk", "mlp")
@dataclass(frozen=True, kw_only=True)
class MLP:
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

    @property
    def shares_layers(self) -> bool:
        """Whether there is any shared layer, which balancers that look at gradients need."""
        return bool(self.hidden)

    @property
    def smallest_batch(self) -> int:
        """Return the fewest rows a training step can take: batch norm has no variance for one."""
        return 2 if self.norm == "batch" and self.hidden else 1

    def build(self, inputs: int) -> Trunk:
        """Build the trunk for rows of ``inputs`` numbers."""
        from mtl_cli.models.layers import mlp_layers

        layers, linears = mlp_layers(inputs, self.hidden, self.activation, self.norm, self.dropout)
        return Trunk(layers, self.hidden[-1] if self.hidden else inputs, linears[-1] if linears else None)
