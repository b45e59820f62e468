"""Arithmetic on a few numbers, one per task, by what is quickest where they lie.

A method that learns its weights makes dozens of operations on T numbers in a step. On the CPU a call of torch for two
numbers takes microseconds, and the sum of two floats a fraction of one, so that there they are computed as Python's
floats; on another device they must stay tensors, or the step would wait for it. A method is written once, for both.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mtl_cli.balancing.base import Decision, StepStatistics
from mtl_cli.balancing.floats import Floats

if TYPE_CHECKING:
    import torch

Numbers = Any
"""Numbers by task: ``Floats``, or a tensor of shape (T,)."""


def few(method: Callable[[Any, Any, Any, Any], Any]) -> Callable[..., Any]:
    """Let a balancer's ``weigh`` or ``after`` compute with floats on the CPU, and with torch on other devices.

    Parameters
    ----------
    method : callable
        ``method(self, xp, state, seen)``, where ``xp`` is ``Floats`` or the module ``torch``: it uses the operators and
        functions that both have, and changes nothing in place.

    Returns
    -------
    callable
        ``method(self, state, seen)``, tensors in and tensors out. What it returns as floats becomes tensors when it is
        asked for: most of a state is read by nobody but the next step.
    """

    @functools.wraps(method)
    def on_tensors(self: Any, state: Mapping[str, torch.Tensor], seen: StepStatistics | torch.Tensor) -> Any:
        import numpy as np
        import torch

        losses = seen.losses if isinstance(seen, StepStatistics) else seen
        if losses.device.type == "cpu":
            try:
                found = method(self, Floats, _floats(state), _seen_as_floats(seen))
            except ArithmeticError:  # such as a quotient by 0: torch goes on with inf and NaN
                pass
            else:
                if not isinstance(seen, StepStatistics):
                    return Held(found)
                precision = np.float64 if losses.dtype == torch.float64 else np.float32
                weights = torch.from_numpy(np.array(found.weights.values, precision))
                return Decision(weights, Held(found.state), Held(found.seen))
        found = method(self, torch, state, seen)
        return found._replace(weights=found.weights.to(losses.dtype)) if isinstance(found, Decision) else found

    return on_tensors


class Held(Mapping[str, "torch.Tensor"]):
    """Numbers kept as floats, which become tensors, in float64, when they are asked for."""

    def __init__(self, numbers: Mapping[str, Floats]) -> None:
        self.numbers = numbers

    def __getitem__(self, name: str) -> torch.Tensor:
        import torch

        values = self.numbers[name].values
        return torch.tensor(values, dtype=torch.bool if isinstance(values[0], bool) else torch.float64)

    def __iter__(self) -> Iterator[str]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)


def elementwise(function: Callable[..., tuple[Any, ...]], *numbers: Numbers) -> Sequence[Numbers]:
    """Return what a function makes of each task's numbers; it is arithmetic only, so tensors may go through too."""
    if not isinstance(numbers[0], Floats):
        return function(*numbers)
    found = zip(*map(function, *(each.values for each in numbers)), strict=True)
    return [Floats(list(values)) for values in found]


def exponential(value: Any) -> Any:
    """Return the exponential of a float, or of a tensor."""
    return math.exp(value) if isinstance(value, float) else value.exp()


def total(xp: Any, values: Numbers, present: Numbers | None) -> Numbers:
    """Return the sum over the tasks present."""
    return values.sum() if present is None else xp.where(present, values, 0.0).sum()


def mean(xp: Any, values: Numbers, present: Numbers | None) -> Numbers:
    """Return the mean over the tasks present, 0 if there are none."""
    if present is None:
        return values.mean()
    return total(xp, values, present) / xp.clip(xp.where(present, 1.0, 0.0).sum(), 1.0)


def told(xp: Any, values: Numbers, present: Numbers | None) -> Numbers:
    """Return what to write down: NaN for tasks that are absent."""
    return values if present is None else xp.where(present, values, math.nan)


def keep_absent(xp: Any, values: Numbers, before: Numbers, present: Numbers | None) -> Numbers:
    """Return ``values`` where a task is present and ``before`` where it is not."""
    return values if present is None else xp.where(present, values, before)


def _floats(state: Mapping[str, torch.Tensor]) -> Mapping[str, Floats]:
    if isinstance(state, Held):
        return state.numbers
    return {name: Floats(tensor.tolist()) for name, tensor in state.items()}


def _seen_as_floats(seen: StepStatistics | torch.Tensor) -> Any:
    if not isinstance(seen, StepStatistics):
        return Floats(seen.tolist())
    present, norms = seen.present, seen.norms
    return StepStatistics(
        Floats(seen.losses.tolist()),  # type: ignore[arg-type]
        None if present is None else Floats(present.tolist()),  # type: ignore[arg-type]
        None if norms is None else Floats(norms.tolist()),  # type: ignore[arg-type]
    )
