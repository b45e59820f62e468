"""Ordered classes: probabilities that cannot cross, their likelihood, and the metrics of the median class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit
from sklearn.metrics import cohen_kappa_score

from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import components
from mtl_cli.tasks.cumulative import class_probabilities, log_likelihood, raw_of
from mtl_cli.tasks.kinds.ordinal import Ordinal, quadratic_kappa


def test_probabilities_are_differences_of_cumulative_logits() -> None:
    raw = np.array([[-1.0, 0.5, -2.0]])
    cuts = np.cumsum([-1.0, np.log1p(np.exp(0.5)) + 1e-6, np.log1p(np.exp(-2.0)) + 1e-6])
    below = np.concatenate([[0.0], expit(cuts), [1.0]])
    np.testing.assert_allclose(class_probabilities(raw)[0], np.diff(below))
    for number in range(4):
        found = log_likelihood(torch.tensor(raw), torch.tensor([number]))
        assert float(found) == pytest.approx(np.log(np.diff(below)[number]))


def test_the_way_back_and_far_outputs() -> None:
    raw = np.random.default_rng(0).normal(size=(40, 3)) * 3
    np.testing.assert_allclose(raw_of(class_probabilities(raw)), raw, atol=1e-5)
    far = torch.tensor([[60.0, -80.0, 90.0], [-90.0, -80.0, -80.0]], requires_grad=True)
    for number in range(4):
        found = log_likelihood(far, torch.tensor([number, number]))
        assert bool(found.isfinite().all())
        (slope,) = torch.autograd.grad(found.sum(), far, retain_graph=True)
        assert bool(slope.isfinite().all())


def test_two_classes_are_a_logistic_regression() -> None:
    raw = torch.tensor([[0.3], [-2.0]])
    torch.testing.assert_close(
        log_likelihood(raw, torch.tensor([0, 1])), torch.nn.functional.logsigmoid(torch.tensor([0.3, 2.0]))
    )


def test_kappa_is_scikit_learns_in_each_resample() -> None:
    random = np.random.default_rng(0)
    truth, guess = random.integers(0, 5, 60), random.integers(0, 4, 60)
    counts = np.stack([np.bincount(random.integers(0, 60, 60), minlength=60) for _ in range(3)])
    for held, kappa in zip(counts, quadratic_kappa(truth, guess, counts), strict=True):
        rows = np.repeat(np.arange(60), held)
        assert kappa == pytest.approx(cohen_kappa_score(truth[rows], guess[rows], weights="quadratic"))


def test_the_median_class_is_predicted() -> None:
    task = Ordinal(order=["low", "mid", "high"]).fit(
        "t", pd.DataFrame({"t": ["high", "low", "mid", "low"]}), np.arange(4)
    )
    output = (raw_of(np.array([[0.4, 0.15, 0.45], [0.6, 0.3, 0.1]])) - np.array(task.offsets)).astype("float32")
    assert task.decode(output)["predicted_t"].tolist() == ["mid", "low"]
    assert task.decode(output)["predicted_t_prob"].tolist() == pytest.approx([0.15, 0.6], rel=1e-4)


@pytest.mark.parametrize(
    ("labels", "keys", "message"),
    [
        (
            ["low", "high", "low"],
            {},
            "tasks.t: the classes are not numbers, and their order is not given; tasks.t.order=",
        ),
        (["low", "high", "mid"], {"order": ["low", "high"]}, "tasks.t.order: lacks the class 'mid'"),
        ([True, False, True], {}, "tasks.t: the classes are not numbers"),
    ],
)
def test_classes_without_an_order(labels: list[Any], keys: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        components("task")["ordinal"](**keys).fit("t", pd.DataFrame({"t": labels}), np.arange(3))
    assert str(caught.value).startswith(message)


def test_an_order_that_names_a_class_twice() -> None:
    assert "names a class twice" in next(Ordinal(order=["a", "b", "a"]).check("t")).what
    assert "at least two" in next(Ordinal(order=["a"]).check("t")).what
