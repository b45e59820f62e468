"""Skill and score: R² for squared error, McFadden's pseudo-R² for likelihoods."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import metrics

from mtl_cli.data.base import Part
from mtl_cli.data.inputs import DenseRows
from mtl_cli.inference.evaluate import evaluate, outputs, score, skill
from mtl_cli.tasks.kinds.binary import Binary
from mtl_cli.tasks.kinds.regression import Regression


def part_of(table: pd.DataFrame, tasks: dict) -> Part:
    labels = {name: task.labels(table) for name, task in tasks.items()}
    targets = {name: task.encode(labels[name]) for name, task in tasks.items()}
    rows = len(table)
    return Part(
        DenseRows(np.zeros((rows, 1), "float32")),
        targets,
        pd.Series(range(rows)),
        pd.DataFrame(labels),
        np.zeros(rows, bool),
    )


def test_skill_is_r2_on_the_training_rows_and_mcfaddens_on_likelihoods() -> None:
    random = np.random.default_rng(0)
    table = pd.DataFrame({"y": random.normal(5, 2, 80), "b": random.random(80) < 0.3})
    every = np.arange(80)
    tasks = {"y": Regression().fit("y", table, every), "b": Binary().fit("b", table, every)}
    part = part_of(table, tasks)
    outputs = {name: random.normal(size=(80, 1)).astype("float32") for name in tasks}
    report = evaluate(outputs, part, tasks)

    predicted = tasks["y"].decode(outputs["y"])["predicted_y"]
    assert report["tasks"]["y"]["skill"] == pytest.approx(metrics.r2_score(table["y"], predicted), rel=1e-5)
    null = metrics.log_loss(table["b"], np.full(80, table["b"].mean()))
    found = metrics.log_loss(table["b"], tasks["b"].probability(outputs["b"]))
    assert report["tasks"]["b"]["skill"] == pytest.approx(1 - found / null, rel=1e-5)
    assert report["score"] == pytest.approx(np.mean([report["tasks"][name]["skill"] for name in tasks]))
    assert report["tasks"]["y"]["constant"]["r2"] == pytest.approx(0, abs=1e-6)


def test_weights_change_a_second_loss_and_skill_alone() -> None:
    random = np.random.default_rng(1)
    table = pd.DataFrame({"y": random.normal(5, 2, 40), "b": random.random(40) < 0.5})
    table.loc[3, "y"] = np.nan
    tasks = {"y": Regression().fit("y", table, np.arange(40)), "b": Binary().fit("b", table, np.arange(40))}
    part, outputs = part_of(table, tasks), {name: random.normal(size=(40, 1)).astype("float32") for name in tasks}
    weights = random.integers(0, 4, 40)
    plain, report = evaluate(outputs, part, tasks), evaluate(outputs, part, tasks, weights=weights.astype(float))
    skills = {name: report["tasks"][name].pop("weighted")["skill"] for name in tasks}
    assert report.pop("weighted_score") == pytest.approx(np.mean(list(skills.values())))
    assert report == plain
    often = np.repeat(np.arange(40), weights)  # a row of weight 3 counts as three rows
    repeated = part_of(table.iloc[often].reset_index(drop=True), tasks)
    same = evaluate({name: output[often] for name, output in outputs.items()}, repeated, tasks)["tasks"]
    assert skills == {name: pytest.approx(same[name]["skill"], rel=1e-5) for name in tasks}


def test_rows_without_a_label_do_not_count() -> None:
    table = pd.DataFrame({"y": [1.0, 2.0, 3.0, np.nan]})
    tasks = {"y": Regression().fit("y", table, np.arange(4))}
    outputs = {"y": np.array([[0.0], [0.0], [0.0], [1e9]], "float32")}
    report = evaluate(outputs, part_of(table, tasks), tasks)["tasks"]["y"]
    assert report["rows"] == 3
    assert report["skill"] == pytest.approx(0)


def test_auxiliary_tasks_stay_out_of_the_score() -> None:
    table = pd.DataFrame({"y": range(9)})
    tasks = {
        "y": Regression().fit("y", table, np.arange(9)),
        "z": Regression(target="y", auxiliary=True).fit("z", table, np.arange(9)),
    }
    assert score({"y": 0.5, "z": -9.0}, tasks) == 0.5
    assert score({"y": math.nan, "z": 0.1}, {"z": tasks["z"]}) == 0.1


def test_skill_of_a_baseline_without_loss_is_unknown() -> None:
    assert math.isnan(skill(0.1, 0.0))


def test_evaluate_runs_on_a_task_without_any_label() -> None:
    table = pd.DataFrame({"y": [1.0, 2.0, 3.0]})
    tasks = {"y": Regression().fit("y", table, np.arange(3))}
    report = evaluate({"y": np.zeros((1, 1), "float32")}, part_of(pd.DataFrame({"y": [np.nan]}), tasks), tasks)
    assert report["tasks"]["y"] == {"rows": 0}
    assert math.isnan(report["score"])
    assert torch.is_grad_enabled()


def test_a_rows_outputs_do_not_depend_on_how_many_are_beside_it() -> None:
    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Linear(11, 48), torch.nn.SiLU(), torch.nn.Linear(48, 2))

    class Two(torch.nn.Module):
        heads = ("y",)

        def forward(self, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"y": layers(inputs)}

    rows, before = torch.randn(200, 11), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = [outputs(Two(), DenseRows(rows[:count]))["y"] for count in (1, 2, 7, 16, 17, 100, 200)]  # type: ignore[arg-type]
    finally:
        torch.set_num_threads(before)
    assert [len(one) for one in found] == [1, 2, 7, 16, 17, 100, 200]
    assert all(bool((one == found[-1][: len(one)]).all()) for one in found)


def test_images_go_through_a_network_a_few_at_a_time_and_come_back_in_order() -> None:
    seen: list[int] = []

    class Means(torch.nn.Module):
        heads = ("y",)

        def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
            seen.append(len(images))
            return {"y": images.float().mean((1, 2, 3))[:, None]}

    images = torch.randint(0, 255, (5, 3, 200, 200), dtype=torch.uint8)
    small = torch.randint(0, 255, (2500, 1, 8, 8), dtype=torch.uint8)
    for rows in (images, small):
        found = outputs(Means(), DenseRows(rows))["y"]  # type: ignore[arg-type]
        torch.testing.assert_close(found[:, 0], rows.float().mean((1, 2, 3)))
    assert seen == [1] * 5 + [1024, 1024, 452]
