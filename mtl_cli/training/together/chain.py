"""Plain layers of several members, run forward and back without autograd's graph: each layer is a batched product.

``balancing/chain.py`` with a leading member dimension. The gradients of T tasks lie beside each other in a row, (M, n,
T, width), so that they go back through a layer, and onto its weight, in one product of each member's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

ByPlace = dict[int, torch.Tensor]
"""Gradients by the parameter's place among the network's, (M, T, numbers)."""


class BatchedChain:
    """Layers that are run one after the other, with the parameters of M members. To be called without gradients.

    Parameters
    ----------
    layers : sequence of Module
        Of one of the members: linear ones, activations, dropout.
    places : mapping of int to int
        Each parameter's place among the network's, by its id.
    """

    def __init__(self, layers: Sequence[nn.Module], places: Mapping[int, int]) -> None:
        self.layers = [layer for layer in layers if not isinstance(layer, nn.Identity)]
        self._places = [[places[id(parameter)] for parameter in layer.parameters()] for layer in self.layers]
        self._first = next((i for i, layer in enumerate(self.layers) if isinstance(layer, nn.Linear)), len(self.layers))
        self._kept: list[torch.Tensor | None] = []  # what a linear layer read, or another's slope
        self._values: Sequence[torch.Tensor] = ()

    def run(
        self,
        z: torch.Tensor,
        values: Sequence[torch.Tensor],
        lengths: Sequence[int],
        generators: Sequence[torch.Generator],
    ) -> torch.Tensor:
        """Return the last layer's output in training mode, (M, n, width).

        Parameters
        ----------
        z : Tensor of shape (M, n, width)
        values : sequence of Tensor of shape (M, …)
            All parameters, by their places.
        lengths, generators
            As ``BatchedNetwork`` has them.
        """
        self._values, self._kept = values, []
        for layer, places in zip(self.layers, self._places, strict=True):
            if isinstance(layer, nn.Linear):
                self._kept.append(z)
                weight = values[places[0]].transpose(1, 2)
                z = (
                    torch.bmm(z, weight)
                    if len(places) == 1
                    else torch.baddbmm(values[places[1]].unsqueeze(1), z, weight)
                )
            elif isinstance(layer, nn.Dropout):
                slope = _dropout(z, layer.p, lengths, generators) if layer.p > 0 else None
                self._kept.append(slope)
                z = z if slope is None else z * slope
            elif isinstance(layer, nn.ReLU):
                z = z.relu()
                self._kept.append(z.sign())
            else:
                with torch.enable_grad():
                    inputs = z.detach().requires_grad_()
                    output = layer(inputs)
                    total = output.sum()  # whose gradient at the inputs is each output's at its own input
                self._kept.append(torch.autograd.grad(total, inputs)[0])
                z = output.detach()
        return z

    def back(self, deltas: torch.Tensor, to: int = 0, through: bool = False) -> tuple[ByPlace, torch.Tensor]:
        """Return the gradients on the parameters, and those at what the chain read, if they are to go ``through`` it.

        Parameters
        ----------
        deltas : Tensor of shape (M, n, T, width)
            At the output.
        to : int
            The layer to go back to.
        through : bool
        """
        found: ByPlace = {}
        members, rows, tasks = deltas.shape[:3]
        for position in range(len(self.layers) - 1, to - 1, -1):
            kept, places = self._kept[position], self._places[position]
            if places and kept is not None:
                deltas = deltas.contiguous()
                products = torch.bmm(deltas.view(members, rows, -1).transpose(1, 2), kept)
                found[places[0]] = products.view(members, tasks, -1)
                if len(places) > 1:
                    found[places[1]] = deltas.sum(1)
                if through or position > max(to, self._first):
                    below = torch.bmm(deltas.view(members, rows * tasks, -1), self._values[places[0]])
                    deltas = below.view(members, rows, tasks, -1)
            elif kept is not None:
                deltas = deltas * kept.unsqueeze(2)
        return found, deltas


def _dropout(z: torch.Tensor, p: float, lengths: Sequence[int], generators: Sequence[torch.Generator]) -> torch.Tensor:
    """Return 1 / (1 − p) for the units that are kept, 0 for the others; drawn for each member's own rows."""
    kept = torch.zeros_like(z)
    for own, length, generator in zip(kept, lengths, generators, strict=True):
        own[:length].bernoulli_(1 - p, generator=generator)
    return kept.div_(1 - p)
