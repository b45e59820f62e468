"""`mtl inspect`, and the first look before training."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import InProcess, houses


def test_inspect_prints_what_training_says(mtl: InProcess) -> None:
    status, out, _ = mtl("inspect", "wine")
    assert status == 0
    lines = out.splitlines()
    assert lines[0] == "1,599 rows: 1,119 to train (70%), 160 to validate (10%), 320 to test (20%)"
    assert "target is_good: binary, 1,599 labels: True 53.5%, False 46.5%" in lines
    status, _, err = mtl("train", "dataset=wine", "trainer.epochs=1", "plots=false", "run_dir=run")
    assert status == 0
    assert set(lines[:4]) <= set(err.splitlines())
    assert err.index("11 features") < err.index("training 2 tasks")


def test_inspect_takes_folds_as_training_does(mtl: InProcess) -> None:
    line = "1,599 rows: 1,279 to train (80%), 320 to test (20%)"
    assert line in mtl("inspect", "wine", "trainer.folds=5")[1].splitlines()
    _, _, err = mtl("train", "dataset=wine", "trainer.epochs=1", "trainer.folds=5", "plots=false", "run_dir=run")
    assert line in err.splitlines()


def test_inspect_of_cells_and_of_joined_data_sets(mtl: InProcess, houses_csv: Path) -> None:
    lines = mtl("inspect", "pbmc")[1].splitlines()
    assert lines[-1] == "765 genes: values up to 6.489, 32.6% not zero; dataset.transform=none"
    names = f"{{one: {houses_csv}, two: {houses_csv}}}"
    tasks = "{price: {kind: regression, dataset: one}, sold: {kind: binary, dataset: two}}"
    status, out, err = mtl("inspect", "joint", f"dataset.datasets={names}", f"tasks={tasks}")
    assert status == 0, err
    assert [line.split(":")[0] for line in out.splitlines()[3:5]] == ["one", "two"]
    assert all("240 rows, " in line and " features: " in line for line in out.splitlines()[3:5])


def test_inspect_as_json(mtl: InProcess, houses_csv: Path) -> None:
    status, out, _ = mtl("inspect", str(houses_csv), "tasks={price: regression}", "--format=json")
    assert status == 0
    found = json.loads(out)
    assert found["parts"] == {"train": 168, "val": 24, "test": 48}
    assert found["features"]["left_out"] == {"house": "names the rows"}
    assert found["targets"]["price"]["labels"] == houses()["price"].notna().sum()


def test_inspect_without_tasks_looks_at_the_columns(mtl: InProcess, houses_csv: Path) -> None:
    status, out, _ = mtl("inspect", str(houses_csv), "--format", "json")
    assert status == 0
    found = json.loads(out)
    assert found["targets"] == {} and found["left"] == 240
    assert set(found["features"]["columns"]) == set(houses().columns) - {"house"}


def test_what_is_wrong_without_folds_is_said_once(mtl: InProcess, houses_csv: Path, monkeypatch) -> None:
    monkeypatch.setattr("mtl_cli.data.held_out.FEW_ROWS", {"features": 200})
    status, _, err = mtl("inspect", str(houses_csv), "tasks={kind: regression}")
    assert status == 2 and err.count("is not a finite number") == 1, err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["inspect"], "dataset: needs a value"),
        (["inspect", "nothing.csv"], "nothing.csv"),
        (["inspect", "wine", "--format", "yaml"], "--format: 'yaml' is not a format"),
        (["inspect", "wine", "--format"], "--format: needs a value"),
        (["inspect", "wine", "-m"], "mtl inspect looks at one data set"),
        (["inspect", "digits", "tasks={}"], "tasks: no task is given"),
        (["inspect", "wine", "dataset.splt.test=3"], "dataset.splt"),
    ],
)
def test_wrong_words(mtl: InProcess, words: list[str], message: str) -> None:
    status, out, err = mtl(*words)
    assert (status, out) == (2, "")
    assert message in err


def test_what_is_left_out_is_no_input_and_can_be_taken(mtl: InProcess) -> None:
    table = houses().drop(columns="house").assign(counter=range(240), name=[f"Mr {i}" for i in range(240)])
    table.to_csv("t.csv", index=False)
    base = ["train", "dataset=t.csv", "tasks={price: regression}", "trainer.epochs=1", "plots=false"]
    status, _, err = mtl(*base, "run_dir=left")
    assert status == 0 and "left out: counter (counts the rows); name (names the rows)" in err
    status, _, err = mtl(*base, "run_dir=taken", "dataset.features.numeric=[counter]")
    assert status == 0 and "left out: name (names the rows)" in err
    inputs = [json.loads((Path(run) / "run.json").read_text())["inputs"] for run in ("left", "taken")]
    assert "counter" not in inputs[0] and "counter" in inputs[1]
    new = pd.read_csv("t.csv").drop(columns=["counter", "name"])
    new.to_csv("new.csv", index=False)
    status, _, err = mtl("predict", "left", "new.csv")
    assert status == 0, err


def test_inspect_of_a_run_in_every_form(mtl: InProcess, houses_run: Path) -> None:
    status, table, _ = mtl("inspect", str(houses_run))
    assert status == 0
    lines = table.splitlines()
    assert any(line.startswith("licence    CC-BY-4.0") for line in lines)
    assert any(
        line.split() == ["kind", "multiclass", "kind", "3", "labels:", "flat,", "house,", "villa"] for line in lines
    )
    assert "2 members of" in table and "plugins    none needed" in table
    _, out, _ = mtl("inspect", str(houses_run / "mtl_model.pt"), "--format", "json")
    found = json.loads(out)
    assert found["members"] == 2 and found["layers"][0]["tasks"] == ["price", "sold", "kind", "tags"]
    _, out, _ = mtl("inspect", str(houses_run), "--format=csv")
    rows = pd.read_csv(io.StringIO(out)).set_index(["section", "name", "key"])["value"]
    assert rows["features", "area", "kind"] == "numeric"
    _, out, _ = mtl("inspect", str(houses_run), "--format=md")
    assert "| area | numeric | 2 |" in out and out.count("## ") == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere/mtl_model.pt"], "nowhere/mtl_model.pt: there is no such run"),
        (["wine", "--format", "csv"], "--format: 'csv' is for trained models; a data set is shown as table or json"),
        (["RUN", "dataset.id=house"], "dataset.id=house: is for a data set"),
        (["RUN", "--format", "cvs"], "--format: 'cvs' is not a format; did you mean csv?"),
    ],
)
def test_what_inspect_of_a_run_refuses(mtl: InProcess, houses_run: Path, words: list[str], message: str) -> None:
    status, out, err = mtl("inspect", *(str(houses_run) if word == "RUN" else word for word in words))
    assert (status, out) == (2, "") and err.count("\n") == 1 and message in err


def test_inspect_and_card_of_every_kind_of_task(mtl: InProcess) -> None:
    table = houses(150)
    table["rare"], table["time"] = table["rooms"] - 1, table["area"].fillna(1)
    table.to_csv("houses.csv", index=False)
    tasks = (
        "{rooms: ordinal, rare: count, price: {kind: regression, interval: 0.8, loss: quantile},"
        " life: {kind: survival, target: time, event: garden}, kind: {kind: multiclass, calibrate: temperature}}"
    )
    words = ["dataset=houses.csv", f"tasks={tasks}", "trainer.epochs=1", "plots=false", "run_dir=run"]
    status, _, err = mtl("train", *words)
    assert status == 0, err
    for style in ("table", "csv", "json", "md"):
        status, out, err = mtl("inspect", "run", "--format", style)
        assert status == 0 and "ordinal" in out and "survival" in out, err
    status, out, err = mtl("card", "run")
    assert status == 0 and "| rare | count |" in out and "conformal" in out, err
