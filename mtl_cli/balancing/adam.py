"""Adam for the few numbers that a balancer learns, as a pure function."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from mtl_cli.balancing.balancer import State

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Kingma & Ba 2015
MOMENTS = ("mean", "mean_square", "steps")


def start(name: str, values: torch.Tensor) -> State:
    """Return the state before the first step: the values as ``name``, and Adam's moments, each of shape (T,)."""
    import torch

    return {name: values, **{moment: torch.zeros_like(values) for moment in MOMENTS}}


def step(state: State, name: str, gradient: torch.Tensor, lr: float, present: torch.Tensor | None) -> State:
    """Return the state after a step against ``gradient``; tasks that are absent keep their value and moments.

    Parameters
    ----------
    state : dict of str to Tensor
        As ``start`` makes it.
    name : str
    gradient : Tensor of shape (T,)
    lr : float
    present : Tensor of bool, shape (T,), optional
        None says all are present.
    """
    import torch

    steps = state["steps"] + (1 if present is None else present)
    mean = state["mean"].lerp(gradient, 1 - BETA1)
    mean_square = state["mean_square"].lerp(gradient.square(), 1 - BETA2)
    spread = (mean_square / (1 - BETA2**steps)).sqrt_().add_(EPSILON)
    values = state[name] - lr * mean / ((1 - BETA1**steps) * spread)
    after = {name: values, "mean": mean, "mean_square": mean_square, "steps": steps}
    if present is None:
        return after
    return {key: torch.where(present, value, state[key]) for key, value in after.items()}


def keep_absent(values: torch.Tensor, before: torch.Tensor, present: torch.Tensor | None) -> torch.Tensor:
    """Return ``values`` where a task is present and ``before`` where it is not."""
    return values if present is None else values.where(present, before)
