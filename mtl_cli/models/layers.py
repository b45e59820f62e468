"""The stacks of layers that trunks and heads are made of."""

from __future__ import annotations

from torch import nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "leaky_relu": nn.LeakyReLU,
}
NORMS: dict[str, type[nn.Module]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


def mlp_layers(
    inputs: int, hidden: list[int], activation: str, norm: str = "none", dropout: float = 0.0
) -> tuple[nn.Sequential, list[nn.Linear]]:
    """Return a stack of linear layers with what follows each, and the linear layers alone."""
    layers: list[nn.Module] = []
    linears: list[nn.Linear] = []
    for width in hidden:
        linears.append(nn.Linear(inputs, width))
        layers.append(linears[-1])
        if norm != "none":
            layers.append(NORMS[norm](width))
        layers.append(ACTIVATIONS[activation]())
        if dropout > 0:
            layers.append(nn.Dropout(dropout))
        inputs = width
    return nn.Sequential(*layers), linears
