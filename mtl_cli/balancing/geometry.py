"""The tasks' gradients on the shared parameters, without K backward passes and without the whole Jacobian in memory.

From one forward pass in which each shared layer's input A was kept, and the gradients δ_t at the layers' outputs, a
linear layer's gradients are δ_tᵀ A, and likewise for the other layers that ``geometry_layers`` knows. The δ's come from
``geometry_stack`` where the model says that its trunk is a plain stack, and else from autograd, a pass per task that
stops at the layers' outputs; parameters of other layers, of layers that are used twice, and tied ones get their
gradients in the same pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import nn

from mtl_cli.balancing.geometry_layers import is_known, parts, rows
from mtl_cli.balancing.geometry_parts import Dense, Part, add_gradient, join, sizes
from mtl_cli.balancing.geometry_products import norms
from mtl_cli.balancing.geometry_stack import active, back, back_once, find_stack
from mtl_cli.balancing.geometry_trace import Call, Trace, uses
from mtl_cli.balancing.precision import full
from mtl_cli.data.inputs import Inputs

KEPT = 2**24
"""Numbers of gradients up to which all are kept until their weights are known; above, another pass makes their sum."""


class Root(NamedTuple):
    """A representation, and the gradients at it of the tasks that read it.

    Parameters
    ----------
    z : Tensor
    tasks : list of int
        Their numbers.
    deltas : Tensor of shape (tasks here, *that of z)
        c_t = ∂L_t/∂z.
    """

    z: torch.Tensor
    tasks: list[int]
    deltas: torch.Tensor


class Representing(Protocol):
    """What the geometry needs of a model."""

    heads: dict[str, nn.Module]

    def representations(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Return the representation that each task's head reads."""


class TaskGradients:
    """The gradients g_t of T tasks below the cut.

    Parameters
    ----------
    shared : list of Part
        On the shared parameters; one that is not here has no gradient.
    own : list of Part
        On parameters below the cut that are not shared, such as a task's own gate: they are trained on w_t L_t as the
        shared ones are, but are no part of the geometry.
    """

    def __init__(self, shared: list[Part], own: list[Part]) -> None:
        self.shared, self.own = shared, own
        self._joined = join(shared)

    def add_gramian(self, total: torch.Tensor) -> None:
        """Add g_s · g_t to ``total``, shape (T, T)."""
        for part in self._joined:
            part.add_gramian(total)

    def jacobian(self, parameters: Sequence[nn.Parameter], tasks: int) -> torch.Tensor:
        """Return the gradients side by side in the order of ``parameters``, shape (T, P)."""
        known = {id(part.parameter): part for part in self.shared}
        return torch.cat(
            [known[id(p)].rows() if id(p) in known else p.new_zeros(tasks, p.numel()) for p in parameters], 1
        )

    def accumulate(self, weights: torch.Tensor, shared: bool = True) -> None:
        """Add Σ_t w_t g_t to the parameters' ``.grad``; with ``shared`` false, only to those that are not shared."""
        for part in [*self.own, *(self._joined if shared else [])]:
            part.accumulate(weights)


def scatter(parameters: Sequence[nn.Parameter], direction: torch.Tensor) -> None:
    """Add a vector of shape (P,) to the ``.grad`` of the parameters, in their order."""
    for parameter, piece in zip(parameters, torch.split_with_sizes(direction, sizes(parameters)), strict=True):
        add_gradient(parameter, piece.view(parameter.shape))


def send_back(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
    """Send gradients back, each from its tensor, through autograd."""
    needing = [pair for pair in pairs if pair[0].requires_grad]
    if needing:
        torch.autograd.backward([z for z, _ in needing], [gradient.to(z.dtype) for z, gradient in needing])


class Geometry:
    """Runs a model's shared layers and computes the tasks' gradients on them.

    Parameters
    ----------
    modules : sequence of Module
        All below the cut whose gradients are asked for.
    parameters : sequence of Parameter
        The shared ones.
    stack : sequence of Module, optional
        The modules through which, one after the other, the inputs become the representation that all tasks read; None
        if the shared layers are more than that.
    """

    def __init__(
        self, modules: Sequence[nn.Module], parameters: Sequence[nn.Parameter], stack: Sequence[nn.Module] | None = None
    ) -> None:
        self.parameters = [p for p in parameters if p.requires_grad]
        self._modules, self._trace = modules, Trace()
        self._shared = {id(p) for p in self.parameters}
        below = {id(p): p for module in modules for p in module.parameters(recurse=False) if p.requires_grad}
        self._below = list(({id(p): p for p in self.parameters} | below).values())
        self._sequence, self._stack = stack, None if stack is None else find_stack(active(stack))
        self._calls: list[Call] = []

    def forward(self, model: Representing, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Return the model's representations, and keep what its layers read."""
        if (
            self._sequence is not None
            and isinstance(inputs, torch.Tensor)
            and inputs.dim() == 2
            and inputs.layout == torch.strided
        ):
            modules = active(self._sequence)
            if self._stack is None or not self._stack.fits(modules):
                self._stack = find_stack(modules)
            if self._stack is not None:
                self._calls = self._stack.run(inputs)
                return dict.fromkeys(model.heads, self._calls[-1].output)
        self._stack = None
        self._trace.watch(self._modules)
        with self._trace:
            return model.representations(inputs)

    def gradients(self, roots: Sequence[Root], tasks: int) -> TaskGradients:
        """Return every task's gradients. To be called without gradients, once after ``forward``.

        Parameters
        ----------
        roots : sequence of Root
            The representations that ``forward`` returned.
        tasks : int
            T.
        """
        if self._stack is not None:
            found: list[Part] = []
            back(self._stack, self._calls, roots[0].deltas, found.append, reuse=True)
        else:
            found = self._by_autograd(roots, tasks)
        self.clear()
        shared = [part for part in found if id(part.parameter) in self._shared]
        own = [part for part in found if id(part.parameter) not in self._shared]
        return TaskGradients(shared, own)

    def gramian(
        self, roots: Sequence[Root], tasks: int, keep: bool = False
    ) -> tuple[torch.Tensor, TaskGradients | None]:
        """Return g_s · g_t, shape (T, T), and the gradients. To be called without gradients, once after ``forward``.

        Where the gradients are too large to be kept, and ``keep`` does not ask for it, they are None, and Σ_t w_t g_t
        is to come from ``backward``.
        """
        first = roots[0].deltas
        total = first.new_zeros(tasks, tasks)
        if not keep and self._stack is not None and tasks * self._stack.numbers(first.shape[1]) > KEPT:
            back(self._stack, self._calls, first, lambda part: part.add_gramian(total))
            gradients = None
        else:
            gradients = self.gradients(roots, tasks)
            gradients.add_gramian(total)
        return torch.lerp(total, total.T, 0.5), gradients  # rounding may differ on both sides of the diagonal

    def norms(self, roots: Sequence[Root], tasks: int, layers: Sequence[nn.Module]) -> torch.Tensor:
        """Return ‖∇_W L_t‖ for each task, shape (T,), W the layers' weights. To be called without gradients."""
        layer = layers[0]
        read = next((call.input for call in self._calls if call.module is layer), None)
        if self._stack is not None and read is not None and type(layer) is nn.Linear:
            return norms(full(read), back(self._stack, self._calls, roots[0].deltas, None, until=layer))
        weights = [layer.weight for layer in layers if isinstance(layer.weight, nn.Parameter)]
        found = _per_task(roots, tasks, weights)
        pairs = [[_filled(g, weight).flatten() for g, weight in zip(task, weights, strict=True)] for task in found]
        return torch.stack([torch.linalg.vector_norm(torch.cat(gradients)) for gradients in pairs])

    def backward(self, pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Send each representation's gradient back into ``.grad``. To be called without gradients, as the last."""
        if self._stack is not None:
            back_once(self._stack, self._calls, pairs[0][1])
        else:
            send_back(pairs)
        self.clear()

    def clear(self) -> None:
        """Let go of the tensors."""
        self._calls = []
        self._trace.clear()

    def _by_autograd(self, roots: Sequence[Root], tasks: int) -> list[Part]:
        calls = explained(self._trace.calls, [root.z for root in roots])
        theirs = {id(p) for call in calls for p in call.module.parameters()}
        others = [p for p in self._below if id(p) not in theirs]
        wanted = [*(call.output for call in calls), *others]
        found = list(zip(*_per_task(roots, tasks, wanted), strict=True))  # by what is wanted, then by task
        collected: list[Part] = []
        for parameter in reversed(others):
            values = found.pop()
            if any(value is not None for value in values):
                dense = torch.stack([_filled(value, parameter).reshape(-1) for value in values])
                collected.append(Dense(parameter, dense))
        for call in reversed(calls):
            deltas = [full(rows(call.module, _filled(value, call.output))) for value in found.pop()]
            collected += parts(call, torch.stack(deltas))
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


def _per_task(roots: Sequence[Root], tasks: int, wanted: Sequence[torch.Tensor]) -> list[Sequence[torch.Tensor | None]]:
    """Return each task's gradients at ``wanted``, a pass of autograd per task; the graph is kept."""
    found: list[Sequence[torch.Tensor | None]] = [[None] * len(wanted) for _ in range(tasks)]
    if wanted:
        for z, numbers, deltas in roots:
            if z.requires_grad:
                for i, task in enumerate(numbers):
                    found[task] = torch.autograd.grad(
                        z, wanted, deltas[i].to(z.dtype), retain_graph=True, allow_unused=True
                    )
    return found


def _filled(gradient: torch.Tensor | None, like: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(like) if gradient is None else gradient
