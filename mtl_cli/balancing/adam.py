"""Adam for the few numbers that a balancer learns, as a pure function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mtl_cli.balancing.few import Numbers, elementwise, keep_absent

if TYPE_CHECKING:
    import torch

    from mtl_cli.balancing.base import State

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Kingma & Ba 2015
MOMENTS = ("mean", "mean_square", "steps")


def init_state(name: str, values: torch.Tensor) -> State:
    """Return the state before the first step: the values as ``name``, and Adam's moments, each of shape (T,)."""
    import torch

    return {name: values, **{moment: torch.zeros_like(values) for moment in MOMENTS}}


def move(value: Any, mean: Any, mean_square: Any, steps: Any, slope: Any, *, lr: float) -> tuple[Any, ...]:
    """Return a number and its moments after a step against ``slope``; of floats, or of tensors."""
    steps = steps + 1
    mean = BETA1 * mean + (1 - BETA1) * slope
    mean_square = BETA2 * mean_square + (1 - BETA2) * slope * slope
    spread = (mean_square / (1 - BETA2**steps)) ** 0.5 + EPSILON
    return value - lr / (1 - BETA1**steps) * mean / spread, mean, mean_square, steps


def learnt(state: Mapping[str, Numbers], name: str) -> list[Numbers]:
    """Return what ``move`` wants first, of the values that the state has as ``name``."""
    return [state[key] for key in (name, *MOMENTS)]


def following(
    xp: Any, state: Mapping[str, Numbers], name: str, after: Sequence[Numbers], present: Numbers | None
) -> dict[str, Numbers]:
    """Return the next state of what ``move`` made; tasks that are absent keep their value and moments."""
    found = dict(zip((name, *MOMENTS), after, strict=True))
    if present is None:
        return found
    return {key: keep_absent(xp, value, state[key], present) for key, value in found.items()}


def step(
    xp: Any, state: Mapping[str, Numbers], name: str, gradient: Numbers, lr: float, present: Numbers | None
) -> dict[str, Numbers]:
    """Return the state after a step against ``gradient``; tasks that are absent keep their value and moments.

    Parameters
    ----------
    xp : module
        ``Floats`` or ``torch``, whose numbers these are.
    state : dict of str to numbers
        As ``start`` makes it.
    name : str
    gradient : numbers of shape (T,)
    lr : float
    present : bools of shape (T,), optional
        None says all are present.
    """
    after = elementwise(lambda *numbers: move(*numbers, lr=lr), *learnt(state, name), gradient)
    return following(xp, state, name, after, present)
