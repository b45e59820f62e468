"""The focal loss: rows that are right already count less (Lin et al. 2017, arXiv 1708.02002, equation 5).

−(1 − p_t)^γ log p_t, with p_t the probability of what is so; a positive weight multiplies it as it does without γ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def focal_cross_entropy(
    logits: torch.Tensor, target: torch.Tensor, gamma: float, pos_weight: torch.Tensor | None
) -> torch.Tensor:
    """Return the focal loss of each entry, −(1 − p_t)^γ log p_t; with γ = 0 the binary cross-entropy.

    Parameters
    ----------
    logits, target : Tensor of one shape
        Targets are 0 or 1.
    gamma : float
        γ, 0 or more.
    pos_weight : Tensor, optional
        Multiplies the loss of positive entries; it broadcasts against ``logits``.

    Returns
    -------
    Tensor of the same shape
    """
    from torch.nn import functional as F

    losses = F.binary_cross_entropy_with_logits(logits, target, pos_weight=pos_weight, reduction="none")
    if not gamma:
        return losses
    right = logits * (2 * target - 1)  # p_t = σ(right)
    return losses * (gamma * F.logsigmoid(-right)).exp()


def best_logit(share: float, pos_weight: float, gamma: float) -> float:
    """Return the one logit of least mean loss where this share of entries is positive."""
    plain = float(np.log(pos_weight * share / (1 - share)))
    if not gamma:
        return plain
    from scipy.optimize import minimize_scalar

    def loss(logit: float) -> float:
        log_p, log_q = -np.logaddexp(0, -logit), -np.logaddexp(0, logit)
        positive, negative = np.exp(gamma * log_q) * log_p, np.exp(gamma * log_p) * log_q
        return float(-(pos_weight * share * positive + (1 - share) * negative))

    return float(minimize_scalar(loss, bounds=(min(plain, 0) - 1, max(plain, 0) + 1), method="bounded").x)
