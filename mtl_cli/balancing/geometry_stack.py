"""The way back through a plain stack of layers, for all tasks at once.

In a stack, where each layer reads what the one before it returned, the T gradients travel as one tensor of shape
(n, T, width): a linear layer sends them all back in one product, where T passes of autograd would take T of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from mtl_cli.balancing.geometry_layers import affine, is_known, normalised, parts
from mtl_cli.balancing.geometry_parts import Part
from mtl_cli.balancing.geometry_trace import Call, has_other_hooks

ELEMENTWISE = (
    nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.Sigmoid, nn.Softplus, nn.Mish,
    nn.Hardswish, nn.Hardtanh, nn.ReLU6, nn.Dropout,
)  # fmt: skip
"""Modules whose derivative is a number per input."""


def as_stack(calls: Sequence[Call], root: torch.Tensor) -> list[Call] | None:
    """Return the calls that lead from the inputs to ``root``, if they form a plain stack of known layers on rows."""
    calls = [call for call in calls if call.output is not call.input]  # dropout outside training returns what it reads
    if not calls or calls[-1].output is not root or not _used_once(calls):
        return None
    for before, call in zip(calls, calls[1:], strict=False):
        if call.input is not before.output:
            return None
    return calls if all(call.output.dim() == 2 and _is_stackable(call) for call in calls) else None


def _used_once(calls: Sequence[Call]) -> bool:
    parameters = [id(p) for call in calls for p in call.module.parameters()]
    return len(set(parameters)) == len(parameters)


def _is_stackable(call: Call) -> bool:
    if type(call.module) in ELEMENTWISE:
        return call.intact and not has_other_hooks(call.module) and not getattr(call.module, "inplace", False)
    return isinstance(call.module, nn.Linear | nn.LayerNorm | nn.BatchNorm1d) and is_known(call)


def back(stack: Sequence[Call], deltas: torch.Tensor, until: nn.Module | None = None) -> tuple[list[Part], torch.Tensor]:
    """Send gradients back through a stack, and collect those on its parameters.

    Parameters
    ----------
    stack : sequence of Call
        From the inputs to the representation.
    deltas : Tensor of shape (n, T, width)
        At the representation.
    until : Module, optional
        Stop at this module's output and collect nothing.

    Returns
    -------
    parts : list of Part
    deltas : Tensor of shape (n, T, features)
        Where it stopped: at ``until``, or at the first layer with a parameter that is trained.
    """
    found: list[Part] = []
    first = next((i for i, call in enumerate(stack) if any(p.requires_grad for p in call.module.parameters())), len(stack))
    position = len(stack) - 1
    while position >= first:
        module = stack[position].module
        if module is until:
            break
        if type(module) in ELEMENTWISE:
            start = position
            while start > first and type(stack[start - 1].module) in ELEMENTWISE:
                start -= 1
            deltas = _through_elementwise(stack[start : position + 1], deltas)
            position = start
        else:
            collected, deltas = _through_layer(stack[position], deltas, position > first)
            found += collected if until is None else []
        position -= 1
    return found, deltas


def _through_elementwise(calls: Sequence[Call], deltas: torch.Tensor) -> torch.Tensor:
    """Multiply by the derivative, which is the same number for all tasks."""
    if len(calls) == 1 and type(calls[0].module) is nn.ReLU:
        below: torch.Tensor = torch.ops.aten.threshold_backward(deltas, calls[0].output.detach().unsqueeze(1), 0)
        return below
    output = calls[-1].output
    (derivative,) = torch.autograd.grad(output, calls[0].input, torch.ones_like(output), retain_graph=True)
    return deltas * derivative.unsqueeze(1)


def _through_layer(call: Call, deltas: torch.Tensor, further: bool) -> tuple[list[Part], torch.Tensor]:
    module = call.module
    if isinstance(module, nn.Linear):
        found = parts(call, deltas)
        if further:
            n, tasks, outputs = deltas.shape
            deltas = (deltas.reshape(n * tasks, outputs) @ module.weight).view(n, tasks, -1)
        return found, deltas
    assert isinstance(module, nn.LayerNorm | nn.BatchNorm1d)
    values = normalised(module, call.input)
    found = affine(module, values, deltas)
    if further:
        deltas = _through_norm(module, call.input, values, deltas)
    return found, deltas


def _through_norm(
    module: nn.LayerNorm | nn.BatchNorm1d, inputs: torch.Tensor, values: torch.Tensor, deltas: torch.Tensor
) -> torch.Tensor:
    """With x̂ the normalised input and s its deviation, (δ − mean δ − x̂ mean(δ x̂)) / s, δ after the layer's own weight.

    The means run over what was normalised: the features of a row, or the rows of a feature. Batch norm outside training
    divides by a constant.
    """
    if module.weight is not None:
        deltas = deltas * module.weight
    if isinstance(module, nn.LayerNorm):
        over, variance = 2, inputs.var(1, correction=0, keepdim=True).unsqueeze(1)
    elif module.training or module.running_mean is None:
        over, variance = 0, inputs.var(0, correction=0)
    else:
        assert module.running_var is not None
        return deltas / (module.running_var + module.eps).sqrt()
    values = values.unsqueeze(1)
    centred = deltas - deltas.mean(over, keepdim=True) - values * (deltas * values).mean(over, keepdim=True)
    return centred * torch.rsqrt(variance + module.eps)
