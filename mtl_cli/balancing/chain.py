"""A chain of layers, run forward and back without autograd's graph; for one gradient, or for those of T tasks at once.

Each layer reads what the one before it returned, so that T gradients travel as one tensor of shape (T, n, width): a
linear layer sends them all back in one product, where T passes of autograd would take T of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.modules import module as torch_module

from mtl_cli.balancing.mixed_precision import full

ELEMENTWISE = (nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.LeakyReLU, nn.Identity, nn.Dropout)
"""Modules whose derivative is a number per input."""

NORMS = (nn.LayerNorm, nn.BatchNorm1d)


class Part(NamedTuple):
    """The gradients on a parameter: as they are, (T, *shape); or as δᵀ A, of δ, (T, n, outputs), and A.

    Without the first dimension it is one gradient.
    """

    parameter: nn.Parameter
    gradients: torch.Tensor
    inputs: torch.Tensor | None = None

    def full(self) -> torch.Tensor:
        """Return the gradients, shape (T, *shape)."""
        return self.gradients if self.inputs is None else self.gradients.transpose(-1, -2) @ self.inputs


class Chain:
    """Layers that are run one after the other. All methods are to be called without gradients.

    Parameters
    ----------
    modules : sequence of Module
        For which ``is_chain`` holds.
    around : iterable of Module
        What contains them: a hook on it sees what goes through them, too.
    """

    def __init__(self, modules: Sequence[nn.Module], around: Iterable[nn.Module] = ()) -> None:
        self.modules = list(modules)
        self._parameters = [list(module.parameters()) for module in modules]
        self._watched = [*modules, *around]
        self._calls: list[tuple[nn.Module, torch.Tensor, torch.Tensor]] = []

    def is_hooked(self) -> bool:
        """Whether a hook may see, or change, what the layers read, return or send back."""
        return is_hooked(*self._watched)

    def run(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the last layer's output, without a graph.

        A ReLU's slope, and that of dropout behind it, can be told from what they return. Other modules than linear ones
        get a graph of their own, for autograd to go back through.
        """
        self._calls, before = [], None
        for module in self.modules:
            drops = isinstance(module, nn.Dropout) and isinstance(before, nn.ReLU) and module.p < 1
            if drops or isinstance(module, nn.Linear | nn.ReLU):
                output = module(inputs)
            else:
                with torch.enable_grad():
                    inputs = inputs.detach().requires_grad_()
                    output = module(inputs)
            self._calls.append((module, inputs, output))
            inputs, before = output, module
        return inputs.detach()

    def back(self, deltas: torch.Tensor, to: int | None = None) -> Iterator[tuple[list[Part], torch.Tensor]]:
        """Yield for each layer, the last one's first, the gradients on its parameters, and those at what it read.

        Parameters
        ----------
        deltas : Tensor of shape (T, n, width), or (n, width)
            At the output. It stays as it is; what is yielded may be overwritten when the pass goes on.
        to : int, optional
            The layer to go back to: by default the first that is trained, whose second value means nothing; -1: inputs.
        """
        trained = [[p for p in own if p.requires_grad] for own in self._parameters]
        first = next((i for i, own in enumerate(trained) if own), len(trained)) if to is None else to
        given = deltas
        for position in range(len(self._calls) - 1, max(first, 0) - 1, -1):
            module, inputs, output = self._calls[position]
            parts: list[Part] = []
            if isinstance(module, nn.Linear):
                for p in trained[position]:
                    weight = p is module.weight
                    parts.append(Part(p, deltas, full(inputs)) if weight else Part(p, deltas.sum(-2)))
                if position > first:
                    deltas = deltas @ module.weight
            elif isinstance(module, NORMS):
                batched = deltas.dim() == 3
                wanted = [*trained[position], inputs]
                found = torch.autograd.grad(output, wanted, deltas.to(output.dtype), True, is_grads_batched=batched)
                parts += [Part(p, full(rows)) for p, rows in zip(trained[position], found, strict=False)]
                deltas = full(found[-1])
            elif output.requires_grad:
                with torch.enable_grad():
                    total = output.sum()  # whose gradient at the inputs is each output's at its own input
                (slope,) = torch.autograd.grad(total, inputs, retain_graph=True)
                deltas = deltas * full(slope)
            else:
                slope = full(output).sign()
                if isinstance(module, nn.Dropout) and module.training:
                    slope = slope / (1 - module.p)
                deltas = deltas * slope if deltas is given else deltas.mul_(slope)
            yield parts, deltas

    def clear(self) -> None:
        """Let go of the tensors."""
        self._calls = []


def is_chain(modules: Sequence[nn.Module] | None) -> bool:
    """Whether these are known modules, each there once, with parameters that are there once."""
    if not modules or not all(map(_is_known, modules)) or len({id(module) for module in modules}) < len(modules):
        return False
    parameters = [id(p) for module in modules for p in module.parameters()]
    return len(set(parameters)) == len(parameters)


def _is_known(module: nn.Module) -> bool:
    kind = type(module)  # exactly: a subclass may do anything
    overwrites = kind in (nn.ReLU, nn.SiLU, nn.LeakyReLU, nn.Dropout) and bool(module.inplace)
    return kind in (nn.Linear, *ELEMENTWISE, *NORMS) and not overwrites


def is_hooked(*modules: nn.Module) -> bool:
    """Whether a hook is on one of the modules, on a parameter of theirs, or on all modules that there are.

    Such a hook may see, or change, what a module reads, returns or sends back, or a parameter's gradient.
    """
    if torch_module._has_any_global_hook():  # type: ignore[no-untyped-call]
        return True
    for module in modules:
        if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks:
            return True
        for parameter in module._parameters.values():
            if parameter is not None and parameter._backward_hooks:
                return True
    return False
