"""Learning rates of their own for the network's parts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from mtl_cli.models.network import Network
from mtl_cli.training.optimizers import LearningRates

Groups = Iterable[nn.Parameter] | list[dict[str, Any]]


def parameter_groups(network: Network, optimizer: Any) -> Groups:
    """Return the network's parameters, in groups where the optimizer's config does not have them all learn at ``lr``.

    The first group learns at ``lr``: the heads, and everything else outside the trunk.
    """
    lr: float = optimizer.lr
    scale: LearningRates = optimizer.lr_scale
    if scale.trunk == scale.decay == 1:
        return network.parameters()
    rates: dict[int, float] = {}
    for trunk in network.trunks():
        for depth, layer in enumerate(reversed(layers(trunk))):
            rates |= {id(parameter): lr * scale.trunk * scale.decay**depth for parameter in layer}
    groups: dict[float, list[nn.Parameter]] = {lr: []}
    for parameter in network.parameters():
        groups.setdefault(rates.get(id(parameter), lr), []).append(parameter)
    return [{"params": parameters, "lr": rate} for rate, parameters in groups.items()]


def layers(module: nn.Module) -> list[list[nn.Parameter]]:
    """Return the parameters of a trunk's layers, from the inputs on.

    A layer is an entry of a ``ModuleList``, such as a transformer's block, or of a ``Sequential``; one that has vectors
    only, such as a norm, belongs to the layer below it.
    """
    found: list[list[nn.Parameter]] = []
    for parameters in _pieces(module):
        if found and all(parameter.dim() < 2 for parameter in parameters):
            found[-1] += parameters
        else:
            found.append(parameters)
    return found


def _pieces(module: nn.Module) -> list[list[nn.Parameter]]:
    if isinstance(module, nn.ModuleList):
        return [own for child in module if (own := list(child.parameters()))]
    if isinstance(module, nn.Sequential) or any(isinstance(inner, nn.ModuleList) for inner in module.modules()):
        direct = list(module.parameters(recurse=False))
        return [*([direct] if direct else []), *(piece for child in module.children() for piece in _pieces(child))]
    own = list(module.parameters())
    return [own] if own else []
