"""Likelihoods of counts, y = 0, 1, 2, …: Poisson, and negative binomial where they vary more than that.

Both in torch and without the cancellation of large logarithms of factorials: −log p of a count y of mean μ is taken as
what it costs that μ is not y, and what it costs at least, log(y!) − y log y + y.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

MOST_LOG = 80.0
"""Logarithms of means are cut here, as those of regressions are: a wild one stays a number."""
STIRLING = 30.0
"""From this count on log(y!) is Stirling's, which is then right to 1e−6."""
LEAST_LOG_DISPERSION, MOST_LOG_DISPERSION = -7.0, 7.0


def half_deviance(log_mean: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return y log(y / μ) − (y − μ), which is 0 where μ is y."""
    import torch

    log_mean = log_mean.clamp(max=MOST_LOG)
    r = y.clamp(min=1).log() - log_mean
    return torch.where(y > 0, y * (torch.expm1(-r) + r), log_mean.exp())


def log_factorial_rest(y: torch.Tensor) -> torch.Tensor:
    """Return log(y!) − y log y + y, −log p of a Poisson count whose mean is y."""
    import torch

    small, large = y.clamp(max=STIRLING), y.clamp(min=STIRLING)
    exact = torch.lgamma(small + 1) - torch.xlogy(small, small) + small
    return torch.where(y < STIRLING, exact, 0.5 * (2 * torch.pi * large).log() + 1 / (12 * large))


def poisson(log_mean: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return −log p(y) = μ − y log μ + log(y!)."""
    return half_deviance(log_mean, y) + log_factorial_rest(y)


def negative_binomial(log_mean: torch.Tensor, log_dispersion: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return −log p(y) of mean μ and variance μ + α μ² (NB2: Cameron & Trivedi 2013, section 3.3).

    With r = 1 / α: −log Γ(y + r) + log Γ(r) + log(y!) + (y + r) log(1 + α μ) − y log(α μ). In 64 bits, where the device
    has them.
    """
    import torch

    kind = torch.float32 if log_mean.device.type == "mps" else torch.float64
    log_mean, count = log_mean.to(kind).clamp(max=MOST_LOG), y.to(kind)
    log_alpha = log_dispersion.to(kind).clamp(LEAST_LOG_DISPERSION, MOST_LOG_DISPERSION)
    r, log_product = torch.exp(-log_alpha), log_alpha + log_mean
    gammas = torch.lgamma(r) + torch.lgamma(count + 1) - torch.lgamma(count + r)
    return (gammas + (count + r) * torch.nn.functional.softplus(log_product) - count * log_product).to(y.dtype)


def best_log_dispersion(y: np.ndarray) -> float:
    """Return the log α of most likelihood for counts of one mean, within the limits of this module."""
    import torch
    from scipy.optimize import minimize_scalar

    values, counts = np.unique(y.astype("float64"), return_counts=True)
    labels, weights = torch.from_numpy(values), torch.from_numpy(counts)
    log_mean = torch.full_like(labels, float(np.log(y.mean())))

    def loss(log_alpha: float) -> float:
        return float((negative_binomial(log_mean, torch.full_like(labels, log_alpha), labels) * weights).sum())

    limits = (LEAST_LOG_DISPERSION, MOST_LOG_DISPERSION)
    return float(minimize_scalar(loss, bounds=limits, method="bounded", options={"xatol": 1e-6}).x)
