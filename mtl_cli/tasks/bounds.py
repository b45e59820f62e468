"""Numbers of which some are known only from bounds, `<5`, `>10`, `3..7`, and their likelihood if they are normal."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mtl_cli.tasks.labels import text_of
from mtl_cli.tasks.precision import wide

if TYPE_CHECKING:
    import torch

LEAST_SCALE = 0.05
"""The least deviation of a row's distribution, in deviations of the labels: no density is more than one at it."""
FAR = 1e30
"""In place of ±∞ among encoded bounds, where inf times 0 would be no number."""
_BELOW, _ABOVE = ("<=", "≤", "=<", "<"), (">=", "≥", "=>", ">")
_RANGES = ("..", "…", "–", "—", " to ", "-")


class Bounds(NamedTuple):
    """Where a number lies, both ends included; equal where it is known, infinite where there is no bound."""

    low: float
    high: float

    def __str__(self) -> str:
        if self.low == self.high:
            return text_of(self.low)
        if math.isinf(self.low):
            return f"<{text_of(self.high)}"
        return f">{text_of(self.low)}" if math.isinf(self.high) else f"{text_of(self.low)}..{text_of(self.high)}"


def without_sign(text: str) -> str:
    """Return a text without the `<` or `>` that it begins with."""
    sign = next((sign for sign in (*_BELOW, *_ABOVE) if text.startswith(sign)), "")
    return text[len(sign) :].strip()


def parse_bounds(text: str, number: Callable[[str], float] | None = None) -> Bounds | None:
    """Return what a text such as `5.3`, `<5`, `≥ 10`, `3-7` or `3..7` says of a number; None if it says nothing.

    Parameters
    ----------
    text : str
    number : callable, optional
        Reads a number, NaN if a text is none.
    """
    read = number or _plain
    text = text.strip()
    if math.isfinite(known := read(text)):
        return Bounds(known, known)
    rest = without_sign(text)
    if rest != text:
        bound = read(rest)
        if not math.isfinite(bound):
            return None
        return Bounds(-math.inf, bound) if text.startswith(_BELOW) else Bounds(bound, math.inf)
    if text.startswith(("[", "(")) and text.endswith(("]", ")")) and text.count(",") == 1:
        low, high = (read(part.strip()) for part in text[1:-1].split(","))
        return Bounds(low, high) if math.isfinite(low + high) and low <= high else None
    for mark in _RANGES:
        place = text.find(mark, 1)
        while place > 0:
            low, high = read(text[:place].strip()), read(text[place + len(mark) :].strip())
            if math.isfinite(low) and math.isfinite(high) and low <= high:
                return Bounds(low, high)
            place = text.find(mark, place + 1)
    return None


def _plain(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def censored_loss(mean: torch.Tensor, scale: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Return −log of the likelihood of each number under a normal distribution of its own (Tobin 1958).

    doi 10.2307/1907382. Of a number that is known it is z² / 2 + log(σ / ``LEAST_SCALE``): the density over the largest
    there is, so that no loss is below 0. Of a bound it is −log Φ, of two −log(Φ(z_high) − Φ(z_low)). In 64 bits, where
    the device has them.

    Parameters
    ----------
    mean, scale : Tensor of shape (n,)
        Of the distributions.
    low, high : Tensor of shape (n,)
        Between which each number lies: equal where it is known, at or beyond ±``FAR`` where there is no bound.

    Returns
    -------
    Tensor of shape (n,)
    """
    import torch
    from torch.special import log_ndtr

    kind = wide(mean.device)
    center, sigma, least, most = (each.to(kind) for each in (mean, scale, low, high))
    known, no_low, no_high = least == most, least <= -FAR, most >= FAR
    z_low = (least.where(~no_low, 0.0) - center) / sigma
    z_high = (most.where(~no_high, 0.0) - center) / sigma
    exact = z_low.square() / 2 + (sigma / LEAST_SCALE).log()
    both = ~(known | no_low | no_high)
    flip = z_low + z_high > 0  # Φ(b) − Φ(a) = Φ(−a) − Φ(−b), which is exact where both are in the lower tail
    a, b = torch.where(flip, -z_high, z_low).where(both, -1.0), torch.where(flip, -z_low, z_high).where(both, 1.0)
    ratio = (log_ndtr(a) - log_ndtr(b)).clamp(max=-1e-12)
    inside = log_ndtr(b) + torch.log(-torch.expm1(ratio))
    found = torch.where(both, -inside, exact)
    found = torch.where(no_low, -log_ndtr(z_high), torch.where(no_high, -log_ndtr(-z_low), found))
    return found.to(mean.dtype)


def best_constant(low: np.ndarray, high: np.ndarray) -> tuple[float, float]:
    """Return the mean and the deviation of most likelihood, the latter ``LEAST_SCALE`` or more, of encoded ends."""
    import torch
    from scipy.optimize import minimize

    ends = [torch.from_numpy(each.astype("float64")) for each in (low, high)]

    def loss(found: np.ndarray) -> tuple[float, np.ndarray]:
        at = torch.tensor(found, dtype=torch.float64, requires_grad=True)
        mean, scale = at[0].expand(len(low)), (LEAST_SCALE + at[1].exp()).expand(len(low))
        total = censored_loss(mean, scale, *ends).mean()
        (slope,) = torch.autograd.grad(total, at)
        return float(total.detach()), slope.numpy()

    found = minimize(loss, np.array([0.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(-50, 50), (-10, 5)])
    return float(found.x[0]), LEAST_SCALE + math.exp(found.x[1])
