"""`mtl export`: graphs that predict what `mtl predict` does."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import mtl_cli
from mtl_cli.data.dates import date_numbers
from mtl_cli.inference.export.columns import date_parts
from mtl_cli.inference.export.graph import Graph
from mtl_cli.inference.trained import TrainedModel
from tests.conftest import InProcess, houses

HAS_ONNX = all(importlib.util.find_spec(name) is not None for name in ("onnx", "onnxscript", "onnxruntime"))


def rows() -> pd.DataFrame:
    """A thousand rows of every kind of column: missing values, unknown texts, numbers far out, leap days."""
    table = houses(1000, 7).drop(columns=["price", "sold", "kind", "tags"])
    table.loc[5::50, "city"] = "Rome"
    table.loc[7::50, "area"] = 5000.0
    table.loc[9::50, "built"] = "2024-02-29"
    table.loc[11::50, "built"] = None
    return table


def days_of(column: pd.Series) -> np.ndarray:
    return ((pd.to_datetime(column) - pd.Timestamp(0)).dt.total_seconds() / 86400).to_numpy("float64")


def compare(found: dict[str, np.ndarray], run: Path, table: pd.DataFrame) -> None:
    said = mtl_cli.load(run).predict(table)
    np.testing.assert_allclose(found["price"], said["predicted_price"], rtol=1e-5)
    np.testing.assert_allclose(found["sold"], said["predicted_sold_prob"], atol=1e-5)
    np.testing.assert_allclose(found["kind"].max(1), said["predicted_kind_prob"], atol=1e-5)
    np.testing.assert_allclose(found["tags"][:, 0], said["predicted_tags_prob_big"], atol=1e-5)


def test_a_graph_in_torch_predicts_as_predict(houses_run: Path) -> None:
    table = rows()
    graph = Graph(TrainedModel.load(str(houses_run))).eval()
    numbers = {name: torch.tensor(table[name].to_numpy("float64")) for name in ("area", "rooms", "garden")}
    given = {i.name: i for i in graph.inputs}
    levels = given["city"].levels or []
    codes = [-1 if pd.isna(v) else levels.index(v) if v in levels else len(levels) for v in table["city"]]
    assert given["city"].other
    inputs = {**numbers, "city": torch.tensor(codes), "built": torch.from_numpy(days_of(table["built"]))}
    with torch.no_grad():
        outputs = graph(*(inputs[name] for name in given))
    compare({task["name"]: out.numpy() for task, out in zip(graph.tasks, outputs, strict=True)}, houses_run, table)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_ONNX, reason="needs onnx, onnxscript and onnxruntime")
def test_onnxruntime_predicts_as_predict(mtl: InProcess, houses_run: Path) -> None:
    import onnxruntime

    status, out, err = mtl("export", str(houses_run), "--format", "onnx", "-o", "houses.onnx")
    assert (status, out) == (0, "houses.onnx\n"), err
    table, session = rows(), onnxruntime.InferenceSession("houses.onnx")
    feed = {name: table[name].to_numpy("float64") for name in ("area", "rooms", "garden")}
    feed |= {"city": table["city"].fillna("").to_numpy(object), "built": days_of(table["built"])}
    names = [output.name for output in session.get_outputs()]
    compare(dict(zip(names, session.run(None, feed), strict=True)), houses_run, table)
    one = session.run(None, {name: values[:1] for name, values in feed.items()})
    assert [len(output) for output in one] == [1] * 4
    about = session.get_modelmeta().custom_metadata_map
    assert [task["name"] for task in json.loads(about["tasks"])] == names and about["license"] == "CC-BY-4.0"


def test_a_program_of_torch_export_takes_any_number_of_rows(mtl: InProcess, houses_run: Path) -> None:
    status, _, err = mtl("export", str(houses_run), "--format", "torch-export", "-o", "houses.pt2")
    assert status == 0, err
    extra = {"mtl.json": ""}
    program = torch.export.load("houses.pt2", extra_files=extra).module()
    about = json.loads(extra["mtl.json"])
    names = [given["name"] for given in json.loads(about["inputs"])]
    assert names == ["area", "rooms", "city", "garden", "built"]
    for count in (1, 7):
        values = [torch.zeros(count, dtype=torch.int64 if n == "city" else torch.float64) for n in names]
        assert [len(output) for output in program(*values)] == [count] * 4


def test_weights_alone(mtl: InProcess, houses_run: Path) -> None:
    pytest.importorskip("safetensors")
    from safetensors import safe_open

    status, _, err = mtl("export", str(houses_run), "--format", "safetensors", "-o", "w.safetensors")
    assert status == 0 and "only the weights are in it" in err
    model = TrainedModel.load(str(houses_run))
    with safe_open("w.safetensors", "pt") as file:
        assert json.loads(file.metadata()["config"])["license"] == "CC-BY-4.0"
        for number, member in enumerate(model.members):
            for name, tensor in member.network.state_dict().items():
                assert torch.equal(file.get_tensor(f"members.{number}.{name}"), tensor)


def test_parts_of_dates_are_those_of_training() -> None:
    random = np.random.default_rng(0)
    moments = pd.Series(pd.Timestamp("1700-01-01") + pd.to_timedelta(random.integers(0, 4_500_000, 500), unit="h"))
    ends = pd.to_datetime(["2000-02-29", "1900-02-28", "1900-03-01", "2023-12-31", "2024-12-31", "1970-01-01"])
    values = pd.concat([moments, pd.Series(ends)], ignore_index=True)
    ours = date_parts(torch.from_numpy(days_of(values)))
    np.testing.assert_allclose(ours.numpy(), date_numbers(values.dt.tz_localize("UTC"), "x"), atol=1e-9)


def test_what_cannot_be_in_a_graph_is_said_in_one_line(mtl: InProcess, houses_run: Path, houses_csv: Path) -> None:
    short = ["trainer.epochs=1", "plots=false", "dataset=houses.csv"]
    mtl("train", *short, "dataset.features.scale=quantile", "tasks={price: regression}", "run_dir=ranks")
    mtl("train", *short, "tasks={price: {kind: regression, loss: quantile}}", "run_dir=quantiles")
    cases = {
        ("ranks",): "the column 'area' is scaled by its ranks, which no graph can do",
        ("quantiles",): "tasks.price: quantiles are not exported",
        (str(houses_run), "-o", "no/x.pt2"): "no/x.pt2: its folder does not exist",
        ("nowhere",): "nowhere: there is no such run",
    }
    for words, message in cases.items():
        status, out, err = mtl("export", *words, "--format", "torch-export")
        assert (status, out) == (2, "") and err.count("\n") == 1 and message in err, err
    status, _, err = mtl("export", str(houses_run), "--format", "onxx")
    assert status == 2 and "--format: there is no 'onxx'; did you mean onnx?" in err
    if not HAS_ONNX:
        status, _, err = mtl("export", str(houses_run), "--format", "onnx")
        assert status == 2 and "pip install 'mtl-cli[onnx]'" in err
