"""How narrow trunks must be so that several of them cost what one does."""

from __future__ import annotations

from collections.abc import Callable

from mtl_cli.config.errors import UserError

HALVINGS = 14


def largest_factor(parameters: Callable[[float], int], limit: int) -> float:
    """Return the largest factor up to 1 at which a network has at most ``limit`` parameters.

    Parameters
    ----------
    parameters : callable
        From a factor of the widths to the number of parameters, which must not fall as the factor grows.
    limit : int

    Raises
    ------
    UserError
        If even layers of width 1 have more.
    """
    if parameters(1.0) <= limit:
        return 1.0
    least = parameters(0.0)
    if least > limit:
        what = f"total allows {limit:,} parameters, as hard sharing would have, and layers of width 1 have {least:,}"
        raise UserError("model.sharing.budget", what, "model.sharing.budget=each, or wider layers in model.trunk")
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if parameters(middle) <= limit else (low, middle)
    return low
