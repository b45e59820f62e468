"""Numbers known from bounds: how they are written, their likelihood against scipy's, and how tables hold them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import optimize, stats

from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import components
from mtl_cli.data.tables.config import CSV
from mtl_cli.tasks.bounds import FAR, LEAST_SCALE, best_constant, censored_loss, parse_bounds
from mtl_cli.tasks.kinds.censored import Censored
from mtl_cli.tasks.kinds.regression import Regression


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("5.3", "5.3"), ("<5", "<5"), ("<= 5", "<5"), ("≥ 10", ">10"), (">1e-3", ">0.001"), ("3-7", "3..7"),
        ("-5--3", "-5..-3"), ("3..7", "3..7"), ("3 to 7", "3..7"), ("[3, 7]", "3..7"), ("3–7", "3..7"),
        ("1e-5", "1e-05"), ("7-3", None), ("abc", None), ("2020-01-05", None), ("<x", None), ("", None),
    ],
)  # fmt: skip
def test_how_bounds_are_written(written: str, said: str | None) -> None:
    found = parse_bounds(written)
    assert (None if found is None else str(found)) == said


def test_the_likelihood_is_that_of_a_normal_distribution() -> None:
    mean = torch.tensor([0.0, 1.0, 2.0, -1.0, 0.0, 30.0], dtype=torch.float64, requires_grad=True)
    scale = torch.tensor([0.5, 1.0, 0.2, 1.0, 2.0, 0.5], dtype=torch.float64)
    low, high = torch.tensor([[1.0, -FAR, 1.5, 0.0, -1.0, 29.0], [1.0, 0.0, FAR, 0.5, -0.9, 29.1]]).double()
    found = censored_loss(mean, scale, low, high)
    normal = [stats.norm(m, s) for m, s in zip(mean.tolist(), scale.tolist(), strict=True)]
    expected = [
        -normal[0].logpdf(1) - np.log(LEAST_SCALE * np.sqrt(2 * np.pi)),
        -normal[1].logcdf(0),
        -normal[2].logsf(1.5),
        *(-np.log(normal[i].cdf(float(high[i])) - normal[i].cdf(float(low[i]))) for i in (3, 4, 5)),
    ]
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-5)
    found.sum().backward()
    assert mean.grad is not None
    assert bool(mean.grad.isfinite().all())


def test_far_bounds_have_gradients() -> None:
    mean = torch.tensor([500.0, -500.0, 0.0, 400.0], requires_grad=True)
    low, high = torch.tensor([-FAR, 0.0, 1.0, 0.0]), torch.tensor([0.0, FAR, 1.00001, 1.0])
    loss = censored_loss(mean, torch.full((4,), LEAST_SCALE), low, high)
    loss.sum().backward()
    assert mean.grad is not None
    assert bool(loss.isfinite().all() and mean.grad.isfinite().all())
    assert mean.grad[0] > 0
    assert mean.grad[1] < 0


def test_the_best_constants_are_tobits() -> None:
    numbers = np.random.default_rng(0).normal(size=500)
    low, high = np.where(numbers < -0.5, -FAR, numbers), np.where(numbers < -0.5, -0.5, numbers)

    def loss(at: np.ndarray) -> float:
        normal = stats.norm(at[0], np.exp(at[1]))
        return -float(np.where(numbers < -0.5, normal.logcdf(-0.5), normal.logpdf(numbers)).sum())

    expected = optimize.minimize(loss, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9}).x
    assert best_constant(low, high) == pytest.approx((expected[0], np.exp(expected[1])), abs=1e-3)


def test_errors_are_distances_from_what_is_known() -> None:
    labels = pd.DataFrame({"t": ["1", "2", "5", "<3", ">4", "2-3", None]})
    task = Censored().fit("t", labels, np.arange(7))
    target = task.encode(task.labels(labels))
    assert target.mask.tolist() == [True] * 6 + [False]
    predicted = np.array([1.0, 4.0, 5.0, 2.0, 3.0, 3.5])
    output = task._outputs(predicted, np.ones(6))
    found = task.metrics(output, target.values[:6])
    assert found["mae"] == pytest.approx((0 + 2 + 0 + 0 + 1 + 0.5) / 6, rel=1e-5)
    assert found["exact_rmse"] == pytest.approx(np.sqrt(4 / 3), rel=1e-5)
    assert found["bounds_kept"] == pytest.approx(1 / 3)
    np.testing.assert_allclose(task.decode(output)["predicted_t"], predicted, rtol=1e-5)
    assert task.strata(task.labels(labels)).tolist()[3:6] == [3.0, 4.0, 2.5]


@pytest.mark.parametrize("transform", ["none", "log1p"])
def test_outputs_of_other_units(transform: Any) -> None:
    table = pd.DataFrame({"t": ["1", "2", "50", "<3", ">4", "20-30"]})
    task, other = (Censored(transform=transform).fit("t", table, rows) for rows in (np.arange(6), np.arange(3)))
    output = np.random.default_rng(0).normal(size=(5, 2)).astype("float32")
    for name, values in task.decode(task.in_own_units(output, other)).items():
        np.testing.assert_allclose(values, other.decode(output)[name], rtol=1e-3)


@pytest.mark.parametrize(
    ("labels", "keys", "message"),
    [
        (["1", "abc", "2"], {}, "tasks.t: 'abc' in row 2 is neither a number nor a bound of one"),
        (["<1", "<3", "<2"], {}, "tasks.t: no label of the training rows has a lower bound"),
        (["2", "2", "2"], {}, "tasks.t: the label is constant over the training rows (2)"),
        (["2", "-3", "2"], {"transform": "log1p"}, "tasks.t.transform: log1p of '-3' in row 2"),
    ],
)
def test_labels_that_say_nothing(labels: list[str], keys: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        components("task")["censored"](**keys).fit("t", pd.DataFrame({"t": labels}), np.arange(3))
    assert str(caught.value).startswith(message)


def test_bounds_in_a_table_with_decimal_commas(tmp_path: Path) -> None:
    numbers = [f"{i},{i % 7}5" for i in range(30)]
    numbers[3:7] = ["<0,5", "> 12,5", "3,5-7", "n/a"]
    pd.DataFrame({"x": range(30), "y": numbers}).to_csv(tmp_path / "t.csv", index=False, sep=";")
    lines: list[str] = []
    source = CSV(path=str(tmp_path / "t.csv"))
    prepared = source.prepare({"y": Censored()}, lines.append)
    labels = pd.concat([part.labels["y"] for part in prepared.parts.values()])
    assert {"<0.5", ">12.5", "3.5..7", "29.15"} <= set(labels.dropna())
    assert labels.isna().sum() == 1
    assert any("3 labels in 'y' are bounds, such as '<0,5'" in line for line in lines)
    again = prepared.reader.read(str(tmp_path / "t.csv"), lines.append)
    assert prepared.tasks["y"].labels(again.table).tolist()[3] == "<0.5"
    with pytest.raises(UserError, match="kind: censored learns from"):
        source.prepare({"y": Regression()}, lines.append)
