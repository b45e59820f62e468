"""Networks of one plain architecture as one: each layer is a batched matrix product over the members.

All parameters lie in one tensor, a row a member. A row is contiguous, so that a fused optimizer, which takes no notice
of strides, can be given it; the members' own networks see the same memory, and can be used as if each stood alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from mtl_cli.models.bins import Bins
from mtl_cli.models.layers import ACTIVATIONS
from mtl_cli.models.network import Network
from mtl_cli.training.together.chain import BatchedChain, ByPlace

PLAIN = (nn.Linear, nn.Dropout, *ACTIVATIONS.values(), Bins)
"""The layers that can be batched; they keep no state beside their parameters, and bins where they come first."""


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
    return None if any(isinstance(layer, Bins) for layer in found[1:]) else found


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
        heads = [plain_layers([head]) for head in first.heads.values()]
        assert shared is not None
        parameters = list(first.parameters())
        self._shapes = [parameter.shape for parameter in parameters]
        places = {id(parameter): place for place, parameter in enumerate(parameters)}
        self._trunk = BatchedChain([layer for layer in shared if not isinstance(layer, Bins)], places)
        self._heads = [BatchedChain(layers, places) for layers in heads if layers is not None]
        self._tasks = list(first.heads)
        self._shared = [places[id(parameter)] for parameter in first.shared_parameters()]
        last = first.last_shared_layers
        self._last = self._trunk.layers.index(last[0]) if last else 0
        self._weight_of_last = places[id(last[0].weight)] if last else 0
        self._of_heads: list[ByPlace] = []
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
        bins = [module for network in networks for module in network.modules() if isinstance(module, Bins)]
        self._bins = Bins.of_members(bins) if bins else None
        self._leaves = [own.view(len(networks), *shape) for own, shape in columns]

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
        """Return each task's outputs in training mode, (M, n, outputs), without a graph.

        Parameters
        ----------
        inputs : Tensor of shape (M, n, features)
        lengths : sequence of int
            How many of a member's n rows there are; the others only fill.
        generators : sequence of Generator
            Of each member's dropout: what it draws is what its network would have drawn alone.
        """
        z = self._trunk.run(inputs if self._bins is None else self._bins(inputs), self._leaves, lengths, generators)
        outputs = [head.run(z, self._leaves, lengths, generators) for head in self._heads]
        return dict(zip(self._tasks, outputs, strict=True))

    def back_through_heads(self, errors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return each task's gradient at the representation, (M, n, T, width), for those at its outputs."""
        found = [head.back(error.unsqueeze(2), through=True) for head, error in zip(self._heads, errors, strict=True)]
        self._of_heads = [parts for parts, _ in found]
        return torch.cat([below for _, below in found], 2)

    def norms(self, gradients: torch.Tensor) -> torch.Tensor:
        """Return ‖∇_W L_t‖ at the last shared layer, (M, T), for gradients at the representation."""
        parts, _ = self._trunk.back(gradients, to=self._last)
        found: torch.Tensor = torch.linalg.vector_norm(parts[self._weight_of_last], dim=2)
        return found

    def jacobian(self, gradients: torch.Tensor) -> torch.Tensor:
        """Return the tasks' gradients on the shared parameters, (M, T, P of them)."""
        parts, _ = self._trunk.back(gradients)
        return torch.cat([parts[place] for place in self._shared], 2)

    def put_gradients(
        self,
        gradients: torch.Tensor,
        weights: torch.Tensor,
        of_heads: torch.Tensor | None,
        jacobian: torch.Tensor | None,
        direction: torch.Tensor | None,
    ) -> None:
        """Put into ``gradients`` what the members are to be trained with.

        Parameters
        ----------
        gradients : Tensor of shape (M, n, T, width)
            The tasks', at the representation.
        weights : Tensor of shape (M, T)
            Of the tasks in the shared parameters' gradient.
        of_heads : Tensor of shape (M, T), optional
            Of each head's own; None says 1.
        jacobian : Tensor of shape (M, T, P), optional
            The tasks' gradients on the shared parameters, where they are known.
        direction : Tensor of shape (M, P), optional
            What the shared parameters get in place of the weighted sum.
        """
        found: ByPlace = {}
        for task, parts in enumerate(self._of_heads):
            factor = None if of_heads is None else of_heads[:, task, None]
            for place, part in parts.items():
                found[place] = part.flatten(1) if factor is None else part.flatten(1) * factor
        if direction is None and jacobian is not None:
            direction = (weights.unsqueeze(1) @ jacobian).squeeze(1)
        if direction is not None:
            sizes = [self._shapes[place].numel() for place in self._shared]
            found |= dict(zip(self._shared, torch.split_with_sizes(direction, sizes, 1), strict=True))
        else:
            total = (gradients * weights[:, None, :, None]).sum(2, keepdim=True)
            parts, _ = self._trunk.back(total)
            found |= {place: part.flatten(1) for place, part in parts.items()}
        torch.cat([found[place] for place in range(len(self._shapes))], 1, out=self.gradients)


Outputs = Mapping[str, torch.Tensor]
