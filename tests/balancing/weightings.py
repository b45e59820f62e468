"""The Gramian methods as functions of the Gramian alone, by name."""

from __future__ import annotations

import torch

from mtl_cli.balancing.methods.aligned_mtl import aligned_mtl_weights
from mtl_cli.balancing.methods.cagrad import cagrad_weights
from mtl_cli.balancing.methods.conflict_free import conflict_free_weights
from mtl_cli.balancing.methods.dualproj import dualproj_weights
from mtl_cli.balancing.methods.fairgrad import fairgrad_weights
from mtl_cli.balancing.methods.imtl_g import imtl_g_weights
from mtl_cli.balancing.methods.mgda import mgda_weights
from mtl_cli.balancing.methods.nash_mtl import nash_mtl_weights
from mtl_cli.balancing.methods.upgrad import upgrad_weights

METHODS = {
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
