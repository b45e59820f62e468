"""Networks of one plain architecture as one: each layer is a batched matrix product over the members.

All parameters lie in one tensor, a row a member. A row is contiguous, so that a fused optimiser, which takes no notice
of strides, can be given it; the members' own networks see the same memory, and can be used as if each stood alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from mtl_cli.models.layers import ACTIVATIONS
from mtl_cli.models.network import Network

PLAIN = (nn.Linear, nn.Dropout, *ACTIVATIONS.values())
"""The layers that can be batched; they keep no state beside their parameters."""


def plain_layers(modules: Iterable[nn.Module] | None) -> list[nn.Module] | None:
    """Return the layers of a stack, one after the other; None if there is another than a plain one."""
    if modules is None:
        return None
    found: list[nn.Module] = []
    for module in modules:
        inner = plain_layers(module) if type(module) is nn.Sequential else [module]
        if inner is None or any(type(layer) not in PLAIN for layer in inner):
            return None
        found += inner
    return found


class BatchedNetwork:
    """M networks of one architecture, with P parameters each.

    Parameters
    ----------
    networks : sequence of Network
        Of plain layers. Their parameters become views into ``values``.

    Attributes
    ----------
    values, gradients : Tensor of shape (M, P)
    """

    def __init__(self, networks: Sequence[Network]) -> None:
        first = networks[0]
        shared = plain_layers(first.stack())
        heads = {name: plain_layers([head]) for name, head in first.heads.items()}
        assert shared is not None
        self._shared = shared
        self._heads: dict[str, list[nn.Module]] = {name: layers for name, layers in heads.items() if layers is not None}
        self._shapes = [parameter.shape for parameter in first.parameters()]
        self._names = {id(parameter): i for i, parameter in enumerate(first.parameters())}
        self._place(list(networks))

    def _place(self, networks: list[Network]) -> None:
        self.networks = networks
        rows = [torch.cat([p.detach().flatten() for p in network.parameters()]) for network in networks]
        self.values = torch.stack(rows)
        self.gradients = torch.zeros_like(self.values)
        sizes = [shape.numel() for shape in self._shapes]
        for network, row in zip(networks, self.values, strict=True):
            for parameter, own in zip(network.parameters(), torch.split_with_sizes(row, sizes), strict=True):
                parameter.data = own.view(parameter.shape)
        columns = zip(torch.split_with_sizes(self.values, sizes, 1), self._shapes, strict=True)
        self._leaves = [own.view(len(networks), *shape).requires_grad_() for own, shape in columns]

    def split(self, row: torch.Tensor) -> list[torch.Tensor]:
        """Return the parameters that lie in a row, as views of it."""
        pieces = torch.split_with_sizes(row, [shape.numel() for shape in self._shapes])
        return [piece.view(shape) for piece, shape in zip(pieces, self._shapes, strict=True)]

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all members but these; the others' networks keep their weights in memory of their own."""
        for row, network in enumerate(self.networks):
            if row not in rows:
                for parameter in network.parameters():
                    parameter.data = parameter.data.clone()
        self._place([self.networks[row] for row in rows])

    def __call__(self, inputs: torch.Tensor, lengths: Sequence[int], generators: Sequence[torch.Generator]) -> Outputs:
        """Return each task's outputs in training mode, (M, n, outputs).

        Parameters
        ----------
        inputs : Tensor of shape (M, n, features)
        lengths : sequence of int
            How many of a member's n rows there are; the others only fill.
        generators : sequence of Generator
            Of each member's dropout: what it draws is what its network would have drawn alone.
        """
        z = self._run(self._shared, inputs, lengths, generators)
        return {name: self._run(layers, z, lengths, generators) for name, layers in self._heads.items()}

    def _run(
        self, layers: list[nn.Module], z: torch.Tensor, lengths: Sequence[int], generators: Sequence[torch.Generator]
    ) -> torch.Tensor:
        for layer in layers:
            if isinstance(layer, nn.Linear):
                weight = self._leaves[self._names[id(layer.weight)]].transpose(1, 2)
                bias = None if layer.bias is None else self._leaves[self._names[id(layer.bias)]].unsqueeze(1)
                z = torch.bmm(z, weight) if bias is None else torch.baddbmm(bias, z, weight)
            elif isinstance(layer, nn.Dropout):
                z = z * _kept(z, layer.p, lengths, generators)
            else:
                z = layer(z)
        return z

    def backward(self, losses: torch.Tensor, upstream: torch.Tensor) -> None:
        """Put the gradients of Σ upstream · losses into ``gradients``.

        Their sum, and not ``upstream`` as ``grad_outputs``: to check that, torch would import its compiler, a second.
        """
        found = torch.autograd.grad((losses * upstream).sum(), self._leaves)
        torch.cat([gradient.flatten(1) for gradient in found], 1, out=self.gradients)


Outputs = Mapping[str, torch.Tensor]


def _kept(z: torch.Tensor, p: float, lengths: Sequence[int], generators: Sequence[torch.Generator]) -> torch.Tensor:
    """Return 1 / (1 − p) for the units that dropout keeps, 0 for the others; drawn for each member's own rows."""
    kept = torch.zeros_like(z, requires_grad=False)
    for own, length, generator in zip(kept, lengths, generators, strict=True):
        own[:length].bernoulli_(1 - p, generator=generator)
    return kept.div_(1 - p)
