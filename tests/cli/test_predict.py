"""`mtl predict` and `mtl evaluate`: order, ids, formats, streams."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.conftest import Command, InProcess, houses

FEATURES = ["house", "area", "rooms", "city", "garden", "built"]


@pytest.fixture
def run(mtl: InProcess, houses_csv: Path) -> str:
    status, _, err = mtl(
        "train", "dataset=houses.csv", "tasks={price: regression, sold: binary, kind: multiclass}", "dataset.id=house",
        "dataset.features.exclude=[tags]", "trainer.epochs=3", "plots=false", "run_dir=run",
    )  # fmt: skip
    assert status == 0, err
    return "run"


def test_labels_are_not_needed_and_order_and_ids_are_kept(mtl: InProcess, run: str) -> None:
    new = houses(30, seed=1)[FEATURES].sample(frac=1, random_state=0)
    new["house"] = [f"00{i}" for i in range(30)]
    new.to_csv("new.csv", index=False)
    status, out, err = mtl("predict", run, "new.csv")
    assert status == 0, err
    found = pd.read_csv(io.StringIO(out), dtype={"house": str})
    assert list(found.columns) == [
        "house", "predicted_price", "predicted_sold", "predicted_sold_prob", "predicted_kind", "predicted_kind_prob",
    ]  # fmt: skip
    assert found["house"].tolist() == new["house"].tolist()
    assert found.notna().all(axis=None)


def test_predictions_are_those_of_the_run(mtl: InProcess, run: str) -> None:
    status, out, _ = mtl("predict", run, "houses.csv")
    assert status == 0
    every = pd.read_csv(io.StringIO(out)).set_index("house")
    kept = pd.read_csv("run/predictions.csv").set_index("house")
    again = every.loc[kept.index]
    np.testing.assert_allclose(again["predicted_price"], kept["predicted_price"], rtol=1e-5)
    assert (again["predicted_kind"] == kept["predicted_kind"]).all()


def test_formats_hold_the_same(mtl: InProcess, run: str) -> None:
    for name in ("a.csv", "a.parquet", "a.jsonl"):
        status, out, err = mtl("predict", run, "houses.csv", "-o", name)
        assert (status, out) == (0, ""), err
    read = [pd.read_csv("a.csv"), pd.read_parquet("a.parquet"), pd.read_json("a.jsonl", lines=True)]
    for other in read[1:]:
        assert list(other.columns) == list(read[0].columns)
        np.testing.assert_allclose(other["predicted_price"], read[0]["predicted_price"])
        assert other["predicted_kind"].tolist() == read[0]["predicted_kind"].tolist()
    assert sorted(path.name for path in Path.cwd().glob("*a.*")) == ["a.csv", "a.jsonl", "a.parquet"]


def test_standard_input_and_output(command: Command, run: str) -> None:
    text = houses(5)[FEATURES].to_csv(index=False)
    for arguments in (("predict", run), ("predict", run, "-", "--format", "jsonl")):
        done = command(*arguments, stdin=text)
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == (6 if len(arguments) == 2 else 5)
    assert json.loads(done.stdout.splitlines()[0])["house"] == "h000"


def test_evaluate_repeats_the_test_metrics(mtl: InProcess, run: str) -> None:
    status, out, err = mtl("evaluate", run)
    assert status == 0
    found, kept = json.loads(out), json.loads(Path("run/metrics.json").read_text())["splits"]["test"]
    assert found["rows"] == kept["rows"]
    assert found["score"] == pytest.approx(kept["score"], rel=1e-5)
    assert found["tasks"]["kind"]["accuracy"] == kept["tasks"]["kind"]["accuracy"]
    assert "regression" in err


def test_evaluate_a_table(mtl: InProcess, run: str) -> None:
    houses(50, seed=2).to_csv("new.csv", index=False)
    status, out, _ = mtl("evaluate", run, "new.csv")
    report = json.loads(out)
    assert status == 0
    assert report["rows"] == 50
    assert report["tasks"]["price"]["rows"] == houses(50, seed=2)["price"].notna().sum()


def test_unknown_levels_and_missing_values_are_predicted(mtl: InProcess, run: str) -> None:
    new = houses(4)[FEATURES].astype({"area": "object"})
    new.loc[0, "city"] = "Atlantis"
    new.loc[1, ["area", "city"]] = None
    new.to_csv("new.csv", index=False)
    status, out, err = mtl("predict", run, "new.csv")
    assert status == 0, err
    assert pd.read_csv(io.StringIO(out)).notna().all(axis=None)


def test_a_new_file_may_read_as_other_types(mtl: InProcess) -> None:
    """Whole numbers with a gap are floats to pandas, an empty column has no type: the inputs stay what they were."""
    rows = 60
    table = pd.DataFrame(
        {
            "code": [1, 2, 3] * 20,
            "flag": [True, False] * 30,
            "count": range(rows),
            "when": pd.date_range("2020-01-01", periods=rows).strftime("%Y-%m-%d"),
            "y": np.tile([1.0, 5.0, 9.0], 20) + np.arange(rows) % 2,
        }
    )
    table.to_csv("t.csv", index=False)
    keys = ["dataset=t.csv", "tasks={y: regression}", "dataset.features.categorical=[code]", "plots=false"]
    assert mtl("train", *keys, "trainer.epochs=30", "optimizer.lr=0.02", "run_dir=run")[0] == 0

    def predict(new: pd.DataFrame) -> np.ndarray:
        new.to_csv("new.csv", index=False)
        status, out, err = mtl("predict", "run", "new.csv")
        assert status == 0, err
        return pd.read_csv(io.StringIO(out))["predicted_y"].to_numpy()

    new = table.drop(columns="y").head(6)
    expected = predict(new)
    gap = pd.concat([new, new.head(1)], ignore_index=True).astype({"code": "Int64", "flag": "object"})
    gap.loc[6, ["code", "flag"]] = None
    np.testing.assert_allclose(predict(gap)[:6], expected, rtol=1e-6)
    np.testing.assert_allclose(predict(new.astype({"flag": int, "count": float})), expected, rtol=1e-6)
    for column in new.columns:
        assert np.isfinite(predict(new.assign(**{column: None}))).all(), column


def test_the_training_file_is_not_needed_and_its_dialect_is_kept(mtl: InProcess) -> None:
    rows = 60
    table = pd.DataFrame({"x": np.arange(rows) / 8, "code": ["A1", "07", "08"] * 20, "y": np.arange(rows) / 4})
    table.to_csv("t.csv", index=False, sep=";", decimal=",")
    keys = [
        "dataset=t.csv",
        "dataset.decimal=,",
        "tasks={y: regression, high: {kind: binary, target: y, at_least: 7.5}}",
    ]
    status, out, err = mtl("train", *keys, "trainer.epochs=20", "optimizer.lr=0.02", "plots=false", "run_dir=run")
    assert status == 0, err
    assert json.loads(out)["metrics"]["y"]["rows"] == 12
    Path("t.csv").rename("moved.csv")
    status, out, err = mtl("predict", "run", "moved.csv")
    assert status == 0, err
    every = pd.read_csv(io.StringIO(out))["predicted_y"]
    table[table["code"] != "A1"].to_csv("codes.csv", index=False, sep=";", decimal=",")
    some = pd.read_csv(io.StringIO(mtl("predict", "run", "codes.csv")[1]))["predicted_y"]
    np.testing.assert_allclose(some, every[table["code"] != "A1"], rtol=1e-5)


def test_what_differs_from_training_is_said(mtl: InProcess, run: str) -> None:
    new = houses(30)[FEATURES]
    new["city"] = "Atlantis"
    new["built"] = None
    new.to_csv("new.csv", index=False)
    status, _, err = mtl("predict", run, "new.csv")
    assert status == 0
    assert "note: new.csv: the column 'built' has no value" in err


def test_evaluate_measures_the_tasks_it_has_labels_of(mtl: InProcess, run: str) -> None:
    houses(30).drop(columns=["price"]).to_csv("new.csv", index=False)
    status, out, err = mtl("evaluate", run, "new.csv")
    assert status == 0, err
    assert list(json.loads(out)["tasks"]) == ["sold", "kind"]
    assert "new.csv has no labels of task price" in err


def test_a_table_of_one_feature(mtl: InProcess) -> None:
    pd.DataFrame({"x": range(40), "y": range(40)}).to_csv("t.csv", index=False)
    assert (
        mtl("train", "dataset=t.csv", "tasks={y: regression}", "trainer.epochs=1", "plots=false", "run_dir=run")[0] == 0
    )
    Path("new.csv").write_text("x\n1\n2\n")
    status, out, err = mtl("predict", "run", "new.csv")
    assert status == 0, err
    assert len(out.splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "nowhere", "houses.csv"], "mtl predict: error: nowhere: there is no such run"),
        (["predict", "houses.csv", "houses.csv"], "mtl predict: error: houses.csv: is not a model that mtl wrote"),
        (["predict", ".", "houses.csv"], "mtl predict: error: .: holds no mtl_model.pt"),
        (
            ["predict", "run", "huoses.csv"],
            "mtl predict: error: huoses.csv: there is no such file; did you mean houses.csv?",
        ),
        (["predict", "run", "model.bin"], "mtl predict: error: model.bin: does not look like a table by its name"),
        (["predict", "run", "short.csv"], "mtl predict: error: short.csv: the feature column 'area' is missing"),
        (
            ["predict", "run", "houses.csv", "-o", "a.xlsx"],
            "mtl predict: error: a.xlsx: no format has the ending '.xlsx'",
        ),
        (["predict", "run", "houses.csv", "-o", "no/a.csv"], "mtl predict: error: no/a.csv: its folder does not exist"),
        (["predict", "run", "--fromat", "csv"], "mtl predict: error: unknown flag --fromat; did you mean --format?"),
        (["predict"], "mtl predict: error: the following arguments are required: RUN"),
        (
            ["evaluate", "run", "unlabelled.csv"],
            "mtl evaluate: error: unlabelled.csv: has no label column; the tasks' are 'price', 'sold', 'kind'",
        ),
    ],
)
def test_wrong_input_is_one_line(mtl: InProcess, run: str, arguments: list[str], message: str) -> None:
    houses(3)[["house", "city", "garden", "built", "rooms"]].to_csv("short.csv", index=False)
    houses(3).drop(columns=["price", "sold", "kind"]).to_csv("unlabelled.csv", index=False)
    status, out, err = mtl(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith(message)
    assert err.count("\n") == 1


def test_evaluate_where_the_table_has_changed(mtl: InProcess, run: str) -> None:
    houses(100).to_csv("houses.csv", index=False)
    status, _, err = mtl("evaluate", run)
    assert status == 2
    assert "has changed since the run was made; give a table to evaluate on" in err
