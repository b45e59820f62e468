"""Does sharing help: single-task networks on the run's rows, what is written of them, and the verdicts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mtl_cli.config.errors import UserError
from mtl_cli.inference.members import Outputs
from mtl_cli.reports.verdicts import about_sharing
from mtl_cli.runs.directory import RunDirectory
from mtl_cli.training import comparison
from mtl_cli.training.build import Ready
from tests.cells import make_cells, make_counts, write_h5ad
from tests.conftest import InProcess

KEYS = ("dataset=made.csv", "plots=false", "device=cpu", "trainer.compare_single=true")
TASKS = "tasks={y: regression, z: regression, up: {kind: binary, target: up}}"


def made(rows: int) -> pd.DataFrame:
    """Two measurements that are the same curve but for noise, the second with few labels, and a class that is noise."""
    random = np.random.default_rng(0)
    table = pd.DataFrame(random.normal(size=(rows, 8)), columns=list("abcdefgh")).round(4)
    curve = 2 * np.sin(table["a"] + table["b"] * table["c"]) + table["d"]
    table["y"] = curve + random.normal(0, 0.1, rows)
    table["up"] = np.where(random.random(rows) < 0.5, "yes", "no")
    table["part"] = np.resize(["train", "train", "val", "test", "test"], rows)
    known = (table["part"] == "test") | (np.arange(rows) % 8 == 0)
    table["z"] = np.where(known, curve + random.normal(0, 0.1, rows), np.nan)
    return table


@pytest.fixture
def train(mtl: InProcess):
    made(400).to_csv("made.csv", index=False)

    def run(*words: str, folder: str = "run") -> tuple[dict, str]:
        status, _, err = mtl("train", *KEYS, *words, f"run_dir={folder}")
        assert status == 0, err
        return json.loads(Path(folder, "metrics.json").read_text()), err

    return run


def test_a_single_task_network_is_the_run_of_that_task_alone(train, mtl: InProcess) -> None:
    """Whatever joins tasks in the run: its sharing, its balancer, its regulariser, and what stopping goes by."""
    short = (
        "trainer.epochs=2",
        "dataset.split.column=part",
        "dataset.features.exclude=[y,z,up]",
        "model.trunk.hidden=[8]",
    )
    joined = ("model.sharing=mmoe", "balancer=gradnorm", "regularizer=nuclear", "trainer.early_stopping.monitor=up")
    metrics, err = train(TASKS, *short, *joined)
    assert metrics["single"]["tasks"].keys() == {"y", "z", "up"}
    assert err.count("by itself\n") == 3 and len(re.findall("sharing (helps|hurts) [yzu]", err)) == 3
    assert len(re.findall(r"^  single-task ", err, re.MULTILINE)) == 3
    for name, kind in {"y": "regression", "up": "binary"}.items():
        status, _, err = mtl(
            "train", *KEYS[:3], *short, f"tasks={{{name}: {kind}}}", "balancer=uniform", f"run_dir=alone_{name}"
        )
        assert status == 0, err
        alone = json.loads(Path(f"alone_{name}/metrics.json").read_text())["splits"]["test"]["tasks"][name]
        own = metrics["splits"]["test"]["tasks"][name]["single"]
        assert own == {key: value for key, value in alone.items() if key in own} and "skill" in own
        assert mtl("predict", f"run/single/{name}", "made.csv")[1] == mtl("predict", f"alone_{name}", "made.csv")[1]
        histories = [pd.read_csv(f"{folder}/mtl_history.csv") for folder in (f"run/single/{name}", f"alone_{name}")]
        pd.testing.assert_frame_equal(
            *(history.drop(columns=["seconds", "val_monitor"], errors="ignore") for history in histories)
        )


def test_names_that_would_be_one_folder_and_a_network_that_cannot_be_trained(
    train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks `y z`, `y_z` and `up`; the last, by itself, is stopped as by a loss that is not finite."""
    fine = comparison.outputs_alone

    def fails(ready: Ready, name: str, folder: RunDirectory) -> Outputs:
        if name == "up":
            raise UserError("training", "the loss of up is nan")
        return fine(ready, name, folder)

    monkeypatch.setattr(comparison, "outputs_alone", fails)
    tasks = "tasks={y z: {kind: regression, target: y}, y_z: {kind: regression, target: z}, up: binary}"
    metrics, err = train(tasks, "dataset.split.column=part", "trainer.epochs=1", "model.trunk.hidden=[4]", "plots=true")
    assert sorted(path.name for path in Path("run/single").iterdir()) == ["y_z", "y_z_2"]
    assert metrics["single"]["tasks"].keys() == {"y z", "y_z"}
    assert "up by itself could not be trained: training: the loss of up is nan" in err
    drawn = {path.stem for path in Path("run/plots").iterdir()}
    assert {"predicted_y_z", "predicted_y_z_2"} <= drawn, drawn


def test_folds_and_the_verdicts(train) -> None:
    """A task of few labels is helped by one that has the same truth; one that is noise is not said to be."""
    words = ("trainer.folds=2", "trainer.epochs=40", "optimizer.lr=0.01", "dataset.split.column=part")
    metrics, _ = train(TASKS.replace("target: up", "target: up, auxiliary: true"), *words)
    found = metrics["single"]["tasks"]
    assert found.keys() == {"y", "z"} and found["z"]["metric"] == "rmse"
    test = metrics["splits"]["test"]["tasks"]["z"]
    assert found["z"]["difference"] == pytest.approx(test["single"]["rmse"] - test["rmse"], rel=1e-6)
    assert found["z"]["verdict"] == "helps" and found["z"]["low"] > 0


def test_lines_of_few_and_of_many_tasks() -> None:
    found = {
        "a": {"metric": "rmse", "difference": 0.5, "low": 0.4, "high": 0.6, "verdict": "helps"},
        "b": {"metric": "roc_auc", "difference": -0.05, "low": -0.08, "high": -0.02, "verdict": "hurts"},
        "c": {"metric": "accuracy", "difference": -0.01, "low": -0.03, "high": 0.01, "verdict": "cannot tell"},
        "d": {"metric": "accuracy", "difference": np.nan, "low": np.nan, "high": np.nan, "verdict": "cannot tell"},
    }
    assert about_sharing({"single": {"tasks": found}}) == [
        "sharing helps a: better by 0.50 ± 0.10 rmse",
        "sharing hurts b: worse by 0.050 ± 0.030 roc_auc",
        "cannot tell whether sharing helps c: worse by 0.010 ± 0.020 accuracy",
        "cannot tell whether sharing helps d: accuracy cannot be compared on these rows",
    ]
    del found["d"]
    many = {f"{name}{i}": found[name] for name in found for i in range(5)}
    line = "sharing, 15 tasks: helps 5, hurts 5, cannot tell 5; each in metrics.json"
    assert about_sharing({"single": {"tasks": many}}) == [line]
    assert about_sharing({}) == []


def test_a_single_task_network_of_cells_knows_no_other_levels(mtl: InProcess) -> None:
    tasks = "tasks={level1: multiclass, level2: multiclass}"
    labels = make_cells(120)
    write_h5ad(Path("cells.h5ad"), make_counts(labels), labels)
    keys = ("dataset=cells.h5ad", "dataset.levels=[level1,level2]", tasks, "trainer.epochs=1", "run_dir=run")
    status, _, err = mtl("train", *keys, *KEYS[1:])
    assert status == 0, err
    status, out, err = mtl("predict", "run/single/level2", "cells.h5ad")
    assert status == 0 and "predicted_level2" in out and "level1" not in out, err


def test_bad_input_is_one_line(mtl: InProcess) -> None:
    made(60).to_csv("made.csv", index=False)
    status, _, err = mtl("train", *KEYS, "tasks={y: regression}")
    line = "mtl train: error: trainer.compare_single: 'y' is the only task: it shares nothing; add a task\n"
    assert (status, err) == (2, line)
    keys = ("tasks={y: regression, up: binary}", "dataset.split.test=0", "trainer.epochs=1", "run_dir=run")
    status, _, err = mtl("train", *KEYS, *keys)
    assert status == 0 and "trainer.compare_single: there are no test rows to compare on\n" in err
