"""Quantile regression: several quantiles of the label, each the best under its pinball loss (Koenker & Bassett 1978).

doi 10.2307/1913643. Quantiles that cross are put in order, which never makes them worse (Chernozhukov, Fernández-Val &
Galichon 2010, doi 10.3982/ECTA7880).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mtl_cli.config.errors import Problem

if TYPE_CHECKING:
    import torch


def check_quantiles(quantiles: Sequence[float], where: str) -> Iterator[Problem]:
    """Yield what is wrong with the quantiles that are asked for."""
    if not quantiles:
        yield Problem(where, "is empty", "quantiles=[0.05,0.5,0.95]")
    elif list(quantiles) != sorted(set(quantiles)):
        yield Problem(where, "must rise from one to the next", f"{sorted(set(quantiles))}".replace(" ", ""))


def pinball(output: torch.Tensor, target: torch.Tensor, quantiles: torch.Tensor) -> torch.Tensor:
    """Return max(q (y − ŷ), (q − 1)(y − ŷ)), the mean over quantiles, (n, quantiles) and (n,) to (n,)."""
    import torch

    error = target.unsqueeze(-1) - output
    return torch.maximum(quantiles * error, (quantiles - 1) * error).mean(-1)


def median_weights(quantiles: Sequence[float]) -> tuple[float, ...]:
    """Return what to multiply quantiles in order by: their sum is the median, or lies between those next to it."""
    identity = np.eye(len(quantiles))
    return tuple(float(np.interp(0.5, quantiles, column)) for column in identity)


def column_suffix(quantile: float) -> str:
    """Return how a quantile's column ends: ``q05`` for 0.05, ``q025`` for 0.025."""
    return "q" + f"{quantile:.10f}"[2:].rstrip("0").ljust(2, "0")
