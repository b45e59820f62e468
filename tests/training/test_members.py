"""Members of a run: folds, seeds, their mean, what is written of them, and that each is as if trained alone."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

from mtl_cli.balancing.result import StepResult
from mtl_cli.data import held_out
from mtl_cli.inference.cross_validation import interval
from mtl_cli.runs.model_file import load_model
from mtl_cli.training import members
from mtl_cli.training.together.rows import Step
from mtl_cli.training.together.step import JointStep
from tests.conftest import InProcess, houses

SMALL = ("plots=false", "trainer.epochs=3", "device=cpu")
TASKS = "tasks={price: {kind: regression, transform: log1p}, sold: binary, kind: multiclass, tags: multilabel}"
KINDS = (
    "tasks={stay: {kind: survival, target: rooms, event: garden, loss: cox}, price: censored,"
    " kind: {kind: ordinal, order: [flat, house, villa]}, stay_2: {kind: survival, target: rooms, event: garden}}"
)


@pytest.fixture
def train(mtl: InProcess, houses_csv: Path):
    def run(folder: str, *words: str) -> tuple[dict, str]:
        status, _, err = mtl("train", *words, *SMALL, f"run_dir={folder}")
        assert status == 0, err
        return json.loads(Path(folder, "metrics.json").read_text()), err

    return run


HOUSES = ("dataset=houses.csv", "dataset.id=house", TASKS)


def test_a_run_of_folds_from_one_end_to_the_other(train, mtl: InProcess) -> None:
    metrics, _ = train("run", *HOUSES, "trainer.folds=3", "trainer.repeats=2", "trainer.batch_size=32")
    splits, held = pd.read_csv("run/splits.csv"), pd.read_csv("run/out_of_fold.csv")
    test = splits["split"] == "test"
    assert splits["fold"].isna().tolist() == splits["fold_2"].isna().tolist() == test.tolist()
    assert set(held["house"]) == set(splits["house"][~test]) and len(held) == (~test).sum()
    assert not held["predicted_price"].isna().any()
    assert [member["fold"] for member in metrics["members"]] == [1, 2, 3, 1, 2, 3]
    assert [member["seed"] for member in metrics["members"]] == list(range(6))
    measured = metrics["cross_validation"]
    assert (measured["folds"], measured["repeats"]) == (3, 2)
    low, mean, high = (measured["tasks"]["price"]["rmse"][key] for key in ("low", "mean", "high"))
    assert low < mean < high
    assert metrics["score"] == metrics["splits"]["val"]["score"]
    assert len(load_model("run")["members"]) == 6
    status, out, err = mtl("predict", "run", "houses.csv")
    assert status == 0, err
    Path("out.csv").write_text(out)
    predicted, written = pd.read_csv("out.csv"), pd.read_csv("run/predictions.csv")
    columns = [*(f"{task}_spread" for task in ("price", "sold", "kind")), "tags_spread_big", "predicted_price"]
    both = written.merge(predicted, on="house")
    for column in columns:
        np.testing.assert_allclose(both[f"{column}_x"], both[f"{column}_y"], rtol=1e-4, atol=1e-6)
        assert (both[f"{column}_x"] > 0).any()
    assert json.loads(mtl("evaluate", "run")[1])["score"] == pytest.approx(metrics["splits"]["test"]["score"], rel=1e-4)


def test_the_mean_is_in_label_units_and_in_probability(train) -> None:
    from mtl_cli.inference.trained import TrainedModel

    train("run", *HOUSES, "trainer.folds=2")
    model = TrainedModel.load("run")
    examples = model.read("houses.csv", print)
    table = model.predict(examples, print)
    each = [TrainedModel(model.path, model.config, [member], model.reader, model.tasks) for member in model.members]
    alone = [one.predict(examples, print) for one in each]
    for column in ("predicted_price", "predicted_sold_prob", "predicted_tags_prob_big"):
        mean = np.mean([one[column] for one in alone], axis=0)
        np.testing.assert_allclose(table[column], mean, rtol=1e-4)
        spread = column.removeprefix("predicted_").replace("_prob_big", "_spread_big").replace("_prob", "")
        spread = spread if "spread" in spread else f"{spread}_spread"
        np.testing.assert_allclose(table[spread], np.std([one[column] for one in alone], axis=0, ddof=1), rtol=1e-3)
    assert each[0].members[0].tasks["price"].center != each[1].members[0].tasks["price"].center, "fitted for each fold"


@pytest.mark.parametrize(
    "words",
    [
        HOUSES,
        ("dataset=wine", "trainer.batch_size=100", "trainer.clip_norm=0.5", "optimizer=sgd"),
        ("dataset=wine", "balancer=uw", "scheduler=cosine", "tasks.quality.weight=2", "trainer.batch_size=200"),
        ("dataset=wine", "balancer=rlw", "trainer.batch_size=150", "model.head.hidden=[8]", "optimizer=adamw"),
        ("dataset=wine", "balancer=upgrad", "trainer.batch_size=150", "trainer.log_balance=2"),
        (*HOUSES, "trainer.early_stopping={patience: 1, smooth: 1}", "tasks.sold.pos_weight=auto", "optimizer.lr=0.02"),
        ("dataset=houses.csv", "dataset.id=house", KINDS, "trainer.batch_size=50", "optimizer=sgd"),
    ],
    ids=["missing labels", "sgd", "uw", "rlw", "upgrad", "stopping", "likelihoods"],
)
def test_members_trained_at_once_are_as_if_trained_alone(words, train, monkeypatch: pytest.MonkeyPatch) -> None:
    fitting = []
    whole = members.hindrance
    monkeypatch.setattr(members, "hindrance", lambda run: fitting.append(whole(run)) or whole(run))
    first, _ = train("at_once", *words, "trainer.folds=2")
    monkeypatch.setattr(members, "hindrance", lambda run: "this test")
    second, _ = train("in_turn", *words, "trainer.folds=2")
    assert fitting == [None]
    epochs = [[member["epoch"] for member in metrics["members"]] for metrics in (first, second)]
    assert epochs[0] == epochs[1]
    for one, other in zip(load_model("at_once")["members"], load_model("in_turn")["members"], strict=True):
        torch.testing.assert_close(one["weights"], other["weights"], rtol=1e-3, atol=2e-4)
    tables = [pd.read_csv(f"{run}/mtl_history.csv").sort_values(["member", "epoch"]) for run in ("at_once", "in_turn")]
    columns = [column for column in tables[0] if column != "seconds"]
    np.testing.assert_allclose(tables[0][columns], tables[1][columns], rtol=1e-3, atol=1e-4, equal_nan=True)


def test_members_of_other_seeds_are_those_of_runs_of_these_seeds(train) -> None:
    train("three", "dataset=wine", "trainer.members=3", "seed=5")
    train("alone", "dataset=wine", "seed=7")
    of_three, alone = load_model("three")["members"], load_model("alone")["members"]
    assert len(of_three) == 3 and "cross_validation" not in json.loads(Path("three/metrics.json").read_text())
    torch.testing.assert_close(of_three[2]["weights"], alone[0]["weights"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "words",
    [
        ("dataset=wine", "model.sharing=mmoe", "balancer=gradnorm"),
        ("dataset=wine", "model.trunk.norm=batch", "balancer=upgrad", "regularizer=group_lasso"),
        ("dataset=digits", "model=cnn", "model.trunk.channels=[4]"),
        ("dataset=wine", "model=tabm", "model.trunk.members=4"),
        (
            "dataset=joint",
            "dataset.datasets={a: {kind: csv, path: houses.csv}, b: {kind: csv, path: houses.csv}}",
            "tasks={price: {kind: regression, dataset: a}, kind: {kind: multiclass, dataset: b}}",
        ),
    ],
    ids=["mmoe", "norm", "cnn", "tabm", "joint"],
)
def test_others_are_trained_in_turn(words, train, mtl: InProcess) -> None:
    metrics, err = train("run", *words, "trainer.folds=2", "trainer.batch_size=200", "trainer.epochs=1")
    assert "note: the 2 members are trained in turn, not at once: " in err
    assert len(metrics["members"]) == 2 and len(load_model("run")["members"]) == 2
    assert metrics["splits"]["val"]["rows"] == metrics["splits"]["train"]["rows"]


def test_folds_where_few_rows_would_choose(train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_out, "FEW_ROWS", {"features": 25, "text": 25})
    metrics, err = train("few", *HOUSES)
    assert len(metrics["members"]) == 8
    assert "note: trainer.folds=auto: few rows would be left for validation, so 8 members are trained" in err
    houses().assign(kind=lambda t: t["kind"].where(t.index >= 6, "castle")).to_csv("rare.csv", index=False)
    rare = ("dataset=rare.csv", "dataset.id=house", "tasks={kind: multiclass}", "dataset.split.test=0")
    assert len(train("fewer", *rare)[0]["members"]) == 5, "a class of six rows is in no more folds"
    metrics, _ = train("many", "dataset=wine")
    assert "members" not in metrics
    assert "members" not in train("none", *HOUSES, "trainer.folds=none")[0]
    assert "members" not in train("all", *HOUSES, "trainer.early_stopping=null")[0]


@pytest.mark.parametrize(
    "more", [[], ["trainer.early_stopping.monitor=y"], ["scheduler=plateau", "trainer.refit=true"]]
)
def test_a_first_fold_without_labels_has_no_score_and_the_columns_of_the_others(
    more: list[str], mtl: InProcess, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    table = pd.DataFrame({"a": random.normal(size=60), "y": random.normal(size=60)})
    table.loc[random.choice(60, 55, replace=False), "y"] = np.nan
    table.to_csv("few.csv", index=False)
    words = ["dataset=few.csv", "tasks={y: regression}", "dataset.split.test=0", "plots=false"]
    found = []
    for seed in range(3):
        folder = f"run{seed}"
        keys = [*words, "trainer.folds=5", f"dataset.split.seed={seed}", "trainer.epochs=2", *more]
        status, _, err = mtl("train", *keys, f"run_dir={folder}")
        assert status == 0, err
        history = pd.read_csv(f"{folder}/mtl_history.csv")
        found.append(history.loc[history["member"] == 0, "val_score"].isna().all())
        assert history["val_score"].notna().any()
        assert ("no validation row has a label" in err) == found[-1]
    assert any(found) and not all(found)


def test_a_refit_is_on_all_rows_for_the_steps_that_were_found(train) -> None:
    metrics, err = train("run", *HOUSES, "trainer.folds=3", "trainer.refit=true")
    *folds, last = metrics["members"]
    assert last["fold"] is None and last["steps"] == round(np.median([member["steps"] for member in folds]))
    assert f"note: trainer.refit: {last['steps']} steps" in err
    assert len(load_model("run")["members"]) == 1
    metrics, _ = train("one", "dataset=wine", "trainer.refit=true")
    assert metrics["splits"]["train"]["rows"] == 1279 and metrics["splits"]["val"]["rows"] == 160
    assert [member["fold"] for member in metrics["members"]] == [1, None]


def test_groups_and_times_are_held_out_whole(train) -> None:
    table = houses().assign(owner=lambda t: t.index % 17, day=lambda t: t.index // 3)
    table.to_csv("houses.csv", index=False)
    one = ("dataset=houses.csv", "tasks={price: regression}", "dataset.id=house")
    for key, column in (("group", "owner"), ("time", "day")):
        train(key, *one, "trainer.folds=4", f"dataset.split.{key}={column}", "trainer.epochs=1")
        fold = pd.read_csv(f"{key}/splits.csv")["fold"]
        assert (fold.groupby(table[column]).nunique() <= 1).all()
    assert (fold.groupby(table["day"]).max().dropna().diff().dropna() >= 0).all()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("trainer.folds=500", "trainer.folds: the class 'no' of sold has 85 rows, and 500 folds"),
        ("trainer.folds=300 tasks={price:regression}", "trainer.folds: 300 folds cannot be made of"),
        ("trainer.folds=1", "trainer.folds: must be at least 2, not 1"),
        ("trainer.folds=9 dataset.split.group=city", "trainer.folds: 9 folds cannot be made of"),
        ("trainer.folds=five", "trainer.folds: must be"),
        ("trainer.folds=none trainer.repeats=2", "trainer.repeats: has no effect without folds; give trainer.folds=5"),
        (
            "trainer.epochs=5 trainer.steps=100",
            "trainer.steps: has no effect with trainer.epochs=5; give one of the two",
        ),
        ("trainer.early_stopping.monitor=prise", "trainer.early_stopping.monitor: no task is called 'prise'; did you"),
        ("trainer.early_stopping.monitor=price.auc", "trainer.early_stopping.monitor: 'price' has no metric 'auc'"),
        ("trainer.folds=3 dataset=multi_mnist dataset.root=.", "trainer.folds: needs rows that can be held"),
    ],
)
def test_what_cannot_be_is_one_line(mtl: InProcess, houses_csv: Path, words: str, said: str) -> None:
    data = () if "multi_mnist" in words else HOUSES
    status, out, err = mtl("train", *data, *SMALL, *words.split())
    assert (status, out) == (2, "")
    lines = [line for line in err.splitlines() if not line.startswith("note: ")]
    assert any(line.startswith(f"mtl train: error: {said}") for line in lines), err
    assert not Path("outputs").exists()


@pytest.mark.parametrize("monitor", ["price", "sold.roc_auc", "price.rmse"])
def test_another_monitor_chooses_its_own_best_epoch(train, monitor: str) -> None:
    metrics, _ = train("run", *HOUSES, f"trainer.early_stopping.monitor={monitor}", "optimizer.lr=0.05")
    history = pd.read_csv("run/mtl_history.csv")
    assert metrics["epoch"] == history["val_monitor"].idxmax() + 1
    if monitor == "price.rmse":
        np.testing.assert_allclose(-history["val_monitor"], history["val_rmse_price"], rtol=1e-4)


def test_the_interval_is_that_of_nadeau_and_bengio() -> None:
    found = interval([0.5, 0.6, 0.7, 0.6, 0.6], 0.25)
    half = 2.7764451 * np.sqrt(0.005 * (1 / 5 + 1 / 4))
    assert found == pytest.approx({"mean": 0.6, "low": 0.6 - half, "high": 0.6 + half})
    assert np.isnan(interval([0.5, float("nan")], 0.25)["low"])


def test_members_trained_at_once_have_one_display(mtl: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=80)
    monkeypatch.setattr("mtl_cli.reports.console.stderr_console", lambda: console)
    status, _, err = mtl("train", "dataset=wine", "trainer.folds=2", *SMALL)
    assert status == 0, err
    assert "training 2 members at once, each 2 tasks" in shown.getvalue()


def test_what_was_reached_is_kept_of_all_members(mtl: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def interrupted(self: JointStep, step: Step, epoch: int) -> list[StepResult]:
        calls.append(epoch)
        if epoch == 3:
            raise KeyboardInterrupt
        return whole(self, step, epoch)

    whole = JointStep.__call__
    monkeypatch.setattr(JointStep, "__call__", interrupted)
    status, _, _ = mtl("train", "dataset=wine", "trainer.folds=2", *SMALL, "run_dir=run")
    assert status == 130 and calls.count(3) == 1
    assert json.loads(Path("run/run.json").read_text())["status"] == "interrupted"
    assert [len(load_model("run")["members"]), pd.read_csv("run/mtl_history.csv")["epoch"].max()] == [2, 2]


@pytest.mark.parametrize("balancer", ["uniform", "gradnorm"])
def test_members_that_go_astray_end_with_one_line(mtl: InProcess, balancer: str) -> None:
    words = ("dataset=wine", "trainer.folds=2", f"balancer={balancer}", "optimizer=sgd", "optimizer.lr=1e30")
    status, out, err = mtl("train", *words, *SMALL, "run_dir=run")
    errors = [line for line in err.splitlines() if line.startswith("mtl train: error")]
    assert (status, out, len(errors)) == (2, "", 1)
    assert "Traceback" not in err and not Path("run/mtl_model.pt").exists()


def test_a_run_starts_from_the_trunks_of_members(train, mtl: InProcess) -> None:
    train("first", "dataset=wine", "trainer.members=2")
    train("second", "dataset=wine", "trainer.folds=3", "init_from=first", "model.trunk.freeze=all")
    first, second = load_model("first")["members"], load_model("second")["members"]
    for number, source in enumerate((0, 1, 0)):
        torch.testing.assert_close(
            second[number]["weights"]["shared.trunk.1.weight"], first[source]["weights"]["shared.trunk.1.weight"]
        )
