"""The Gramian of gradients on layers with wide inputs, which are never computed.

The gradient of task t on a linear layer's weight is δ_tᵀ A, with A what the layer read, (n, inputs), and δ_t the
gradient at what it returned, (n, outputs). With K = A Aᵀ, (n, n),

    g_s · g_t = Σ_ab K_ab (δ_s,a · δ_t,b),

so that a layer of many inputs costs the products of its rows once, in place of T gradients of outputs × inputs numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from mtl_cli.balancing.boundary import HeadBoundary
from mtl_cli.balancing.chain import is_hooked
from mtl_cli.balancing.gradients.reference import Reference, passes, products
from mtl_cli.balancing.mixed_precision import full
from mtl_cli.balancing.model import SharedModel
from mtl_cli.data.inputs import Inputs

OVERHEAD = 2_000_000
"""Multiplications that take about as long as the further calls of the factored form."""

PANEL = 32
"""Rows of A Aᵀ that are computed at once: half of the product is copied."""


class Call(NamedTuple):
    """What a linear layer read and returned, and these tensors' versions: they tell of changes in place."""

    layer: nn.Linear
    inputs: torch.Tensor
    output: torch.Tensor
    versions: tuple[int, int]


class Factored(Reference):
    """Reference, but the weights of wide linear layers have their share of the Gramian by A Aᵀ and δ.

    The layers' inputs and outputs are kept by forward hooks, which are there only while the model runs. The δ come from
    autograd, a pass per task that stops at the layers' outputs.

    Parameters
    ----------
    model : SharedModel
    tasks : int
    """

    name = "factored"

    def __init__(self, model: SharedModel, tasks: int) -> None:
        super().__init__(model)
        self._tasks = tasks
        self._layers = wide_layers(model, tasks)
        self._calls: list[Call] = []

    def forward(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        self._calls = []
        watched = [layer for layer in self._layers if layer.weight.requires_grad and not is_hooked(layer)]
        hooks = [layer.register_forward_hook(self._keep) for layer in watched]
        try:
            return super().forward(inputs)
        finally:
            for hook in hooks:
                hook.remove()

    def gramian(self, boundary: HeadBoundary) -> torch.Tensor:
        calls, self._calls = explained(self._calls, [each.z for each in boundary.representations]), []
        self.name = Factored.name if calls else Reference.name
        factored = {id(call.layer.weight) for call in calls}
        others = [p for p in self.parameters if id(p) not in factored]
        wanted = [*(call.output for call in calls), *others]
        found = passes(boundary, wanted)
        pieces = torch.split_with_sizes(found, [tensor.numel() for tensor in wanted], 1)
        total = products(found[:, sum(call.output.numel() for call in calls) :])
        for call, deltas in zip(calls, pieces, strict=False):
            rows = full(call.inputs).flatten(0, -2)
            total += factored_gramian(rows, deltas.view(len(deltas), len(rows), -1))
        return total

    def _keep(self, layer: nn.Module, arguments: tuple[Any, ...], output: torch.Tensor) -> None:
        (inputs,) = arguments
        assert isinstance(layer, nn.Linear)
        if output.requires_grad and is_worth_it(inputs.numel() // inputs.shape[-1], layer.weight, self._tasks):
            self._calls.append(Call(layer, inputs, output, (inputs._version, output._version)))


def wide_layers(model: SharedModel, tasks: int) -> list[nn.Linear]:
    """Return the linear layers below the heads for which the factored form takes less time at some size of a batch."""
    shared = {id(parameter) for parameter in model.shared_parameters()}
    layers = [m for m in model.modules() if type(m) is nn.Linear and id(m.weight) in shared]
    found = []
    for layer in layers:
        outputs, inputs = layer.weight.shape
        best = max(1, (tasks - 1) * outputs * inputs // (2 * (inputs + tasks * outputs)))
        if is_worth_it(best, layer.weight, tasks):
            found.append(layer)
    return found


def is_worth_it(rows: int, weight: torch.Tensor, tasks: int) -> bool:
    """Whether the factored form of so many rows takes fewer multiplications than T gradients and their products."""
    outputs, inputs = weight.shape
    dense = tasks * rows * outputs * inputs + tasks * (tasks + 1) * outputs * inputs
    return rows * rows * (inputs + tasks * outputs) + rows * outputs * inputs + OVERHEAD < dense


def factored_gramian(rows: torch.Tensor, deltas: torch.Tensor) -> torch.Tensor:
    """Return the products of all pairs of δ_tᵀ A, for A of shape (n, inputs) and δ of shape (T, n, outputs)."""
    spread = torch.matmul(row_products(rows), deltas)
    total = spread.flatten(1) @ deltas.flatten(1).T
    return (total + total.T) / 2


def row_products(rows: torch.Tensor) -> torch.Tensor:
    """Return A Aᵀ, shape (n, n), of which half is copied."""
    n = len(rows)
    found, panel = rows.new_empty(n, n), max(PANEL, n // 4)
    for start in range(0, n, panel):
        end = start + panel
        torch.mm(rows[start:end], rows[:end].T, out=found[start:end, :end])
    return found.tril_().add_(found.tril(-1).T)


def explained(calls: Sequence[Call], roots: Iterable[torch.Tensor]) -> list[Call]:
    """Return the calls that are all that their weight does for ``roots``.

    Not so a weight that is tied, read directly, or of a layer called twice, and not a call whose tensors were changed.
    """
    called = Counter(id(call.layer) for call in calls)
    used = uses(roots) if calls else Counter()
    return [
        call
        for call in calls
        if called[id(call.layer)] == used[id(call.layer.weight)] == 1
        and call.versions == (call.inputs._version, call.output._version)
    ]


def uses(roots: Iterable[torch.Tensor]) -> Counter[int]:
    """Return how often each parameter, by its id, enters the graph that leads to ``roots``."""
    counts: Counter[int] = Counter()
    waiting: list[Any] = [root.grad_fn for root in roots if root.grad_fn is not None]
    seen = set(waiting)
    while waiting:
        for function, _ in waiting.pop().next_functions:
            if function is None:
                continue
            if function.name() == "torch::autograd::AccumulateGrad":
                counts[id(function.variable)] += 1
            elif function not in seen:
                seen.add(function)
                waiting.append(function)
    return counts
