"""The threshold of the best F1 or balanced accuracy, against trying them all."""

from __future__ import annotations

import numpy as np
import pytest

from mtl_cli.tasks.thresholds import best_threshold


def f1(truth: np.ndarray, predicted: np.ndarray) -> float:
    return 2 * (truth & predicted).sum() / (truth.sum() + predicted.sum())


def balanced(truth: np.ndarray, predicted: np.ndarray) -> float:
    return (predicted[truth].mean() + (~predicted[~truth]).mean()) / 2


MEASURES = {"f1": f1, "balanced": balanced}


@pytest.mark.parametrize("goal", MEASURES)
@pytest.mark.parametrize("seed", range(6))
def test_no_other_threshold_is_better(goal: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    truth = random.random(80) < 0.2
    probability = (0.3 * truth + 0.7 * random.random(80)).round(1 + seed % 2)  # with ties
    found = best_threshold(probability, truth, goal)  # type: ignore[arg-type]
    reached = MEASURES[goal](truth, probability >= found)
    every = [MEASURES[goal](truth, probability >= cut) for cut in np.linspace(0.001, 0.999, 999)]
    assert reached == pytest.approx(max(every))


def test_rare_positives_have_a_low_threshold() -> None:
    random = np.random.default_rng(0)
    probability = random.beta(1, 12, 20_000)
    truth = random.random(20_000) < probability
    assert best_threshold(probability, truth, "balanced") == pytest.approx(truth.mean(), abs=0.03)
    assert 0.05 < best_threshold(probability, truth, "f1") < 0.25


def test_of_equals_the_nearest_to_a_half_and_a_half_for_one_label() -> None:
    probability = np.array([0.1, 0.2, 0.3, 0.8, 0.9])
    assert best_threshold(probability, probability > 0.5, "f1") == pytest.approx(0.55)
    assert best_threshold(probability, np.zeros(5), "f1") == 0.5 == best_threshold(probability, np.ones(5), "balanced")
