"""`mtl export`: graphs that predict what `mtl predict` does."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import ndtri

from mtl_cli.data.dates import date_numbers
from mtl_cli.data.tables.columns import Column
from mtl_cli.inference.export.columns import ColumnEncoder, date_parts
from mtl_cli.inference.export.files import write_export
from mtl_cli.inference.export.graph import Graph
from mtl_cli.inference.export.ramps import Ramps, normal_quantile
from mtl_cli.inference.trained import TrainedModel
from tests.conftest import InProcess, houses
from tests.exported import Feed, agree, days_of, feed_of, in_onnxruntime, in_torch, rows, said_by_predict
from tests.outcomes import assays, patients
from tests.proteins import proteins

HAS_ONNX = all(importlib.util.find_spec(name) is not None for name in ("onnx", "onnxscript", "onnxruntime"))


KINDS = {
    "behind": (
        "houses",
        ["dataset.features.categorical=[rooms]", "trainer.members=2"],
        "{price: interval, sold: {kind: binary, calibrate: temperature, threshold: f1, interval: 0.9}, "
        "area: {kind: regression, interval: 0.9}, kind: {kind: multiclass, calibrate: temperature, interval: 0.8}, "
        "tags: {kind: multilabel, separator: '|', calibrate: temperature}}",
    ),
    "ranks": (
        "houses",
        ["dataset.features.scale=quantile", "dataset.features.exclude=[tags,built]", "dataset.features.impute=mean"],
        "{price: {kind: regression, transform: log1p, interval: 0.9}, sold: {kind: binary, calibrate: isotonic}, "
        "kind: {kind: multiclass, calibrate: isotonic}}",
    ),
    "outcomes": (
        "patients",
        ["trainer.members=2"],
        "{stage: {kind: ordinal, interval: 0.8}, visits: {kind: count, loss: negative_binomial, interval: 0.8}, "
        "life: {kind: survival, target: days, event: died}}",
    ),
    "cox": ("patients", [], "{life: {kind: survival, target: days, event: died, loss: cox}, visits: count}"),
    "assays": ("assays", ["trainer.members=2"], "{level: {kind: censored, transform: log1p}, dose: quantile}"),
    "tabm": (
        "houses",
        ["model=tabm", "dataset.features.exclude=[tags,kind]"],
        "{price: regression, sold: binary}",
    ),
}
"""Runs by name: their table, settings and tasks."""
TABLES = {"houses": houses, "patients": patients, "assays": assays}
NEW = {"houses": rows, "patients": lambda: patients(1000, 9), "assays": lambda: assays(1000, 9)}


class Kinds:
    """Runs with every kind of task and of step behind the model, each trained when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, table in TABLES.items():
            table().to_csv(folder / f"{name}.csv", index=False)
            NEW[name]().to_csv(folder / f"{name}_new.csv", index=False)

    def run(self, name: str) -> Path:
        """Return the folder of a run."""
        from mtl_cli.cli.main import run

        table, words, tasks = KINDS[name]
        path = self.folder / name
        if not path.is_dir():
            own = ["dataset.id=house"] if table == "houses" else []
            short = ["trainer.epochs=3", "plots=false", f"run_dir={path}"]
            assert run(["train", f"dataset={self.folder / table}.csv", *own, *words, f"tasks={tasks}", *short]) == 0
        return path

    def asked(self, name: str) -> tuple[Graph, Feed, Feed]:
        """Return a run's graph, rows for it, and what predict says of them."""
        run, file = self.run(name), self.folder / f"{KINDS[name][0]}_new.csv"
        graph = Graph(TrainedModel.load(str(run)))
        return graph, feed_of(pd.read_csv(file), graph), said_by_predict(run, file)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Kinds:
    return Kinds(tmp_path_factory.mktemp("kinds"))


def test_steps_behind_the_model_are_in_the_graph(kinds: Kinds) -> None:
    graph, feed, said = kinds.asked("behind")
    agree(in_torch(graph, feed), said)
    assert graph.left_out == ["the threshold of task sold, which is in its metadata"]
    assert next(task for task in graph.tasks if task["name"] == "sold")["thresholds"]
    names = [output["name"] for output in graph.outputs]
    assert names[:6] == ["price", "price_q05", "price_q50", "price_q95", "price_low", "price_high"]
    assert {"sold_set", "kind_set", "area_low"} < set(names)
    assert graph.outputs[4]["output"] == "of an interval that holds 0.9 of labels"


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_a_graph_in_torch_predicts_as_predict(kinds: Kinds, name: str) -> None:
    graph, feed, said = kinds.asked(name)
    agree(in_torch(graph, feed), said)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_ONNX, reason="needs onnx, onnxscript and onnxruntime")
@pytest.mark.parametrize("name", KINDS)
def test_onnxruntime_predicts_as_predict_whatever_the_kind(kinds: Kinds, tmp_path: Path, name: str) -> None:
    _, feed, said = kinds.asked(name)
    write_export(str(kinds.run(name)), "onnx", tmp_path / "model.onnx")
    run, _ = in_onnxruntime(tmp_path / "model.onnx")
    agree(run(feed), said)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_ONNX, reason="needs onnx, onnxscript and onnxruntime")
def test_onnxruntime_predicts_as_predict(mtl: InProcess, houses_run: Path) -> None:
    status, out, err = mtl("export", str(houses_run), "--format", "onnx", "-o", "houses.onnx")
    assert (status, out) == (0, "houses.onnx\n"), err
    table = rows()
    table.to_csv("rows.csv", index=False)
    graph = Graph(TrainedModel.load(str(houses_run)))
    feed, said = feed_of(table, graph), said_by_predict(houses_run, Path("rows.csv"))
    agree(in_torch(graph, feed), said)
    run, about = in_onnxruntime(Path("houses.onnx"))
    agree(run(feed), said)
    one = run({name: values[:1] for name, values in feed.items()})
    assert [len(output) for output in one.values()] == [1] * 4
    assert [output["name"] for output in json.loads(about["outputs"])] == list(one) and about["license"] == "CC-BY-4.0"


@pytest.mark.slow
@pytest.mark.skipif(not HAS_ONNX, reason="needs onnx, onnxscript and onnxruntime")
def test_sequences_of_any_length_and_a_label_by_residue(mtl: InProcess) -> None:
    proteins(120).to_csv("proteins.csv", index=False)
    words = ["dataset=proteins.csv", "dataset.sequence=sequence", "dataset.id=id", "model=sequence_cnn"]
    tasks = "tasks={family: multiclass, stability: regression, structure: residue}"
    assert mtl("train", *words, tasks, "trainer.epochs=2", "plots=false", "run_dir=run")[0] == 0
    proteins(40, seed=5, shortest=30, longest=180).to_csv("new.csv", index=False)
    status, _, err = mtl("export", "run", "--format", "onnx")
    assert status == 0, err
    run, about = in_onnxruntime(Path("run.onnx"))
    residues = json.loads(about["inputs"])[0]["names"]
    texts = pd.read_csv("new.csv")["sequence"]
    numbers = np.zeros((len(texts), texts.str.len().max()), "int64")
    for row, text in enumerate(texts):
        numbers[row, : len(text)] = [residues.index(letter) for letter in text]
    agree(run({"sequence": numbers}), said_by_predict(Path("run"), Path("new.csv")))


def test_a_number_that_is_the_mean_is_one_too() -> None:
    column = Column("x", "numeric", fill=[2.0], center=[2.0], scale=[0.5], bounds=[[1.0], [3.0]])
    found = ColumnEncoder(column)(torch.tensor([2.0, torch.nan, 4.0], dtype=torch.float64))
    np.testing.assert_allclose(found[:, 0], column.encode(pd.Series([2.0, np.nan, 4.0]), "x")[:, 0])


def test_normal_quantiles_and_ramps() -> None:
    share = np.concatenate([np.logspace(-7, -0.4, 50), 1 - np.logspace(-7, -0.4, 50), np.linspace(0.05, 0.95, 31)])
    np.testing.assert_allclose(normal_quantile(torch.from_numpy(share)), ndtri(share), rtol=1e-12, atol=1e-14)
    corners, values = [0.0, 1.0, 1.0, 3.0], [0.0, 0.2, 0.6, 1.0]
    found = Ramps.through(corners, values)(torch.tensor([-1.0, 0.5, 1.0, 2.0, 9.0], dtype=torch.float64))
    np.testing.assert_allclose(found, [0, 0.1, 0.4, 0.8, 1])


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
    joined = "dataset.datasets={a: houses.csv, b: 'builtin:winequality-red.csv'}"
    tasks = "tasks={price: {kind: regression, dataset: a}, quality: {kind: regression, dataset: b}}"
    mtl("train", "dataset=joint", joined, tasks, *short[:2], "run_dir=joint")
    cases = {
        ("ranks",): "the parts of the date 'built' are scaled by their ranks, which rounding changes; train with",
        ("joint",): "joined data sets cannot be in one graph; --format safetensors has all weights; mtl predict and",
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
