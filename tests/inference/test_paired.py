"""The paired bootstrap: metrics of resamples, and intervals that hold the true difference as often as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from mtl_cli.inference.paired import Difference, difference, measured
from mtl_cli.tasks.kinds.binary import BinaryTask
from mtl_cli.tasks.kinds.multiclass import MulticlassTask
from mtl_cli.tasks.kinds.multilabel import MultilabelTask
from mtl_cli.tasks.kinds.regression import RegressionTask
from mtl_cli.tasks.resampling import area_under_roc
from mtl_cli.tasks.task import Task

NUMBER = RegressionTask("y", ["y"], 1.0, False, "mse", 1.0, "none", None, center=3.0, scale=2.0)
FLAG = BinaryTask("y", ["y"], 1.0, False, ["a", "b"], None, None)
CLASS = MulticlassTask("y", ["y"], 1.0, False, [], None, 0.0)
CLASS.classes = ["a", "b", "c"]
TAGS = MultilabelTask("y", ["y"], 1.0, False, ["a", "b"], "|", "none")


def test_the_area_under_the_curve_of_resamples_is_that_of_the_rows_they_hold() -> None:
    random = np.random.default_rng(0)
    truth, stated = random.random(60) < 0.4, random.integers(0, 12, 60) / 12  # many equals
    counts = random.multinomial(60, np.full(60, 1 / 60), size=20)
    found = area_under_roc(truth, stated, counts)
    for held, area in zip(counts, found, strict=True):
        rows = np.repeat(np.arange(60), held)
        assert area == pytest.approx(roc_auc_score(truth[rows], stated[rows]), abs=1e-12)
    assert np.isnan(area_under_roc(truth, stated, np.where(truth, 1, 0)[None])).all()


@pytest.mark.parametrize("task", [NUMBER, FLAG, CLASS, TAGS], ids=lambda task: task.kind)
def test_each_kind_measures_resamples_as_it_measures_rows(task: Task) -> None:
    random = np.random.default_rng(1)
    output = random.normal(size=(80, task.outputs)).astype("float32")
    values = {
        "regression": random.normal(size=80),
        "binary": random.integers(0, 2, 80),
        "multiclass": random.integers(0, 3, 80),
        "multilabel": random.integers(0, 2, (80, 2)),
    }[task.kind].astype("int64" if task.kind == "multiclass" else "float32")
    counts = random.multinomial(80, np.full(80, 1 / 80), size=5)
    np.testing.assert_allclose(task.resampled(output, values, counts), Task.resampled(task, output, values, counts))


def covered(task: Task, true: float, draw, repeats: int = 300) -> float:
    held = 0
    for repeat in range(repeats):
        values, first, second = draw(np.random.default_rng(repeat))
        found = difference(task, first[:, None], second[:, None], values)
        held += abs(found.value - true) <= found.half
    return held / repeats


def test_intervals_hold_a_known_difference_of_errors() -> None:
    """Errors of two models that share a part: root mean squares of 1 and 1.25."""

    def draw(random: np.random.Generator):
        shared, own, other = random.normal(size=(3, 150))
        values = random.normal(size=150)
        return values, values + 0.8 * shared + 0.6 * own, values + 0.8 * shared + math.sqrt(1.25**2 - 0.64) * other

    assert 0.92 <= covered(NUMBER, 2.0 * 0.25, draw) <= 0.98


def test_intervals_hold_a_known_difference_of_areas() -> None:
    """Scores that are normal in each class, 1.5 and 1 deviations apart: the areas are Φ(d / √2)."""

    def draw(random: np.random.Generator):
        values = np.repeat([0.0, 1.0], 75)
        shared, own, other = random.normal(size=(3, 150))
        half = math.sqrt(0.5)
        return values, 1.5 * values + half * (shared + own), values + half * (shared + other)

    true = norm.cdf(1.5 / math.sqrt(2)) - norm.cdf(1 / math.sqrt(2))
    assert 0.92 <= covered(FLAG, float(true), draw) <= 0.98


def test_a_difference_is_positive_for_the_better_and_wider_for_several_together() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=200).astype("float32")
    near, far = (values[:, None] + scale * random.normal(size=(200, 1)) for scale in (0.1, 1.0))
    one, three = (difference(NUMBER, near, far, values, together) for together in (1, 3))
    assert one.better and not one.worse and difference(NUMBER, far, near, values).worse
    assert one.value == three.value > 0 and 1.1 * one.half < three.half < 1.5 * one.half
    same = difference(NUMBER, near, near, values)
    assert (same.value, same.half, same.better, same.worse) == (0, 0, False, False)
    nothing = difference(NUMBER, near[:1], far[:1], values[:1])
    assert math.isnan(nothing.half) and not nothing.better and not nothing.worse


def test_a_difference_is_written_to_two_digits_of_its_half_width() -> None:
    assert str(Difference("roc_auc", 0.01734, 0.00123)) == "0.0173 ± 0.0012 roc_auc"
    assert str(Difference("rmse", -1234.5, 67.8)) == "1234 ± 68 rmse"
    assert str(Difference("rmse", 0.5, 0.0)) == "0.500 ± 0.000 rmse"


def test_one_models_metric_has_the_interval_of_theory_and_none_where_there_is_none() -> None:
    """An accuracy's standard error is √(p (1 − p) / n)."""
    random, n = np.random.default_rng(5), 800
    values = random.integers(0, 3, n)
    right = random.random(n) < 0.7
    output = np.eye(3, dtype="float32")[np.where(right, values, (values + 1) % 3)]
    value, half = measured(CLASS, output, values)
    p = right.mean()
    assert value == pytest.approx(p)
    assert half == pytest.approx(1.96 * math.sqrt(p * (1 - p) / n), rel=0.1)
    assert all(math.isnan(number) for number in measured(CLASS, output[:1], values[:1]))
    one_class = np.zeros(50, "float32")
    assert math.isnan(measured(FLAG, random.normal(size=(50, 1)).astype("float32"), one_class)[1])
