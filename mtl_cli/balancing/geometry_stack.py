"""The way back through a plain stack of layers, for all tasks at once.

In a stack, where each layer reads what the one before it returned, the T gradients travel as one tensor of shape
(T, n, width): a linear layer sends them all back in one product, where T passes of autograd would take T of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from mtl_cli.balancing.geometry_layers import affine, normalised, parts
from mtl_cli.balancing.geometry_parts import Part, add_gradient
from mtl_cli.balancing.geometry_products import weight_gradient
from mtl_cli.balancing.geometry_trace import Call, has_other_hooks
from mtl_cli.balancing.precision import full

ELEMENTWISE = (
    nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.Sigmoid, nn.Softplus, nn.Mish,
    nn.Hardswish, nn.Hardtanh, nn.ReLU6, nn.Dropout,
)  # fmt: skip
"""Modules whose derivative is a number per input."""

_ON_ROWS = (nn.Linear, nn.LayerNorm, nn.BatchNorm1d)


@dataclass(frozen=True)
class Stack:
    """Modules that lead from the inputs to the representation.

    Parameters
    ----------
    modules : list of Module
        In their order, without dropout that is not at work.
    parameters : list of Parameter
        All that they have.
    trained : list of bool
        Which of those are trained.
    spans : list of (int, int)
        From the inputs to the representation: a layer, or elementwise modules in a row.
    first : int
        The first span with a parameter that is trained.
    sizes : list of (int, int)
        For each parameter that is trained, its numbers, and the outputs of its layer.
    """

    modules: list[nn.Module]
    parameters: list[nn.Parameter]
    trained: list[bool]
    spans: list[tuple[int, int]]
    first: int
    sizes: list[tuple[int, int]]

    def numbers(self, rows: int) -> int:
        """Return how many numbers a task's gradients on all parameters take, each in the form that takes fewer."""
        return sum(min(size, rows * outputs) for size, outputs in self.sizes)

    def fits(self, modules: list[nn.Module]) -> bool:
        """Whether these modules are the stack's, with nothing new about them."""
        same = modules == self.modules and [p.requires_grad for p in self.parameters] == self.trained
        return same and not any(has_other_hooks(module) for module in modules)

    def run(self, inputs: torch.Tensor) -> list[Call]:
        """Run forward without a graph, except across elementwise modules whose derivative autograd is to give."""
        calls: list[Call] = []
        with torch.no_grad():
            for start, end in self.spans:
                modules = self.modules[start:end]
                if type(modules[0]) in ELEMENTWISE and not _is_relu(modules):
                    with torch.enable_grad():
                        _chain(modules, inputs.detach().requires_grad_(), calls)
                else:
                    _chain(modules, inputs, calls)
                inputs = calls[-1].output
        return calls


def _chain(modules: Iterable[nn.Module], value: torch.Tensor, calls: list[Call]) -> None:
    for module in modules:
        result = module(value)
        calls.append(Call(module, value, result, (0, 0)))
        value = result


def active(modules: Iterable[nn.Module]) -> list[nn.Module]:
    """Leave out dropout that returns what it reads."""
    return [m for m in modules if type(m) is not nn.Dropout or (m.training and m.p > 0)]


def find_stack(modules: list[nn.Module]) -> Stack | None:
    """Return the modules as a stack, if it can go back through all of them and each is there once."""
    parameters = [p for module in modules for p in module.parameters()]
    once = len({id(p) for p in parameters}) == len(parameters) and len({id(m) for m in modules}) == len(modules)
    if not modules or not once or not all(_is_stackable(module) for module in modules):
        return None
    spans: list[tuple[int, int]] = []
    for position, module in enumerate(modules):
        if spans and type(module) in ELEMENTWISE and type(modules[position - 1]) in ELEMENTWISE:
            spans[-1] = (spans[-1][0], position + 1)
        else:
            spans.append((position, position + 1))
    trained = [any(p.requires_grad for p in modules[start].parameters()) for start, _ in spans]
    first = trained.index(True) if any(trained) else len(spans)
    sizes = [(p.numel(), len(p)) for p in parameters if p.requires_grad]
    return Stack(modules, parameters, [p.requires_grad for p in parameters], spans, first, sizes)


def _is_stackable(module: nn.Module) -> bool:
    if has_other_hooks(module):
        return False
    if type(module) in ELEMENTWISE:
        return not getattr(module, "inplace", False)
    return type(module) in _ON_ROWS and not (isinstance(module, nn.LayerNorm) and len(module.normalized_shape) > 1)


def _is_relu(modules: Sequence[nn.Module]) -> bool:
    """Whether these are a ReLU, and perhaps dropout behind it: an output above 0 tells what the derivative is."""
    return type(modules[0]) is nn.ReLU and (len(modules) == 1 or (len(modules) == 2 and type(modules[1]) is nn.Dropout))


def back(
    stack: Stack,
    calls: Sequence[Call],
    deltas: torch.Tensor,
    collect: Callable[[Part], None] | None,
    until: nn.Module | None = None,
    reuse: bool = False,
) -> torch.Tensor:
    """Send gradients back through a stack. To be called without gradients.

    Parameters
    ----------
    stack : Stack
    calls : sequence of Call
        What its ``run`` returned.
    deltas : Tensor of shape (T, n, width)
        At the representation.
    collect : callable, optional
        Is given the gradients on each parameter, the last layer's first.
    until : Module, optional
        Stop at this module's output.
    reuse : bool
        Use the memory of ``deltas`` for what comes of them.

    Returns
    -------
    Tensor of shape (T, n, features)
        The gradients where it stopped: at ``until``, or at the first layer with a parameter that is trained.
    """
    for position in range(len(stack.spans) - 1, stack.first - 1, -1):
        start, end = stack.spans[position]
        call = calls[start]
        module = call.module
        if module is until:
            break
        if type(module) in ELEMENTWISE:
            found, deltas = [], _through_elementwise(calls[start:end], deltas, reuse)
        elif isinstance(module, nn.Linear):
            found = parts(call, deltas) if collect is not None else []
            if position > stack.first:
                tasks, n, outputs = deltas.shape
                deltas = (deltas.reshape(tasks * n, outputs) @ module.weight).view(tasks, n, -1)
        else:
            found, deltas = _through_norm(call, deltas)
        reuse = True
        if collect is not None:
            for part in found:
                collect(part)
    return deltas


def back_once(stack: Stack, calls: Sequence[Call], delta: torch.Tensor) -> None:
    """Send one gradient at the representation, shape (n, width), back into ``.grad``. To be called without gradients.

    As ``back`` does for one task, in fewer calls.
    """
    for position in range(len(stack.spans) - 1, stack.first - 1, -1):
        start, end = stack.spans[position]
        call = calls[start]
        module = call.module
        if type(module) in ELEMENTWISE:
            delta = _through_elementwise(calls[start:end], delta, False)
        elif isinstance(module, nn.Linear):
            if module.weight.requires_grad:
                add_gradient(module.weight, weight_gradient(full(call.input), delta))
            if module.bias is not None and module.bias.requires_grad:
                add_gradient(module.bias, delta.sum(0))
            if position > stack.first:
                delta = delta @ module.weight
        else:
            collected, deltas = _through_norm(call, delta.unsqueeze(0))
            for part in collected:
                add_gradient(part.parameter, part.rows()[0])
            delta = deltas.squeeze(0)


def _through_elementwise(calls: Sequence[Call], deltas: torch.Tensor, in_place: bool) -> torch.Tensor:
    """Multiply by the derivative, which is the same number for all tasks; ``deltas`` may be those of one task."""
    output = calls[-1].output
    modules = [call.module for call in calls]
    if _is_relu(modules):
        derivative = full(output).sign()
        if isinstance(modules[-1], nn.Dropout):
            derivative.div_(1 - modules[-1].p)
        return deltas.mul_(derivative) if in_place else deltas * derivative
    (derivative,) = torch.autograd.grad(output, calls[0].input, torch.ones_like(output), retain_graph=True)
    return deltas * full(derivative)


def _through_norm(call: Call, deltas: torch.Tensor) -> tuple[list[Part], torch.Tensor]:
    """With x̂ the normalised input and s its deviation, (δ − mean δ − x̂ mean(δ x̂)) / s, δ after the layer's own weight.

    The means run over what was normalised: the features of a row, or the rows of a feature. Batch norm outside training
    divides by a constant.
    """
    module, inputs = call.module, full(call.input)
    assert isinstance(module, _ON_ROWS[1:])
    values = normalised(module, inputs)
    found = affine(module, values, deltas)
    if module.weight is not None:
        deltas = deltas * module.weight
    if isinstance(module, nn.LayerNorm):
        over, variance = 2, inputs.var(1, correction=0, keepdim=True)
    elif module.training or module.running_mean is None:
        over, variance = 1, inputs.var(0, correction=0)
    else:
        assert module.running_var is not None
        return found, deltas / (module.running_var + module.eps).sqrt()
    centred = deltas - deltas.mean(over, keepdim=True) - values * (deltas * values).mean(over, keepdim=True)
    return found, centred * torch.rsqrt(variance + module.eps)
