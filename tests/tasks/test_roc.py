"""The area under the ROC curve with its interval, and the focal loss."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F

from mtl_cli.tasks.focal import best_logit, focal_cross_entropy
from mtl_cli.tasks.roc import area_with_interval


def test_the_area_is_scikit_learns_and_the_interval_delongs() -> None:
    random = np.random.default_rng(0)
    truth = random.random(60) < 0.4
    stated = np.round(random.normal(size=60) + truth, 1)
    area, low, high = area_with_interval(truth, stated)
    assert area == pytest.approx(roc_auc_score(truth, stated))
    better = (stated[truth][:, None] > stated[~truth]) + 0.5 * (stated[truth][:, None] == stated[~truth])
    variance = better.mean(1).var(ddof=1) / truth.sum() + better.mean(0).var(ddof=1) / (~truth).sum()
    half = 1.959963984540054 * math.sqrt(variance) / (area * (1 - area))
    center = math.log(area / (1 - area))
    assert (low, high) == pytest.approx(tuple(1 / (1 + math.exp(-(center + s * half))) for s in (-1, 1)))


def test_the_interval_holds_the_area_as_often_as_it_says() -> None:
    random, inside = np.random.default_rng(1), []
    expected = 0.7602499389065233  # Φ(1 / √2)
    for _ in range(400):
        truth = random.random(150) < 0.3
        _, low, high = area_with_interval(truth, random.normal(size=150) + truth)
        inside.append(low <= expected <= high)
    assert 0.92 < np.mean(inside) < 0.98


def test_one_class_alone_has_no_area() -> None:
    assert all(math.isnan(each) for each in area_with_interval(np.ones(3, bool), np.arange(3.0)))
    area, low, high = area_with_interval(np.array([True, True, False, False]), np.array([3.0, 4.0, 1.0, 2.0]))
    assert area == 1
    assert math.isnan(low) and math.isnan(high)


def test_the_focal_loss() -> None:
    logits, target = torch.tensor([0.3, -2.0, 4.0]), torch.tensor([1.0, 0.0, 0.0])
    p = torch.sigmoid(logits)
    right = torch.where(target > 0, p, 1 - p)
    torch.testing.assert_close(focal_cross_entropy(logits, target, 2.0, None), -((1 - right) ** 2) * right.log())
    weight = torch.tensor(3.0)
    plain = F.binary_cross_entropy_with_logits(logits, target, pos_weight=weight, reduction="none")
    torch.testing.assert_close(focal_cross_entropy(logits, target, 0.0, weight), plain)


@pytest.mark.parametrize(
    ("share", "weight", "gamma"), [(0.1, 1.0, 2.0), (0.5, 1.0, 1.0), (0.02, 5.0, 3.0), (0.3, 2.0, 0.0)]
)
def test_the_best_constant_of_the_focal_loss(share: float, weight: float, gamma: float) -> None:
    grid = torch.linspace(-8, 8, 16001, dtype=torch.float64)
    both = [focal_cross_entropy(grid, torch.full_like(grid, y), gamma, torch.tensor(weight)) for y in (1.0, 0.0)]
    best = float(grid[(share * both[0] + (1 - share) * both[1]).argmin()])
    assert best_logit(share, weight, gamma) == pytest.approx(best, abs=2e-3)
