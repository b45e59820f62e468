"""Quantile regression: the loss, the columns, the best constants, and intervals made of quantiles."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn import metrics

from mtl_cli.tasks.kinds.regression import Regression, RegressionTask
from mtl_cli.tasks.post_hoc_fit import fit_post_hoc
from mtl_cli.tasks.quantiles import column_suffix, median_weights, pinball
from tests.conftest import InProcess, houses

QUANTILES = [0.05, 0.5, 0.95]


def test_the_pinball_loss_is_scikit_learns_and_least_at_the_quantiles() -> None:
    random = np.random.default_rng(0)
    y, output = random.normal(size=200), random.normal(size=(200, 3))
    found = pinball(torch.tensor(output), torch.tensor(y), torch.tensor(QUANTILES, dtype=torch.float64)).mean()
    each = [metrics.mean_pinball_loss(y, output[:, i], alpha=q) for i, q in enumerate(QUANTILES)]
    assert float(found) == pytest.approx(np.mean(each))


def test_the_best_constants_are_the_quantiles_of_the_training_rows() -> None:
    random = np.random.default_rng(1)
    table = pd.DataFrame({"y": random.exponential(10, 999)})
    task = Regression(loss="quantile").fit("y", table, np.arange(999))
    assert (task.outputs, task.baseline.shape) == (3, (3,))
    columns = task.decode(np.tile(task.baseline, (2, 1)))
    assert list(columns) == ["predicted_y", "predicted_y_q05", "predicted_y_q50", "predicted_y_q95"]
    for quantile, name in zip(QUANTILES, list(columns)[1:], strict=True):
        assert columns[name][0] == pytest.approx(table["y"].quantile(quantile), rel=1e-5)
    assert columns["predicted_y"][0] == pytest.approx(table["y"].median(), rel=1e-5)


def test_quantiles_that_cross_are_put_in_order() -> None:
    task = Regression(loss="quantile", standardize=False).fit("y", pd.DataFrame({"y": [1.0, 2.0]}), np.arange(2))
    columns = task.decode(np.array([[3.0, 1.0, 2.0]], "float32"))
    assert [float(values[0]) for values in columns.values()] == [2, 1, 2, 3]
    monitored = task.monitor(torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([2.5]))
    assert float(monitored) == pytest.approx(task.metrics(np.array([[3.0, 1.0, 2.0]]), np.array([2.5]))["rmse"])


def test_the_prediction_lies_between_the_quantiles_next_to_the_median() -> None:
    assert median_weights([0.05, 0.5, 0.95]) == (0, 1, 0)
    assert median_weights([0.1, 0.9]) == pytest.approx((0.5, 0.5))
    assert median_weights([0.8, 0.9]) == (1, 0)
    assert [column_suffix(q) for q in (0.05, 0.5, 0.025, 0.999, 1e-5)] == ["q05", "q50", "q025", "q999", "q00001"]


def test_intervals_of_quantiles_are_as_wide_as_the_rows_uncertainty() -> None:
    random = np.random.default_rng(2)
    x = random.uniform(0.1, 3, 6000)
    y = x * random.normal(size=6000)
    config = Regression(loss="quantile", standardize=False, interval=0.9)
    bare = config.fit("y", pd.DataFrame({"y": y}), np.arange(6000))
    output = (x[:, None] * np.array([-0.5, 0.1, 0.7])).astype("float32")  # too narrow, and not centred
    values = y.astype("float32")
    task = replace(bare, post_hoc=fit_post_hoc(config, bare, output[:3000], values[:3000]))
    low, high = task.interval_columns(output[3000:]).values()
    assert 0.88 < ((low <= y[3000:]) & (y[3000:] <= high)).mean() < 0.92
    assert stats.spearmanr(high - low, x[3000:]).statistic > 0.99
    wide = (x[:, None] * np.array([-9, 0, 9])).astype("float32")
    task = replace(bare, post_hoc=fit_post_hoc(config, bare, wide[:3000], values[:3000]))
    low, high = task.interval_columns(wide[3000:]).values()
    assert (low <= high).all() and high.max() < 27, "intervals that were too wide are made narrower"


@pytest.mark.parametrize("balancer", ["uniform", "upgrad"])
def test_a_run_with_quantiles(mtl: InProcess, balancer: str) -> None:
    houses(240).to_csv("houses.csv", index=False)
    tasks = "tasks={price: {kind: regression, loss: quantile, transform: log1p, interval: 0.8}, sold: binary}"
    words = ("dataset=houses.csv", tasks, f"balancer={balancer}", "trainer.folds=2", "trainer.epochs=3", "plots=false")
    status, _, err = mtl("train", *words, "run_dir=run", "trainer.early_stopping.monitor=price.pinball")
    assert status == 0, err
    table = pd.read_csv("run/predictions.csv").dropna(subset="price")
    names = ["predicted_price_q05", "predicted_price_q50", "predicted_price_q95"]
    assert (table[names].diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)
    found = json.loads(Path("run/metrics.json").read_text())["splits"]["test"]["tasks"]["price"]
    each = [metrics.mean_pinball_loss(table["price"], table[n], alpha=q) for q, n in zip(QUANTILES, names, strict=True)]
    assert found["pinball"] == pytest.approx(np.mean(each), rel=1e-4)
    assert found["rmse"] == pytest.approx(((table["price"] - table["predicted_price"]) ** 2).mean() ** 0.5, rel=1e-4)
    assert (
        found["coverage"] == ((table["price_low"] <= table["price"]) & (table["price"] <= table["price_high"])).mean()
    )


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("loss: quantile, quantiles: [0.5, 0.1]", "must rise"),
        ("loss: quantile, quantiles: []", "is empty"),
        ("quantiles: [0.5]", "has no effect with loss: mse"),
        ("loss: quantile, quantiles: [0.1, 1.5]", "must be below 1"),
    ],
)
def test_wrong_quantiles_are_one_line(mtl: InProcess, keys: str, message: str) -> None:
    houses(60).to_csv("houses.csv", index=False)
    status, _, err = mtl("train", "dataset=houses.csv", f"tasks={{price: {{kind: regression, {keys}}}}}")
    lines = [line for line in err.splitlines() if "error" in line]
    assert status == 2 and len(lines) == 1 and message in lines[0] and "tasks.price.quantiles" in lines[0], err


def test_the_state_comes_back() -> None:
    table = pd.DataFrame({"y": np.arange(20.0)})
    task = Regression(loss="quantile", quantiles=[0.1, 0.9]).fit("y", table, np.arange(20))
    again = Regression.restore(json.loads(json.dumps(task.state())))
    assert isinstance(again, RegressionTask) and again == task
