"""The tasks' gradients on the shared parameters, without K backward passes and without the whole Jacobian in memory.

From one forward pass in which each shared layer's input A was kept, and the gradients δ_t at the layers' outputs, a
linear layer's gradients are δ_tᵀ A, and likewise for the other layers that ``geometry_layers`` knows. The δ's come from
``geometry_stack`` where the trunk is a plain stack, and else from autograd, a pass per task that stops at the layers'
outputs; parameters of other layers, of layers that are used twice, and tied ones get their gradients in the same pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from mtl_cli.balancing.geometry_layers import is_known, parts, rows
from mtl_cli.balancing.geometry_parts import Dense, Part, norms, sizes
from mtl_cli.balancing.geometry_stack import as_stack, back
from mtl_cli.balancing.geometry_trace import Call, Trace, uses


class Root(NamedTuple):
    """A representation, and the gradients at it of the tasks that read it.

    Parameters
    ----------
    z : Tensor
    tasks : list of int
        Their numbers.
    deltas : Tensor of shape (n, tasks here, width)
        c_t = ∂L_t/∂z.
    """

    z: torch.Tensor
    tasks: list[int]
    deltas: torch.Tensor


@dataclass(frozen=True)
class TaskGradients:
    """The gradients g_t of T tasks below the cut, by parameter.

    Parameters
    ----------
    shared : list of Part
        On the shared parameters; one that is not here has no gradient.
    own : list of Part
        On parameters below the cut that are not shared, such as a task's own gate: they are trained on w_t L_t as the
        shared ones are, but are no part of the geometry.
    tasks : int
    """

    shared: list[Part]
    own: list[Part]
    tasks: int

    def gramian(self, like: torch.Tensor) -> torch.Tensor:
        """Return g_s · g_t, shape (T, T), of the type and on the device of ``like``."""
        total = like.new_zeros(self.tasks, self.tasks)
        for part in self.shared:
            total += part.gramian()
        return (total + total.T) / 2

    def jacobian(self, parameters: Sequence[nn.Parameter]) -> torch.Tensor:
        """Return the gradients side by side in the order of ``parameters``, shape (T, P)."""
        known = {id(part.parameter): part for part in self.shared}
        blocks = [known[id(p)].rows() if id(p) in known else p.new_zeros(self.tasks, p.numel()) for p in parameters]
        return torch.cat(blocks, 1)

    def accumulate(self, weights: torch.Tensor, shared: bool = True) -> None:
        """Add Σ_t w_t g_t to the parameters' ``.grad``; with ``shared`` false, only to those that are not shared."""
        for part in self.own + (self.shared if shared else []):
            add_gradient(part.parameter, part.weighted(weights))


def add_gradient(parameter: nn.Parameter, gradient: torch.Tensor) -> None:
    """Add to a parameter's ``.grad``."""
    if parameter.grad is None:
        parameter.grad = gradient
    else:
        parameter.grad += gradient


def scatter(parameters: Sequence[nn.Parameter], direction: torch.Tensor) -> None:
    """Add a vector of shape (P,) to the ``.grad`` of the parameters, in their order."""
    for parameter, piece in zip(parameters, direction.split(sizes(list(parameters))), strict=True):
        add_gradient(parameter, piece.view(parameter.shape).clone())


class Geometry:
    """Watches a model's shared layers and computes the tasks' gradients on them.

    Parameters
    ----------
    modules : sequence of Module
        All below the cut.
    parameters : sequence of Parameter
        The shared ones.
    """

    def __init__(self, modules: Sequence[nn.Module], parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = [p for p in parameters if p.requires_grad]
        self.trace = Trace(modules)
        self._shared = {id(p) for p in self.parameters}
        below = {id(p): p for module in modules for p in module.parameters(recurse=False) if p.requires_grad}
        self._below = list(({id(p): p for p in self.parameters} | below).values())

    @torch.no_grad()
    def gradients(self, roots: Sequence[Root], tasks: int) -> TaskGradients:
        """Return every task's gradients.

        Parameters
        ----------
        roots : sequence of Root
            Of the forward pass that ``trace`` has recorded.
        tasks : int
            T.
        """
        stack = self._stack(roots)
        found = back(stack, roots[0].deltas)[0] if stack is not None else self._by_autograd(roots, tasks)
        shared = [part for part in found if id(part.parameter) in self._shared]
        own = [part for part in found if id(part.parameter) not in self._shared]
        return TaskGradients(shared, own, tasks)

    @torch.no_grad()
    def norms(self, roots: Sequence[Root], tasks: int, layer: nn.Module) -> torch.Tensor:
        """Return ‖∇_W L_t‖ for each task, shape (T,), W the layer's weight."""
        weight = layer.weight
        assert isinstance(weight, nn.Parameter)
        calls = [call for call in self.trace.calls if call.module is layer]
        stack = self._stack(roots)
        if isinstance(layer, nn.Linear) and stack is not None and len(calls) == 1:
            return norms(calls[0].input, back(stack, roots[0].deltas, until=layer)[1])
        found = [gradients[0] for gradients in _per_task(roots, tasks, [weight])]
        return torch.stack([weight.new_zeros(()) if g is None else torch.linalg.vector_norm(g) for g in found])

    def _stack(self, roots: Sequence[Root]) -> list[Call] | None:
        return as_stack(self.trace.calls, roots[0].z) if len(roots) == 1 else None

    def _by_autograd(self, roots: Sequence[Root], tasks: int) -> list[Part]:
        calls = explained(self.trace.calls, [root.z for root in roots])
        theirs = {id(p) for call in calls for p in call.module.parameters()}
        others = [p for p in self._below if id(p) not in theirs]
        found = _per_task(roots, tasks, [*(call.output for call in calls), *others])
        collected: list[Part] = []
        for i, call in enumerate(calls):
            filled = [torch.zeros_like(call.output) if g[i] is None else g[i] for g in found]
            collected += parts(call, torch.stack([rows(call.module, g) for g in filled], 1))
        for i, parameter in enumerate(others, len(calls)):
            if any(g[i] is not None for g in found):
                filled = [torch.zeros_like(parameter) if g[i] is None else g[i] for g in found]
                collected.append(Dense(parameter, torch.stack([g.reshape(-1) for g in filled])))
        return collected


def explained(calls: Sequence[Call], roots: Sequence[torch.Tensor]) -> list[Call]:
    """Return the calls that explain all that their parameters do for ``roots``: known layers, called and used once."""
    called = Counter(id(call.module) for call in calls)
    used = uses(roots)
    return [
        call
        for call in calls
        if called[id(call.module)] == 1
        and call.output.requires_grad
        and all(used[id(p)] == 1 for p in call.module.parameters() if p.requires_grad)
        and is_known(call)
    ]


def _per_task(
    roots: Sequence[Root], tasks: int, wanted: Sequence[torch.Tensor]
) -> list[Sequence[torch.Tensor | None]]:
    """Return each task's gradients at ``wanted``, a pass of autograd per task; the graph is kept."""
    found: list[Sequence[torch.Tensor | None]] = [[None] * len(wanted) for _ in range(tasks)]
    if wanted:
        for z, numbers, deltas in roots:
            if z.requires_grad:
                for i, task in enumerate(numbers):
                    found[task] = torch.autograd.grad(z, wanted, deltas[:, i], retain_graph=True, allow_unused=True)
    return found
