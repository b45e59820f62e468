"""A few numbers as Python's floats, with as much of a tensor's arithmetic as the balancers need."""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import add, and_, gt, mul, neg, sub, truediv
from typing import Any


def _operator(apply: Callable[[Any, Any], Any]) -> Callable[[Floats, Any], Floats]:
    def operate(self: Floats, other: Any) -> Floats:
        if other.__class__ is Floats:
            return Floats(list(map(apply, self.values, other.values)))
        return Floats([apply(value, other) for value in self.values])

    return operate


def _reversed(apply: Callable[[Any, Any], Any]) -> Callable[[Floats, Any], Floats]:
    return lambda self, other: Floats([apply(other, value) for value in self.values])


def _function(apply: Callable[[Any], Any]) -> Callable[[Floats], Floats]:
    def each(values: Floats) -> Floats:
        try:
            return Floats(list(map(apply, values.values)))
        except ValueError as error:
            raise ArithmeticError from error

    return each


def _power(base: float, exponent: float) -> float:
    try:
        return math.pow(base, exponent)
    except ValueError as error:
        raise ArithmeticError from error


class Floats:
    """Floats or bools, T of them; a sum or the like is one float.

    The functions stand here as they stand in ``torch``. Where torch would make something infinite or NaN of finite
    numbers, they raise ArithmeticError.

    Parameters
    ----------
    values : list of float or bool
    """

    __slots__ = ("values",)

    def __init__(self, values: list[Any]) -> None:
        self.values = values

    __add__, __radd__ = _operator(add), _reversed(add)
    __sub__, __rsub__ = _operator(sub), _reversed(sub)
    __mul__, __rmul__ = _operator(mul), _reversed(mul)
    __truediv__, __rtruediv__ = _operator(truediv), _reversed(truediv)
    __pow__ = _operator(_power)
    __and__, __gt__ = _operator(and_), _operator(gt)
    __neg__ = _function(neg)

    exp = staticmethod(_function(math.exp))
    log = staticmethod(_function(math.log))
    isnan = staticmethod(_function(math.isnan))
    sign = staticmethod(_function(lambda value: (value > 0) - (value < 0)))

    @staticmethod
    def where(condition: Floats, values: Floats | float, others: Floats | float) -> Floats:
        """Return ``values`` where the condition holds, and else ``others``."""
        size = len(condition.values)
        yes = values.values if isinstance(values, Floats) else [values] * size
        no = others.values if isinstance(others, Floats) else [others] * size
        return Floats([a if chosen else b for chosen, a, b in zip(condition.values, yes, no, strict=True)])

    @staticmethod
    def clip(values: Any, least: float) -> Any:
        """Raise numbers, or one number, to at least this."""
        if isinstance(values, Floats):
            return Floats([max(value, least) for value in values.values])
        return max(values, least)

    def sum(self) -> float:
        """Return the sum."""
        return float(sum(self.values))

    def mean(self) -> float:
        """Return the mean."""
        return float(sum(self.values)) / len(self.values)

    def max(self) -> float:
        """Return the largest."""
        return float(max(self.values))
