"""Split-conformal intervals and sets: the quantile of finitely many scores, and how many labels are inside."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mtl_cli.tasks.conformal import Conformal, conformal_quantile, rank, rows_needed, set_texts
from mtl_cli.tasks.kinds.binary import Binary
from mtl_cli.tasks.kinds.multiclass import Multiclass
from mtl_cli.tasks.kinds.regression import Regression
from mtl_cli.tasks.post_hoc import PostHoc
from mtl_cli.tasks.post_hoc_fit import fit_post_hoc
from mtl_cli.tasks.task import Task, TaskConfig


@pytest.mark.parametrize(("rows", "coverage"), [(9, 0.9), (19, 0.9), (40, 0.8), (29, 0.9), (99, 0.95)])
def test_a_further_score_is_within_the_quantile_as_often_as_asked(rows: int, coverage: float) -> None:
    """By exchangeability with probability ⌈(n + 1)(1 − α)⌉ / (n + 1); the plain quantile of 9 scores has 0.83."""
    random = np.random.default_rng(rows)
    draws = random.exponential(size=(20_000, rows + 1)) ** 2
    inside = np.mean([draw[-1] <= conformal_quantile(draw[:-1], coverage) for draw in draws])
    exact = math.ceil(round((rows + 1) * coverage, 6)) / (rows + 1)
    assert exact >= coverage
    assert inside == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / len(draws)))


def test_the_rank_and_the_rows_that_it_needs() -> None:
    assert [rank(n, 0.9) for n in (8, 9, 10, 29, 99)] == [9, 9, 10, 27, 90]
    assert conformal_quantile(np.arange(1.0, 10), 0.9) == 9
    assert conformal_quantile(np.arange(1.0, 9), 0.9) == math.inf
    assert [rows_needed(coverage) for coverage in (0.5, 0.8, 0.9, 0.95, 0.99)] == [1, 4, 9, 19, 99]
    for coverage in np.random.default_rng(0).uniform(0.01, 0.999, 200):
        least = rows_needed(coverage)
        assert rank(least, coverage) <= least and (least == 1 or rank(least - 1, coverage) > least - 1)


def test_sets_are_written_with_bars() -> None:
    inside = np.array([[True, False, True], [False, True, False], [False, False, False]])
    assert set_texts(inside, ["a", 2, True]).tolist() == ["a|True", "2", "none"]


def with_interval(config: TaskConfig, task: Task, output: np.ndarray, values: np.ndarray) -> Task:
    return replace(task, post_hoc=fit_post_hoc(config, task, output, values))


@pytest.mark.parametrize("transform", ["none", "log1p"])
def test_intervals_are_in_label_units_and_hold_what_they_say(transform: str) -> None:
    random = np.random.default_rng(1)
    x = random.normal(size=4000)
    y = np.expm1(0.5 * x + 3 + 0.2 * random.standard_t(3, 4000))
    config = Regression(interval=0.9, transform=transform)  # type: ignore[arg-type]
    table, half = pd.DataFrame({"y": y}), np.arange(2000)
    bare = config.fit("y", table, half)
    output = (0.8 * (x[:, None] - x.mean())).astype("float32")
    target = bare.encode(table["y"])
    task = with_interval(config, bare, output[:2000], target.values[:2000])
    columns = task.interval_columns(output[2000:])
    inside = (columns["y_low"] <= y[2000:]) & (y[2000:] <= columns["y_high"])
    assert 0.88 < inside.mean() < 0.92
    measured = task.interval_metrics(output[2000:], target.values[2000:])
    assert measured["coverage"] == pytest.approx(inside.mean(), abs=1e-3)
    assert measured["width"] == pytest.approx((columns["y_high"] - columns["y_low"]).mean())
    predicted = task.decode(output[2000:])["predicted_y"]
    assert (columns["y_low"] < predicted).all() and (predicted < columns["y_high"]).all()
    widths = columns["y_high"] - columns["y_low"]
    assert (np.ptp(widths) > 1) == (transform == "log1p"), "wider for larger predictions in a logarithm alone"


@pytest.mark.parametrize("kind", [Binary, Multiclass])
@pytest.mark.parametrize("calibrate", ["none", "temperature"])
def test_sets_hold_as_many_labels_as_they_say(kind: type, calibrate: str) -> None:
    random = np.random.default_rng(2)
    classes = 2 if kind is Binary else 4
    logits = random.normal(size=(8000, classes)) * 2
    labels = np.array(list("abcd"))[(logits + random.gumbel(size=logits.shape)).argmax(1)]
    output = (logits if kind is Multiclass else logits[:, 1:] - logits[:, :1]).astype("float32") * 3  # overconfident
    config = kind(interval=0.9, calibrate=calibrate)
    table = pd.DataFrame({"c": labels})
    bare = config.fit("c", table, np.arange(4000))
    values = bare.encode(table["c"]).values
    task = with_interval(config, bare, output[:4000], values[:4000])
    sets = task.interval_columns(task.calibrated(output[4000:]))["c_set"]
    inside = [label in found.split("|") for label, found in zip(labels[4000:], sets, strict=True)]
    assert 0.88 < np.mean(inside) < 0.92
    measured = task.interval_metrics(task.calibrated(output[4000:]), values[4000:])
    assert measured["coverage"] == pytest.approx(np.mean(inside))
    assert measured["set_size"] == pytest.approx(np.mean([0 if s == "none" else s.count("|") + 1 for s in sets]))


def test_no_interval_no_columns() -> None:
    task = Regression().fit("y", pd.DataFrame({"y": [1.0, 2.0]}), np.arange(2))
    assert task.interval_columns(np.zeros((1, 1))) == {} == task.interval_metrics(np.zeros((1, 1)), np.zeros(1))
    assert PostHoc().state() == {}


def test_the_state_is_plain_and_comes_back() -> None:
    steps = PostHoc(thresholds=[0.25], conformal=Conformal(0.9, 1.5))
    assert steps.state() == {"thresholds": [0.25], "conformal": {"coverage": 0.9, "radius": 1.5}}
    assert PostHoc.restore(steps.state()) == steps
