"""The Gramian methods as functions of the Gramian alone, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

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

Weights = Callable[..., torch.Tensor]


def on_tensors(weights: Callable[..., Any]) -> Weights:
    """Return a function of arrays as one of tensors."""

    def found(*arguments: Any) -> Any:
        values = weights(*(a.numpy() if isinstance(a, torch.Tensor) else a for a in arguments))
        return tuple(map(torch.from_numpy, values)) if isinstance(values, tuple) else torch.from_numpy(values)

    return found


aligned_mtl_weights = on_tensors(aligned_mtl.aligned_mtl_weights)
cagrad_weights = on_tensors(lambda gramian, c: cagrad.CAGrad(c=c).rule(gramian))
conflict_free_weights = on_tensors(conflict_free.conflict_free_weights)
dualproj_weights = on_tensors(dualproj.dualproj_weights)
fairgrad_weights = on_tensors(lambda gramian, alpha: fairgrad.FairGrad(alpha=alpha).rule(gramian))
gradvac_weights = on_tensors(gradvac.gradvac_weights)
imtl_g_weights = on_tensors(imtl_g.imtl_g_weights)
mgda_weights = on_tensors(mgda.MGDA().rule)
nash_mtl_weights = on_tensors(nash_mtl.NashMTL().rule)
pcd_weights = on_tensors(pcd.pcd_weights)
pcgrad_weights = on_tensors(pcgrad.pcgrad_weights)
upgrad_weights = on_tensors(upgrad.upgrad_weights)

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
