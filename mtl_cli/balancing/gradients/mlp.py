"""The tasks' gradients through a plain chain of layers, all in one pass; their weighted sum goes the same way later."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from mtl_cli.balancing.backward import Roots
from mtl_cli.balancing.boundary import HeadBoundary
from mtl_cli.balancing.chain import Chain, Part, is_chain
from mtl_cli.balancing.gradients.factored import factored_gramian, is_worth_it
from mtl_cli.balancing.gradients.reference import Reference, products
from mtl_cli.balancing.model import SharedModel
from mtl_cli.data.inputs import Inputs

SMALL = 65_536
"""Numbers of gradients up to which their products are taken together."""


class Stack(Reference):
    """Reference, but with one pass for all tasks where the model runs as a plain stack without hooks.

    Parameters
    ----------
    model : SharedModel
        For which ``is_plain_stack`` holds.
    """

    name = "mlp"

    def __init__(self, model: SharedModel) -> None:
        super().__init__(model)
        heads = {module for head in model.heads.values() for module in head.modules()}
        self._front, chain = _split(model)
        self._chain = Chain(chain, [module for module in model.modules() if module not in heads])
        self._ran = False
        self._known: list[Part] | None = None  # the tasks' gradients, once they were computed

    def forward(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        plain = isinstance(inputs, torch.Tensor) and inputs.dim() == 2 and inputs.layout == torch.strided
        self._ran = plain and not self._chain.is_hooked() and self.model.stack() == [*self._front, *self._chain.modules]
        self.name, self._known = Stack.name if self._ran else Reference.name, None
        if not self._ran:
            return super().forward(inputs)
        assert isinstance(inputs, torch.Tensor)
        with torch.no_grad():
            z = inputs
            for module in self._front:
                z = module(z)
            return dict.fromkeys(self.model.heads, self._chain.run(z))

    def norms(self, boundary: HeadBoundary) -> torch.Tensor:
        if not self._ran:
            return super().norms(boundary)
        (layer,) = self.model.last_shared_layers
        parts = self._parts(boundary, self._chain.modules.index(layer))
        part = next(part for part in parts if part.parameter is layer.weight)
        found: torch.Tensor = torch.linalg.vector_norm(part.full().flatten(1), dim=1)
        return found

    def gramian(self, boundary: HeadBoundary) -> torch.Tensor:
        if not self._ran:
            return super().gramian(boundary)
        tasks, small, known = len(boundary.outputs), [], []
        total = boundary.representations[0].gradients.new_zeros(tasks, tasks)
        for part in self._parts(boundary):
            if part.inputs is not None and is_worth_it(len(part.inputs), part.parameter, tasks):
                total += factored_gramian(part.inputs, part.gradients)
            else:
                part = Part(part.parameter, part.full())
                rows = part.gradients.flatten(1)
                if rows.numel() > SMALL:
                    total += products(rows)
                else:
                    small.append(rows)
            known.append(part)
        self._known = known
        return total + products(torch.cat(small, 1)) if small else total

    def jacobian(self, boundary: HeadBoundary) -> torch.Tensor:
        if not self._ran:
            return super().jacobian(boundary)
        rows = {id(part.parameter): part.full().flatten(1) for part in self._parts(boundary)}
        return torch.cat([rows[id(parameter)] for parameter in self.parameters], 1)

    def weighted(self, boundary: HeadBoundary, weights: torch.Tensor) -> Roots:
        if self._known is None:
            return super().weighted(boundary, weights)
        known, self._known = self._known, None
        self._chain.clear()
        sums = [torch.tensordot(weights.to(part.gradients.dtype), part.gradients, 1) for part in known]
        return [(part.parameter, part._replace(gradients=own).full()) for part, own in zip(known, sums, strict=True)]

    def through(self, roots: Roots) -> Roots:
        if not self._ran:
            return roots
        found: Roots = [(part.parameter, part.full()) for parts, _ in self._chain.back(roots[0][1]) for part in parts]
        self._chain.clear()
        return found

    def _parts(self, boundary: HeadBoundary, to: int | None = None) -> Iterator[Part]:
        for parts, _ in self._chain.back(boundary.representations[0].gradients, to):
            yield from parts


def is_plain_stack(model: SharedModel) -> bool:
    """Whether the model's shared layers are a plain chain with parameters of its own."""
    _, chain = _split(model)
    heads = {id(p) for head in model.heads.values() for p in head.parameters()}
    return is_chain(chain) and heads.isdisjoint(id(p) for module in chain for p in module.parameters())


def _split(model: SharedModel) -> tuple[list[nn.Module], list[nn.Module]]:
    """Return the first modules of the stack that have no parameters, and the others: no gradient goes to the first."""
    stack = model.stack() or []
    first = next((i for i, module in enumerate(stack) if any(True for _ in module.parameters())), len(stack))
    return stack[:first], stack[first:]
