"""Partial labels through the command: labels missing at random, in a whole part, in all but a few rows; row weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mtl_cli.config.registry import components
from tests.conftest import InProcess

QUICK = ("plots=false", "device=cpu", "model.trunk.dropout=0")


def table(rows: int, seed: int = 0, noise: float = 0.1) -> pd.DataFrame:
    """Ten inputs of which a hidden unit makes both labels."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(rows, 10))
    hidden = np.tanh(inputs @ np.linspace(-1, 1, 10))
    found = pd.DataFrame(inputs, columns=[f"x{i}" for i in range(10)])
    found["a"] = hidden + noise * random.normal(size=rows)
    found["b"] = -2 * hidden + noise * random.normal(size=rows)
    found["part"] = np.repeat(["train", "val", "test"], [rows * 6 // 10, rows * 2 // 10, rows - rows * 8 // 10])
    return found


def train(mtl: InProcess, found: pd.DataFrame, *arguments: str, tasks: str = "{a: regression, b: regression}") -> Any:
    found.to_csv("table.csv", index=False)
    status, out, err = mtl(
        "train", "dataset=table.csv", f"tasks={tasks}", "dataset.split.column=part", *QUICK, *arguments
    )
    assert status == 0, err
    return json.loads(out)


def test_no_row_needs_both_labels(mtl: InProcess) -> None:
    found = table(800)
    first = np.random.default_rng(1).random(len(found)) < 0.5
    found.loc[first, "a"], found.loc[~first, "b"] = np.nan, np.nan
    line = train(mtl, found, "trainer.epochs=20")
    assert line["metrics"]["a"]["r2"] > 0.85
    assert line["metrics"]["b"]["r2"] > 0.85
    assert line["metrics"]["a"]["rows"] + line["metrics"]["b"]["rows"] == 160


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_task_without_labels_in_a_part(mtl: InProcess, part: str) -> None:
    found = table(600)
    found.loc[found["part"] == part, "b"] = np.nan
    line = train(mtl, found, "trainer.epochs=8")
    metrics = json.loads((Path(line["run_dir"]) / "metrics.json").read_text())
    assert metrics["splits"][part]["tasks"]["b"] == {"rows": 0}
    assert metrics["splits"][part]["score"] == pytest.approx(metrics["splits"][part]["tasks"]["a"]["skill"])
    history = pd.read_csv(Path(line["run_dir"]) / "mtl_history.csv")
    assert ("val_loss_b" in history.columns) == (part == "test")
    assert line["metrics"]["a"]["r2"] > 0.5


def test_a_task_without_a_label_to_train_on_is_an_error(mtl: InProcess) -> None:
    found = table(100)
    found.loc[found["part"] == "train", "b"] = np.nan
    found.to_csv("table.csv", index=False)
    status, out, err = mtl(
        "train", "dataset=table.csv", "tasks={a: regression, b: regression}", "dataset.split.column=part"
    )
    assert (status, out) == (2, "")
    assert "tasks.b: all labels of the training rows are missing" in err
    assert not Path("outputs").exists()


@pytest.mark.parametrize("balancer", list(components("balancer")))
def test_a_task_with_a_hundredth_of_the_rows(mtl: InProcess, balancer: str) -> None:
    found = table(1600)
    rare = np.random.default_rng(2).permutation(960)[:10]  # of the training rows
    found["b"] = found["b"].where(found.index.isin(rare) | (found["part"] != "train"))
    options = ("balancer.scale=sum", "trainer.epochs=3", "optimizer.lr=3e-3", "model.trunk.embeddings.kind=none")
    line = train(mtl, found, f"balancer={balancer}", *options)
    assert line["metrics"]["a"]["skill"] > 0.3, "the task with all labels is learnt as without the other"
    assert np.isfinite(line["metrics"]["b"]["skill"])
    weights = pd.read_csv(Path(line["run_dir"]) / f"{balancer}_weights.csv")
    assert np.isfinite(weights[["weight_a", "weight_b"]]).all(axis=None)


@pytest.mark.slow
def test_an_auxiliary_task_helps_one_with_few_labels_and_is_not_in_the_score(mtl: InProcess) -> None:
    alone, helped = [], []
    for seed in range(3):
        found = table(2000, seed)
        few = np.random.default_rng(seed).permutation(1200)[:12]
        found["a"] = found["a"].where(found.index.isin(few) | (found["part"] != "train"))
        options = ("trainer.epochs=15", f"seed={seed}")
        helped.append(train(mtl, found, *options, tasks="{a: regression, b: {kind: regression, auxiliary: true}}"))
        assert helped[-1]["score"] == pytest.approx(_score_of_a(helped[-1]))
        alone.append(train(mtl, found.drop(columns="b"), *options, tasks="{a: regression}"))
    r2 = [np.mean([line["metrics"]["a"]["r2"] for line in lines]) for lines in (alone, helped)]
    assert r2[1] > r2[0] + 0.2, r2


def _score_of_a(line: Any) -> float:
    metrics = json.loads((Path(line["run_dir"]) / "metrics.json").read_text())
    return float(metrics["splits"]["val"]["tasks"]["a"]["skill"])


def test_a_weight_that_fades_out(mtl: InProcess) -> None:
    schedule = "{kind: regression, weight: 2, weight_schedule: {to: 0, first: 2, last: 4}}"
    line = train(mtl, table(300), "trainer.epochs=6", tasks=f"{{a: regression, b: {schedule}}}")
    history = pd.read_csv(Path(line["run_dir"]) / "mtl_history.csv")
    assert history["task_weight_b"].tolist() == [2, 2, 1, 0, 0, 0]
    assert history["task_weight_a"].tolist() == [1] * 6
    total = history["loss_a"] + history["task_weight_b"] * history["loss_b"]
    assert history["loss_total"].to_numpy() == pytest.approx(total.to_numpy(), rel=1e-5)


def test_rows_without_weight_teach_nothing(mtl: InProcess) -> None:
    found = table(800)
    wrong = found[found["part"] == "train"].assign(a=lambda rows: -rows["a"], b=lambda rows: -rows["b"], count=0)
    line = train(mtl, pd.concat([found.assign(count=2.5), wrong]), "trainer.epochs=15", "dataset.weight=count")
    assert line["metrics"]["a"]["r2"] > 0.8
    assert "count" not in json.loads((Path(line["run_dir"]) / "run.json").read_text())["inputs"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1] * 39 + [-1], "dataset.weight: '-1' in row 40 of column 'count' is not a weight"),
        (["1"] * 39 + ["much"], "dataset.weight: 'much' in row 40 of column 'count' is not a weight"),
        ([0] * 40, "training rows with a label of 'a' have weight 0 in column 'count'"),
    ],
)
def test_wrong_weights(mtl: InProcess, values: list[object], message: str) -> None:
    table(40).assign(count=values).to_csv("table.csv", index=False)
    status, _, err = mtl("train", "dataset=table.csv", "tasks={a: regression}", "dataset.weight=count")
    assert status == 2
    assert message in err


def test_weights_of_each_task_by_row(mtl: InProcess) -> None:
    """Rows whose labels of one task are wrong and count nothing still teach the other task."""
    found = table(800).assign(trust=1.0, count=1.0)
    train_rows = np.flatnonzero(found["part"] == "train")
    wrong = train_rows[::2]
    found.loc[wrong, "a"] *= -1
    found.loc[wrong, "trust"] = 0.0
    tasks = "{a: {kind: regression, weight_column: trust}, b: regression}"
    line = train(mtl, found, "trainer.epochs=15", tasks=tasks)
    assert line["metrics"]["a"]["r2"] > 0.8 and line["metrics"]["b"]["r2"] > 0.8
    assert line["metrics"]["a"]["rows"] == 160, "metrics count all rows alike"
    inputs = json.loads((Path(line["run_dir"]) / "run.json").read_text())["inputs"]
    assert "trust" not in inputs


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"trust": 0.0},
            "all 480 training rows with a label of 'a' have weight 0 in column 'count' times 'trust'",
        ),
        ({"count": 0.0}, "dataset.weight: all 480 training rows with a label of 'b' have weight 0 in column 'count'"),
        ({"trust": None}, "tasks.a.weight_column: 'nan' in row 1 of column 'trust' is not a weight"),
    ],
)
def test_training_rows_without_weight(mtl: InProcess, values: dict[str, float | None], message: str) -> None:
    """Weights of validation and test rows alone are none."""
    found = table(800).assign(trust=1.0, count=1.0)
    for name, value in values.items():
        found.loc[found["part"] == "train", name] = value
    found.to_csv("table.csv", index=False)
    tasks = "tasks={a: {kind: regression, weight_column: trust}, b: regression}"
    arguments = ["train", "dataset=table.csv", tasks, "dataset.split.column=part", "dataset.weight=count"]
    status, _, err = mtl(*arguments)
    assert status == 2
    assert message in err


def test_a_missing_weight_where_there_is_no_label(mtl: InProcess) -> None:
    found = table(300).assign(trust=1.0)
    found.loc[::5, ["a", "trust"]] = None
    train(mtl, found, "trainer.epochs=2", tasks="{a: {kind: regression, weight_column: trust}, b: regression}")
    status, _, err = mtl("train", "dataset=digits", "tasks.digit.weight_column=w")
    assert status == 2
    assert "tasks.digit.weight_column: this data set has no columns beside inputs and labels" in err


def test_wrong_schedules(mtl: InProcess) -> None:
    table(40).to_csv("table.csv", index=False)
    tasks = "tasks={a: {kind: regression, weight_schedule: {to: 0, first: 5, last: 5}}}"
    status, _, err = mtl("train", "dataset=table.csv", tasks)
    assert status == 2
    assert "tasks.a.weight_schedule.last: is 5, not after first, 5" in err


@pytest.mark.parametrize("balancer", [name for name in components("balancer") if name not in ("pcd", "torchjd")])
def test_a_task_that_fades_out_leaves_the_others_to_be_learnt(mtl: InProcess, balancer: str) -> None:
    """A task of weight 0 is absent for the balancer: no logarithm of 0, and no shortest gradient of length 0."""
    schedule = "{kind: regression, weight_schedule: {to: 0, first: 1, last: 2}}"
    line = train(
        mtl, table(800), f"balancer={balancer}", "balancer.scale=sum", "trainer.epochs=6", "optimizer.lr=3e-3",
        tasks=f"{{a: regression, b: {schedule}}}",
    )  # fmt: skip
    assert line["metrics"]["a"]["skill"] > 0.3


def test_row_weights_are_shares_whatever_their_sum(mtl: InProcess) -> None:
    """A batch of rows that count little has the mean of their losses, not a part of it."""
    import torch

    from mtl_cli.balancing.losses import task_losses
    from mtl_cli.data.batches import Batch
    from mtl_cli.tasks.kinds.regression import RegressionTask

    task = RegressionTask("a", ["a"], 1.0, False, "mse", 1.0, "none", None)
    masks = torch.tensor([0.1, 0.3, 0.0])
    batch = Batch(torch.zeros(3, 1), {"a": torch.tensor([1.0, 2.0, 9.0])}, {"a": masks})
    found = task_losses({"a": task}, batch, {"a": torch.zeros(3, 1)})
    assert float(found.means[0]) == pytest.approx((0.1 * 1 + 0.3 * 4) / 0.4)
