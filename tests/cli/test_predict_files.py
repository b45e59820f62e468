"""`mtl predict` and `mtl evaluate` on files that are not as the training file was, and what becomes of their output."""

from __future__ import annotations

import io
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.conftest import MTL, InProcess, houses

ROWS = 200


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``run``, which learned from ``train.csv``: columns cut at ``;``, numbers with decimal commas."""
    from mtl_cli.cli.main import run

    folder = tmp_path_factory.mktemp("trained")
    random = np.random.default_rng(0)
    heat, size = random.uniform(10, 40, ROWS), random.uniform(0, 1, ROWS)
    table = pd.DataFrame({"name": [f"n{i}" for i in range(ROWS)], "heat": heat.round(2), "size": size.round(3)})
    table["yield"] = (3 * heat + 20 * size).round(2)
    table["grade"] = np.select([heat < 20, heat < 30], ["low", "middle"], "high")
    table.to_csv(folder / "train.csv", sep=";", decimal=",", index=False)
    before = Path.cwd()
    os.chdir(folder)
    try:
        words = ["dataset=train.csv", "dataset.separator=;", "dataset.decimal=,", "dataset.id=name"]
        tasks = "tasks={yield: regression, grade: multiclass, warm: {kind: binary, target: heat_label, at_least: 25}}"
        table.assign(heat_label=table["heat"]).to_csv("train.csv", sep=";", decimal=",", index=False)
        status = run(["train", *words, tasks, "trainer.epochs=8", "optimizer.lr=0.01", "plots=false", "run_dir=run"])
    finally:
        os.chdir(before)
    assert status == 0
    return folder


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> str:
    """The run, and in the working folder the rows again, with commas between columns and points in numbers."""
    rows(trained).to_csv(tmp_path / "new.csv", index=False)
    return str(trained / "run")


def rows(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "train.csv", sep=";", decimal=",")


def read(out: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(out))


def test_another_separator_is_found(mtl: InProcess, model: str, trained: Path) -> None:
    same = mtl("predict", model, str(trained / "train.csv"))[1]
    status, out, err = mtl("predict", model, "new.csv")
    assert status == 0 and out == same
    assert "note: new.csv: the header has no ';' between its columns; they are cut at ','" in err
    rows(trained).to_csv("tabs.txt", sep="\t", decimal=",", index=False)
    assert mtl("predict", model, "tabs.txt")[1] == same
    rows(trained).assign(heat=[f"{heat:,.2f}" for heat in 1000 + rows(trained)["heat"]]).to_csv(
        "grouped.csv", index=False
    )
    status, out, err = mtl("predict", model, "grouped.csv", "dataset.decimal=.", "dataset.thousands=,")
    assert status == 0 and "200 of 200 rows: heat above all of training, up to 10" in err
    german = [f"{heat:,.2f}".translate(str.maketrans(",.", ".,")) for heat in 1000 + rows(trained)["heat"]]
    rows(trained).assign(heat=german).to_csv("german.csv", sep=";", decimal=",", index=False)
    assert mtl("predict", model, "german.csv", "dataset.thousands=.")[:2] == (0, out)
    rows(trained).to_csv("odd.csv", sep="~", index=False)
    status, out, err = mtl("predict", model, "odd.csv", "dataset.separator=~", "dataset.decimal=.")
    assert out == same, err


def test_keys_are_those_of_reading(mtl: InProcess, model: str) -> None:
    cases = {
        "dataset.seperator=x": "dataset.seperator: is not a key for reading a table of this form; did you mean",
        "dataset.layer=counts": "dataset.layer: is not a key for reading a table of this form",
        "dataset.missing={a: 1}": "dataset.missing[0]: must be text",
        "trainer.epochs=3": "unrecognized arguments: trainer.epochs=3",
    }
    for word, message in cases.items():
        for command in ("predict", "evaluate"):
            status, out, err = mtl(command, model, "new.csv", word)
            assert (status, out) == (2, "") and message in err, err
    assert "give DATA" in mtl("evaluate", model, "dataset.decimal=,")[2]
    frame = pd.read_csv("new.csv").rename(columns={"name": "plant"})
    frame.to_csv("renamed.csv", index=False)
    assert read(mtl("predict", model, "renamed.csv", "dataset.id=plant")[1])["plant"].tolist()[:2] == ["n0", "n1"]


def test_hints_name_only_what_can_be_done(mtl: InProcess) -> None:
    random = np.random.default_rng(0)
    letters = ["".join(random.choice(list("ACDEFGHIKL"), 20)) for _ in range(60)]
    pd.DataFrame({"s": letters, "y": random.normal(size=60)}).to_csv("p.csv", index=False)
    keys = [
        "dataset=p.csv",
        "dataset.sequence=s",
        "dataset.max_length=30",
        "model=sequence_cnn",
        "tasks={y: regression}",
    ]
    assert mtl("train", *keys, "trainer.epochs=1", "plots=false", "run_dir=run")[0] == 0
    pd.DataFrame({"s": [letters[0] * 3]}).to_csv("long.csv", index=False)
    assert "dataset.max_length=60 allows it" in mtl("predict", "run", "long.csv")[2]
    assert mtl("predict", "run", "long.csv", "dataset.max_length=60")[0] == 0
    status, _, err = mtl("predict", "run", "long.csv", "dataset.truncate=true")
    assert status == 0 and "1 of 1 sequences are cut to 30 residues" in err
    table = houses(60)
    table["area"] = table["area"].fillna(50)
    table.to_csv("h.csv", index=False)
    keys = ["dataset=h.csv", "dataset.features.impute=none", "dataset.features.include=[area]", "tasks={sold: binary}"]
    assert mtl("train", *keys, "trainer.epochs=1", "plots=false", "run_dir=whole")[0] == 0
    houses(60).to_csv("gaps.csv", index=False)
    err = mtl("predict", "whole", "gaps.csv")[2]
    assert "the column 'area' has no value in row 1" in err and "impute" not in err


def test_nothing_is_overwritten(mtl: InProcess, model: str, tmp_path: Path) -> None:
    text = Path("new.csv").read_bytes()
    Path("link.csv").symlink_to("new.csv")
    os.link("new.csv", "hard.csv")
    for output in ("new.csv", str(tmp_path / "new.csv"), "link.csv", "hard.csv", f"{model}/mtl_model.pt"):
        for more in ([], ["--force"]):
            status, _, err = mtl("predict", model, "new.csv", "-o", output, "--format", "csv", *more)
            assert status == 2 and "is read from, and is never overwritten" in err, output
    assert Path("new.csv").read_bytes() == text
    Path("kept.csv").write_text("kept")
    status, _, err = mtl("predict", model, "new.csv", "-o", "kept.csv")
    assert status == 2 and "kept.csv: already exists; give another file, or add --force to replace it" in err
    assert Path("kept.csv").read_text() == "kept"
    assert mtl("predict", model, "new.csv", "-o", "kept.csv", "--force")[0] == 0
    assert len(Path("kept.csv").read_text().splitlines()) == ROWS + 1


def test_standard_input_is_an_input_too(model: str, tmp_path: Path) -> None:
    with (tmp_path / "new.csv").open() as file:
        arguments = [MTL, "predict", model, "-", "-o", "new.csv", "--force"]
        done = subprocess.run(arguments, stdin=file, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "is read from, and" in done.stderr
    assert len((tmp_path / "new.csv").read_text().splitlines()) == ROWS + 1


def test_rows_that_are_not_finite_get_no_prediction(mtl: InProcess, model: str) -> None:
    frame = pd.read_csv("new.csv").head(6).astype({"heat": object, "size": object})
    frame.loc[2, "heat"], frame.loc[4, "size"] = "1e300", "-inf"
    frame.to_csv("wild.csv", index=False)
    status, out, err = mtl("predict", model, "wild.csv", "--probabilities", "all")
    found = read(out).set_index("name")
    assert status == 0 and found.loc[["n2", "n4"]].isna().all(axis=None)
    assert found.drop(["n2", "n4"]).notna().all(axis=None)
    assert "wild.csv: 2 of 6 rows get no prediction (name n2 first)" in err
    status, out, err = mtl("evaluate", model, "wild.csv")
    report = json.loads(out)["tasks"]["yield"]
    assert (report["rows"], report["not_finite"]) == (4, 2) and "2 of 6 rows get no prediction" in err
    frame["yield"] = 1.0 * np.arange(6)
    frame.to_csv("train_wild.csv", index=False)
    status, _, err = mtl("train", "dataset=train_wild.csv", "dataset.decimal=.", "tasks={yield: regression}")
    assert status == 2 and "in row 3 of column 'heat' is too large to learn from" in err


def test_rows_far_from_training_are_told(mtl: InProcess, model: str) -> None:
    frame = pd.read_csv("new.csv").head(30)
    frame["heat"] = frame["heat"] * 1.8 + 32
    frame.to_csv("fahrenheit.csv", index=False)
    err = mtl("predict", model, "fahrenheit.csv")[2]
    assert f"30 of 30 rows: heat above all of training, up to {frame['heat'].max():.6g}" in err
    frame["heat"] = 20.0
    frame.loc[3, "size"] = -40
    frame.to_csv("one.csv", index=False)
    err = mtl("predict", model, "one.csv")[2]
    assert "1 of 30 rows: size below all of training, to -40" in err and "heat" not in err
    frame.loc[3, "size"] = frame["size"].max() + 0.01
    frame.to_csv("near.csv", index=False)
    assert "training:" not in mtl("predict", model, "near.csv")[2]


def test_pieces_of_a_file_are_predicted_as_the_whole(
    mtl: InProcess, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pd.read_csv("new.csv")
    frame["heat"] = frame["heat"].astype(object).where(frame.index != 150, "1e300")
    frame.to_csv("new.csv", index=False)
    whole, err = mtl("predict", model, "new.csv")[1:]
    monkeypatch.setattr("mtl_cli.data.tables.reader.CHUNK", 64)
    pieces, same = mtl("predict", model, "new.csv")[1:]
    pd.testing.assert_frame_equal(read(pieces), read(whole), rtol=1e-5)
    assert same == err and "1 of 200 rows get no prediction" in err
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        assert mtl("predict", model, "new.csv", "-o", name)[0] == 0
    assert Path("a.csv").read_text() == pieces
    pd.testing.assert_frame_equal(read(pd.read_parquet("a.parquet").to_csv(index=False)), read(whole), rtol=1e-5)
    assert len(Path("a.jsonl").read_text().splitlines()) == ROWS


def test_an_unseen_class_is_counted_and_the_rest_measured(mtl: InProcess, model: str) -> None:
    frame = pd.read_csv("new.csv").head(40)
    frame.loc[:4, "grade"] = "scorching"
    frame.loc[5, "grade"] = "frozen"
    frame.to_csv("other.csv", index=False)
    status, out, err = mtl("evaluate", model, "other.csv", "--plots", "figures")
    assert status == 0, err
    found = json.loads(out)["tasks"]
    assert found["grade"]["rows"] == 34 and found["yield"]["rows"] == 40
    assert "6 labels of task grade are of no class that the run knows, and are not measured: 'scorching' (5)," in err
    assert sum(values["rows"] for values in found["grade"]["classes"].values()) == 34
    drawn = {path.name for path in Path("figures").iterdir()}
    assert drawn == {
        "predicted_yield.png", "confusion_grade.png", "calibration_grade.png", "confusion_warm.png",
        "calibration_warm.png", "coverage_grade.png", "coverage_grade.csv", "coverage_warm.png", "coverage_warm.csv",
    }  # fmt: skip
    status, _, err = mtl("evaluate", model, "other.csv", "--plots", "figures")
    assert status == 2 and "figures: already exists" in err


def test_formulas_are_kept_and_told_or_quoted(mtl: InProcess, model: str) -> None:
    frame = pd.read_csv("new.csv").head(6)
    frame["name"] = ["=cmd|' /C calc'!A0", "@SUM(A1)", "+49 30", "-x", "-1.5", "plain"]
    frame.to_csv("sheet.csv", index=False)
    _, out, err = mtl("predict", model, "sheet.csv")
    assert read(out)["name"].tolist() == frame["name"].tolist()
    assert "note: 4 cells begin like a formula ('=cmd|" in err and "--formulas quote" in err
    quoted, err = mtl("predict", model, "sheet.csv", "--formulas", "quote")[1:]
    names = read(quoted)["name"].tolist()
    assert names == [f"'{name}" if i < 4 else name for i, name in enumerate(frame["name"])] and "formula" not in err
    assert read(quoted).drop(columns="name").equals(read(out).drop(columns="name"))


def test_the_order_of_day_and_month_may_be_another(mtl: InProcess) -> None:
    days = pd.date_range("2022-01-01", periods=200)
    frame = pd.DataFrame({"when": days.strftime("%d/%m/%Y"), "y": np.sin(np.arange(200) / 30)})
    frame.to_csv("days.csv", index=False)
    words = ["dataset=days.csv", "tasks={y: regression}", "trainer.epochs=2", "trainer.folds=none", "run_dir=run"]
    assert mtl("train", *words, "plots=false")[0] == 0
    frame[:12].to_csv("day_first.csv", index=False)
    frame.assign(when=days.strftime("%m/%d/%Y"))[:12].to_csv("month_first.csv", index=False)
    same = mtl("predict", "run", "day_first.csv")[1]
    assert mtl("predict", "run", "month_first.csv", "dataset.day_first=false")[1] == same
    assert mtl("predict", "run", "month_first.csv")[1] != same


def test_metrics_are_weighted_where_it_is_asked_for(mtl: InProcess, model: str, trained: Path) -> None:
    rows(trained).assign(w=np.arange(len(rows(trained))) % 3, none=0, odd="x").to_csv("weighted.csv", index=False)
    plain = json.loads(mtl("evaluate", model, "weighted.csv")[1])
    status, out, err = mtl("evaluate", model, "weighted.csv", "--weights", "w")
    found = json.loads(out)
    assert status == 0 and found["score"] == plain["score"] != found["weighted_score"]
    assert f"weighted by w: mean skill {found['weighted_score']:.4g}" in err
    for column, message in {
        "none": "--weights: all rows have weight 0 in column 'none'",
        "odd": "--weights: 'x' in row 1 of column 'odd' is not a weight",
        "v": "--weights: weighted.csv has no column 'v'; choose from name, heat",
    }.items():
        status, out, err = mtl("evaluate", model, "weighted.csv", "--weights", column)
        assert (status, out) == (2, "") and message in err, err
