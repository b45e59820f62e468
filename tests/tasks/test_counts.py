"""Counts: likelihoods against scipy's, the best constants, and labels that are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.metrics import d2_tweedie_score, mean_poisson_deviance

from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import components
from mtl_cli.tasks.counts import best_log_dispersion, negative_binomial, poisson

COUNTS = np.array([0, 1, 2, 5, 29, 30, 31, 200, 1e4, 1e6])
MEANS = np.array([0.1, 3, 2, 9, 20, 30, 500, 201, 1.01e4, 1e6 + 50])


def test_the_poisson_likelihood_in_32_bits() -> None:
    found = poisson(torch.tensor(np.log(MEANS), dtype=torch.float32), torch.tensor(COUNTS, dtype=torch.float32))
    np.testing.assert_allclose(found.numpy(), -stats.poisson.logpmf(COUNTS, MEANS), rtol=1e-4)


def test_the_negative_binomial_likelihood() -> None:
    alpha = np.array([0.1, 0.5, 2, 1, 0.3, 0.01, 0.002, 5, 0.1, 1])
    found = negative_binomial(*(torch.tensor(each) for each in (np.log(MEANS), np.log(alpha), COUNTS)))
    r = 1 / alpha
    np.testing.assert_allclose(found.numpy(), -stats.nbinom.logpmf(COUNTS, r, r / (r + MEANS)), rtol=1e-8)
    wild = torch.tensor([200.0, -200.0], requires_grad=True)
    loss = negative_binomial(wild, torch.tensor([50.0, -50.0]), torch.tensor([3.0, 3.0]))
    loss.sum().backward()
    assert bool(loss.isfinite().all())
    assert wild.grad is not None
    assert bool(wild.grad.isfinite().all())


def test_the_dispersion_is_found() -> None:
    counts = np.random.default_rng(0).negative_binomial(2, 2 / (2 + 5), 20_000)
    assert np.exp(best_log_dispersion(counts)) == pytest.approx(0.5, rel=0.1)


def test_metrics_are_scikit_learns() -> None:
    random = np.random.default_rng(0)
    labels = pd.DataFrame({"t": random.poisson(4, 80)})
    task = components("task")["count"]().fit("t", labels, np.arange(80))
    output = random.normal(size=(80, 1)).astype("float32") / 3
    values, mean = task.encode(task.labels(labels)).values, task.decode(output)["predicted_t"]
    found = task.metrics(output, values)
    assert found["deviance"] == pytest.approx(mean_poisson_deviance(values, mean))
    assert found["d2"] == pytest.approx(d2_tweedie_score(values, mean, power=1))
    np.testing.assert_allclose(
        task.probabilities_of(output, np.arange(5)), stats.poisson.pmf(np.arange(5), mean[:, None]), rtol=1e-4
    )


def test_members_mean_is_the_mean_of_their_predictions() -> None:
    labels = pd.DataFrame({"t": [0, 1, 5, 3]})
    task = components("task")["count"](loss="negative_binomial").fit("t", labels, np.arange(4))
    outputs = torch.randn(6, 3, 2, generator=torch.Generator().manual_seed(0))
    each = [task.decode(own.numpy())["predicted_t"] for own in outputs.unbind(1)]
    np.testing.assert_allclose(
        task.decode(task.average(outputs).numpy())["predicted_t"], np.mean(each, axis=0), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, -2, 3], "tasks.t: '-2.0' in row 2 of column 't' is below 0: a count is 0, 1, 2, …"),
        ([1, 2.5, 3], "tasks.t: '2.5' in row 2 of column 't' is not whole: a count is 0, 1, 2, …"),
        ([1, "x", 3], "tasks.t: 'x' in row 2 is not a finite number"),
        ([2, 2, 2], "tasks.t: the label is constant over the training rows (2)"),
        ([1, 2, 1e9], "tasks.t: '1000000000.0' in row 3 of column 't' is too large"),
    ],
)
def test_labels_that_are_no_counts(labels: list[Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        components("task")["count"]().fit("t", pd.DataFrame({"t": labels}), np.arange(3))
    assert str(caught.value).startswith(message)
