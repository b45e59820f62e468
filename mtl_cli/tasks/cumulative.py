"""Cumulative logits: probabilities of ordered classes from thresholds that cannot cross (McCullagh 1980).

doi 10.1111/j.2517-6161.1980.tb01109.x. With K classes, P(y ≤ k) = σ(a_k) for k = 1 … K − 1, where

    a_1 = o_1,    a_k = a_{k−1} + softplus(o_k),

so that P(y = k) = σ(a_k) − σ(a_{k−1}) is above 0 whatever the outputs o are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mtl_cli.tasks.links import sigmoid

if TYPE_CHECKING:
    import torch

LEAST_GAP = 1e-6
"""Two thresholds are at least so far apart: no class gets the probability 0."""


def thresholds(raw: torch.Tensor) -> torch.Tensor:
    """Return a_1 … a_{K−1}, (n, K − 1), of raw outputs of the same shape."""
    import torch

    return torch.cat([raw[..., :1], _gaps(raw)], -1).cumsum(-1)


def _gaps(raw: torch.Tensor) -> torch.Tensor:
    """Return a_2 − a_1 …, which differences of large thresholds would round to nothing."""
    from torch.nn.functional import softplus

    return softplus(raw[..., 1:]) + LEAST_GAP


def log_likelihood(raw: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Return log P(y), (n,), of classes numbered from 0.

    log(σ(b) − σ(a)) = log σ(b) + log σ(−a) + log(1 − e^{a − b}), without cancellation.
    """
    import torch
    from torch.nn.functional import logsigmoid, pad

    cuts = thresholds(raw)
    below_last = logsigmoid(pad(cuts, (0, 1), value=0.0))  # the last class ends nowhere, the first begins nowhere
    above_first = logsigmoid(-pad(cuts, (1, 0), value=0.0))
    gaps = pad(torch.log(-torch.expm1(-_gaps(raw))), (1, 1), value=0.0)
    last = cuts.shape[-1]
    index = classes.long().unsqueeze(-1)
    upper = below_last.gather(-1, index).squeeze(-1).where(classes < last, 0.0)
    lower = above_first.gather(-1, index).squeeze(-1).where(classes > 0, 0.0)
    inner = gaps.gather(-1, index).squeeze(-1) if last > 1 else upper.new_zeros(upper.shape)
    return upper + lower + inner


def cumulative(raw: np.ndarray) -> np.ndarray:
    """Return P(y ≤ k) for k = 1 … K − 1, float64, (…, K − 1)."""
    values = raw.astype("float64")
    gaps = np.logaddexp(0, values[..., 1:]) + LEAST_GAP
    return sigmoid(np.concatenate([values[..., :1], gaps], -1).cumsum(-1))


def class_probabilities(raw: np.ndarray) -> np.ndarray:
    """Return P(y = k), float64, (…, K)."""
    below = cumulative(raw)
    ends = np.zeros((*below.shape[:-1], 1))
    return np.diff(np.concatenate([ends, below, ends + 1], -1), axis=-1)


def raw_of(probabilities: np.ndarray, least: float = 1e-7) -> np.ndarray:
    """Return the raw outputs that give these probabilities of the classes, (…, K) to (…, K − 1), float64."""
    kept = np.maximum(probabilities.astype("float64"), least)
    kept = kept / kept.sum(-1, keepdims=True)
    below, above = kept.cumsum(-1)[..., :-1], kept[..., ::-1].cumsum(-1)[..., ::-1][..., 1:]
    cuts = np.log(below) - np.log(above)
    gaps = np.maximum(np.diff(cuts, axis=-1) - LEAST_GAP, 1e-12)
    inverse = gaps + np.log(-np.expm1(-gaps))  # of softplus
    return np.concatenate([cuts[..., :1], inverse], -1)
