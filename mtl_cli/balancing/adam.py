"""Adam for the few numbers that a balancer learns, as a pure function."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from mtl_cli.balancing.base import State

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Kingma & Ba 2015


def init_state(name: str, values: torch.Tensor) -> State:
    """Return the state before the first step: the values as ``name``, and Adam's moments, each of shape (T,)."""
    import torch

    return {name: values, **{moment: torch.zeros_like(values) for moment in ("mean", "mean_square", "steps")}}


def step(state: State, name: str, gradient: torch.Tensor, lr: float, present: torch.Tensor) -> State:
    """Return what a step against ``gradient`` makes of the values called ``name`` and their moments.

    Parameters
    ----------
    state : dict of str to Tensor
        With what ``init_state`` made.
    name : str
    gradient : Tensor of shape (…, T)
    lr : float
    present : Tensor of bool, shape (…, T)
        Tasks that are absent keep their value and moments.
    """
    import torch

    mean = torch.lerp(state["mean"], gradient, 1 - BETA1)
    mean_square = torch.lerp(state["mean_square"], gradient.square(), 1 - BETA2)
    steps = state["steps"] + present
    first, second = (torch.expm1(steps * math.log(beta)).neg() for beta in (BETA1, BETA2))  # 1 − β^steps, precisely
    value = torch.addcdiv(state[name], mean / first, (mean_square / second).sqrt() + EPSILON, value=-lr)
    moved = {name: value, "mean": mean, "mean_square": mean_square}
    return {**{key: new.where(present, state[key]) for key, new in moved.items()}, "steps": steps}
