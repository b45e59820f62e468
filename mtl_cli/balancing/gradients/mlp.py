"""The tasks' gradients through a plain stack of layers, all in one pass.

In a stack, where each layer reads what the one before it returned, the T gradients travel as one tensor of shape
(T, n, width): a linear layer sends them all back in one product, where T passes of autograd would take T of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import nn

from mtl_cli.balancing import engine
from mtl_cli.balancing.boundary import HeadBoundary
from mtl_cli.balancing.gradients.factored import factored_gramian, is_worth_it
from mtl_cli.balancing.gradients.hooks import is_hooked
from mtl_cli.balancing.gradients.reference import Reference, products
from mtl_cli.balancing.mixed_precision import full
from mtl_cli.balancing.model import SharedModel
from mtl_cli.data.inputs import Inputs

ELEMENTWISE = (nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.LeakyReLU, nn.Dropout)
"""Modules whose derivative is a number per input."""

NORMS = (nn.LayerNorm, nn.BatchNorm1d)

SMALL = 65_536
"""Numbers of gradients up to which their products are taken together."""


class Call(NamedTuple):
    """A module of the stack, and what it read and returned."""

    module: nn.Module
    inputs: torch.Tensor
    output: torch.Tensor


class Part(NamedTuple):
    """The tasks' gradients on a parameter: rows of ``gradients``, (T, p); or δ_tᵀ A, of δ, (T, n, outputs), and A."""

    parameter: torch.Tensor
    gradients: torch.Tensor
    inputs: torch.Tensor | None = None

    def rows(self) -> torch.Tensor:
        """Return the gradients, shape (T, p)."""
        if self.inputs is None:
            return self.gradients
        inputs = self.inputs.expand(len(self.gradients), -1, -1)
        return torch.bmm(self.gradients.transpose(1, 2), inputs).flatten(1)


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
        self._modules = list(model.modules())
        self._calls: list[Call] = []

    def forward(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        self._calls = []
        stack = self.model.stack()
        plain = isinstance(inputs, torch.Tensor) and inputs.dim() == 2 and inputs.layout == torch.strided
        if stack is None or not plain or is_hooked(*self._modules):
            self.name = Reference.name
            return super().forward(inputs)
        self.name, value = Stack.name, inputs
        assert isinstance(value, torch.Tensor)
        for module in stack:
            output = module(value)
            self._calls.append(Call(module, value, output))
            value = output
        return dict.fromkeys(self.model.heads, value)

    def norms(self, boundary: HeadBoundary) -> torch.Tensor:
        (layer,) = self.model.last_shared_layers
        if not self._calls:
            return super().norms(boundary)
        part = next(part for part in self._parts(boundary) if part.parameter is layer.weight)
        found: torch.Tensor = torch.linalg.vector_norm(part.rows(), dim=1)
        return found

    def gramian(self, boundary: HeadBoundary) -> torch.Tensor:
        if not self._calls:
            return super().gramian(boundary)
        tasks = len(boundary.outputs)
        total, small = boundary.representations[0].gradients.new_zeros(tasks, tasks), []
        for part in self._parts(boundary):
            if part.inputs is not None and is_worth_it(len(part.inputs), part.parameter, tasks):
                total += factored_gramian(part.inputs, part.gradients)
            elif part.parameter.numel() * tasks > SMALL:
                total += products(part.rows())
            else:
                small.append(part.rows())
        return total + products(torch.cat(small, 1)) if small else total

    def jacobian(self, boundary: HeadBoundary) -> torch.Tensor:
        if not self._calls:
            return super().jacobian(boundary)
        rows = {id(part.parameter): part.rows() for part in self._parts(boundary)}
        return torch.cat([rows[id(parameter)] for parameter in self.parameters], 1)

    def _parts(self, boundary: HeadBoundary) -> Iterator[Part]:
        """Yield the gradients on each parameter, the last layer's first."""
        calls, self._calls = self._calls, []
        trained = [any(p.requires_grad for p in call.module.parameters()) for call in calls]
        first = trained.index(True) if any(trained) else len(calls)
        deltas = boundary.representations[0].gradients
        for position in range(len(calls) - 1, first - 1, -1):
            module, inputs, output = calls[position]
            if isinstance(module, nn.Linear):
                yield from _of_linear(module, full(inputs), deltas)
                if position > first:
                    deltas = deltas @ module.weight
            elif isinstance(module, NORMS):
                parameters = [p for p in module.parameters() if p.requires_grad]
                wanted = [*parameters, inputs] if position > first else parameters
                found = torch.autograd.grad(output, wanted, deltas.to(output.dtype), True, is_grads_batched=True)
                yield from (Part(p, full(rows.flatten(1))) for p, rows in zip(parameters, found, strict=False))
                deltas = full(found[-1])
            elif isinstance(module, nn.ReLU):
                deltas = deltas * full(output).sign()
            else:
                (slope,) = engine.grad(output, [inputs], torch.ones_like(output))
                assert slope is not None
                deltas = deltas * full(slope)


def _of_linear(layer: nn.Linear, inputs: torch.Tensor, deltas: torch.Tensor) -> Iterator[Part]:
    if layer.weight.requires_grad:
        yield Part(layer.weight, deltas, inputs)
    if layer.bias is not None and layer.bias.requires_grad:
        yield Part(layer.bias, deltas.sum(1))


def is_plain_stack(model: SharedModel) -> bool:
    """Whether the model's shared layers are a stack of known modules, each there once, with parameters of its own."""
    stack = model.stack()
    if not stack or not all(map(_is_known, stack)) or len({id(module) for module in stack}) < len(stack):
        return False
    parameters = [id(p) for module in stack for p in module.parameters()]
    heads = {id(p) for head in model.heads.values() for p in head.parameters()}
    return len(set(parameters)) == len(parameters) and heads.isdisjoint(parameters)


def _is_known(module: nn.Module) -> bool:
    kind = type(module)  # exactly: a subclass may do anything
    if kind in (nn.ReLU, nn.SiLU, nn.LeakyReLU, nn.Dropout):
        return not module.inplace
    return kind is nn.Linear or kind in ELEMENTWISE or kind in NORMS
