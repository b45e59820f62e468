"""What a method sees, for tests, and the Gramian methods as functions of the Gramian alone, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from mtl_cli.balancing.base import Balancer, StepStatistics
from mtl_cli.balancing.methods import (
    aligned_mtl,
    cagrad,
    conflict_free,
    dualproj,
    fairgrad,
    gradvac,
    imtl_g,
    mgda,
    nash_mtl,
    pcd,
    pcgrad,
    upgrad,
)

CPU = torch.device("cpu")

Weights = Callable[..., torch.Tensor]


def on_tensors(weights: Callable[..., Any]) -> Weights:
    """Return a function of arrays as one of tensors."""

    def found(*arguments: Any) -> Any:
        values = weights(*(a.numpy() if isinstance(a, torch.Tensor) else a for a in arguments))
        return tuple(map(torch.from_numpy, values)) if isinstance(values, tuple) else torch.from_numpy(values)

    return found


aligned_mtl_weights = on_tensors(lambda gramian, size="min": aligned_mtl.AlignedMTL(size=size).solve(gramian))
cagrad_weights = on_tensors(lambda gramian, c: cagrad.CAGrad(c=c).solve(gramian))
conflict_free_weights = on_tensors(conflict_free.ConflictFree().solve)
dualproj_weights = on_tensors(dualproj.DualProjection().solve)
fairgrad_weights = on_tensors(lambda gramian, alpha: fairgrad.FairGrad(alpha=alpha).solve(gramian))
gradvac_weights = on_tensors(gradvac.gradvac_weights)
imtl_g_weights = on_tensors(imtl_g.imtl_g_weights)
mgda_weights = on_tensors(mgda.MGDA().solve)
nash_mtl_weights = on_tensors(nash_mtl.NashMTL().solve)
pcd_weights = on_tensors(pcd.pcd_weights)
pcgrad_weights = on_tensors(pcgrad.pcgrad_weights)
upgrad_weights = on_tensors(upgrad.UPGrad().solve)

METHODS: dict[str, Weights] = {
    "aligned_mtl": aligned_mtl_weights,
    "cagrad 0.5": lambda g: cagrad_weights(g, 0.5),
    "cagrad 1": lambda g: cagrad_weights(g, 1.0),
    "conflict_free": conflict_free_weights,
    "dualproj": dualproj_weights,
    "fairgrad 1": lambda g: fairgrad_weights(g, 1.0),
    "fairgrad 2": lambda g: fairgrad_weights(g, 2.0),
    "imtl_g": imtl_g_weights,
    "mgda": mgda_weights,
    "nash_mtl": nash_mtl_weights,
    "upgrad": upgrad_weights,
}


def in_order(size: int) -> torch.Tensor:
    return torch.arange(size).expand(size, size)


def seen(losses: torch.Tensor, present: torch.Tensor | None = None, *others: Any, **named: Any) -> StepStatistics:
    """Return what a method sees; without ``present``, all tasks are there."""
    return StepStatistics(
        losses, torch.ones_like(losses, dtype=torch.bool) if present is None else present, *others, **named
    )


def drawn(method: Balancer, generator: torch.Generator, seen: StepStatistics) -> StepStatistics:
    """Return what a method sees, with what it draws."""
    width = 0 if seen.jacobian is None else seen.jacobian.shape[-1]
    return seen._replace(draws=method.draw(seen.losses.shape[-1], width, seen.losses.device, generator))
