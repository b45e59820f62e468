"""Functions that are linear between corners, and the normal quantile, of operations that every graph has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch

MIDDLE = (
    (2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
     1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0),
    (5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
     5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0),
)  # fmt: skip
OUTER = (
    (7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0,
     3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0),
    (1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
     6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1.0),
)  # fmt: skip
SPLIT, OFFSET = 0.425, 1.6


def exact(value: float | Sequence[float]) -> torch.Tensor:
    """Return numbers as graphs keep them in 64 bits: ONNX has bare numbers of Python's in 32."""
    return torch.tensor(value, dtype=torch.float64)


@dataclass(frozen=True)
class Ramps:
    """A function that is linear between corners and flat beyond them: a sum of ramps and of steps.

    At a step it has the middle of both sides, as ranks of equal numbers have.

    Parameters
    ----------
    begin, width, rise : Tensor of shape (ramps,)
        Where each begins, how far it goes, and by how much it rises.
    at, jump : Tensor of shape (steps,)
    start : Tensor of shape ()
        Before the first corner.
    """

    begin: torch.Tensor
    width: torch.Tensor
    rise: torch.Tensor
    at: torch.Tensor
    jump: torch.Tensor
    start: torch.Tensor

    @classmethod
    def through(cls, corners: Sequence[float], values: Sequence[float]) -> Self:
        """Make the function through some corners, which do not fall; equal ones are a step."""
        x, y = (exact(list(each)) for each in (corners, values))
        width, rise = x.diff(), y.diff()
        slope, step = width > 0, (width == 0) & (rise != 0)
        return cls(x[:-1][slope], width[slope], rise[slope], x[:-1][step], rise[step], y[0])

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """Return the function of some values, (n,)."""
        column = values.unsqueeze(1)
        found = ((column - self.begin) / self.width).clamp(0, 1) @ self.rise + self.start
        if not len(self.at):
            return found
        reached = (column >= self.at).double() + (column > self.at).double()
        return found + reached @ self.jump / 2


def normal_quantile(probability: torch.Tensor) -> torch.Tensor:
    """Return the number that a standard normal is below with some probability, of at least e^−25.

    Wichura's AS 241 (1988, doi 10.2307/2347330), right to 16 digits; its part for smaller probabilities is left out.
    """
    q = probability - 0.5
    r = exact(SPLIT**2) - q.square()
    middle = q * _polynomial(r, MIDDLE[0]) / _polynomial(r, MIDDLE[1])
    tail = torch.minimum(probability, 1 - probability)
    s = (-tail.log()).sqrt() - exact(OFFSET)
    outer = _polynomial(s, OUTER[0]) / _polynomial(s, OUTER[1])
    return torch.where(q.abs() <= SPLIT, middle, outer * q.sign())


def _polynomial(x: torch.Tensor, coefficients: Sequence[float]) -> torch.Tensor:
    found = x * 0
    for each in coefficients:
        found = found * x + exact(each)
    return found
