"""From a network's outputs to probabilities, and from those of an ensemble's members to one output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import torch

Link = Literal["sigmoid", "softmax"]
"""How outputs become probabilities: each by itself, or together those of one class each."""


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(−o)), float64, without overflow."""
    halves = logits.astype("float64") / 2
    return np.asarray((1 + np.tanh(halves)) / 2)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return exp(o_c) / Σ exp(o_k) along the last axis, float64, in one array of its own."""
    shares = logits.astype("float64")
    shares -= shares.max(-1, keepdims=True)
    np.exp(shares, out=shares)
    shares /= shares.sum(-1, keepdims=True)
    return np.asarray(shares)


def log_sum_exp(logits: np.ndarray, chunk: int = 8192) -> tuple[np.ndarray, np.ndarray]:
    """Return log Σ exp(o_k) over the columns, float64, and which column is largest; ``chunk`` rows at a time.

    With a row's first number any of its probabilities is exp(o_c − it): no table of them all is needed.
    """
    total, largest = np.empty(len(logits)), np.empty(len(logits), "int64")
    for start in range(0, len(logits), chunk):
        some = logits[start : start + chunk].astype("float64")
        top = some.max(-1)
        largest[start : start + chunk] = some.argmax(-1)
        total[start : start + chunk] = top + np.log(np.exp(some - top[:, None]).sum(-1))
    return total, largest


def mean_output(outputs: torch.Tensor) -> torch.Tensor:
    """Return the mean of the members' outputs, (n, members, outputs) to (n, outputs)."""
    return outputs.mean(1)


def logit_of_mean(logits: torch.Tensor) -> torch.Tensor:
    """Return the logit of the members' mean probability σ(o), (n, members, outputs) to (n, outputs)."""
    from torch.nn.functional import logsigmoid

    return logsigmoid(logits).logsumexp(1) - logsigmoid(-logits).logsumexp(1)


def log_of_mean(logits: torch.Tensor) -> torch.Tensor:
    """Return the logarithm of the members' mean softmax, up to a constant: (n, members, outputs) to (n, outputs)."""
    return logits.log_softmax(-1).logsumexp(1)
