"""How often something is done in a training: ``epoch``, ``500 steps``, ``10 minutes``, or ``none``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

FORMS = "epoch, a number of steps or minutes such as '500 steps', or none"


@dataclass(frozen=True)
class Interval:
    """How often.

    Parameters
    ----------
    unit : {"epoch", "steps", "minutes", "none"}
    number : int
        Of steps or minutes.
    """

    unit: Literal["epoch", "steps", "minutes", "none"]
    number: int = 1


def read_interval(text: str) -> Interval:
    """Return the interval that a text says. Raises ValueError if it says none."""
    if text == "epoch":
        return Interval("epoch")
    if text == "none":
        return Interval("none")
    match = re.fullmatch(r"([1-9]\d{0,8}) *(step|minute)s?", text)
    if match is None:
        raise ValueError(text)
    return Interval("steps" if match[2] == "step" else "minutes", int(match[1]))
