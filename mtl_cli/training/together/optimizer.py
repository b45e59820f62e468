"""The state of the optimizer of all members, a row a member, and that of each member's own, parameter by parameter."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.optim import Optimizer


def take_states(joint: Optimizer, rows: Sequence[nn.Parameter], own: Sequence[Optimizer]) -> None:
    """Give the optimizer of the rows what each member's own optimizer has: moments that are of a parameter's shape."""
    for row, optimizer in zip(rows, own, strict=True):
        parameters = _parameters(optimizer)
        states = [optimizer.state[parameter] for parameter in parameters if parameter in optimizer.state]
        if len(states) != len(parameters):  # no step was taken yet
            continue
        for name, first in states[0].items():
            if _by_number(first, parameters[0]):
                joint.state[row][name] = torch.cat([state[name].flatten() for state in states])
            else:
                joint.state[row][name] = first.clone() if isinstance(first, torch.Tensor) else first


def give_states(joint: Optimizer, rows: Sequence[nn.Parameter], own: Sequence[Optimizer]) -> None:
    """Give each member's own optimizer what the optimizer of the rows has; moments become views of it."""
    for row, optimizer in zip(rows, own, strict=True):
        parameters, state = _parameters(optimizer), joint.state.get(row, {})
        sizes = [parameter.numel() for parameter in parameters]
        for name, value in state.items():
            if not _by_number(value, row):
                pieces = [value] * len(parameters)
            else:
                pieces = [
                    piece.view(parameter.shape)
                    for piece, parameter in zip(torch.split_with_sizes(value, sizes), parameters, strict=True)
                ]
            for parameter, piece in zip(parameters, pieces, strict=True):
                optimizer.state[parameter][name] = piece


def _parameters(optimizer: Optimizer) -> list[nn.Parameter]:
    """Return the parameters in the network's order: plain rates make one group of all of them."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _by_number(value: object, parameter: torch.Tensor) -> bool:
    """Whether a part of the state has a number for each of the parameter's; the count of steps is one for all."""
    return isinstance(value, torch.Tensor) and value.dim() > 0 and value.shape == parameter.shape
