"""From a network's outputs to probabilities."""

from __future__ import annotations

import numpy as np


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(−o)), float64, without overflow."""
    halves = logits.astype("float64") / 2
    return np.asarray((1 + np.tanh(halves)) / 2)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return exp(o_c) / Σ exp(o_k) along the last axis, float64."""
    shifted = np.exp(logits.astype("float64") - logits.max(-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(-1, keepdims=True))
