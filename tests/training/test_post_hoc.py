"""Calibration, thresholds and intervals of a run: fitted, kept in the model, written, measured, and refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from mtl_cli.inference.trained import TrainedModel
from mtl_cli.runs.model_file import load_model
from tests.conftest import InProcess, houses

ALL = (
    "tasks={price: {kind: regression, transform: log1p, interval: 0.8}, sold: {kind: binary, calibrate: temperature,"
    " threshold: f1, interval: 0.9}, kind: {kind: multiclass, calibrate: isotonic, interval: 0.8},"
    " tags: {kind: multilabel, calibrate: isotonic, threshold: balanced}}"
)
SMALL = ("trainer.epochs=4", "plots=false", "device=cpu", "run_dir=run")


@pytest.mark.parametrize("way", [["trainer.folds=2"], ["trainer.folds=none"], ["trainer.refit=true"]], ids=str)
def test_what_is_written_is_measured_and_predicted(mtl: InProcess, way: list[str]) -> None:
    houses(400).to_csv("houses.csv", index=False)
    status, _, err = mtl("train", "dataset=houses.csv", "dataset.id=house", ALL, *SMALL, *way)
    assert status == 0, err
    splits = json.loads(Path("run/metrics.json").read_text())["splits"]
    written, report = pd.read_csv("run/predictions.csv"), splits["test"]["tasks"]
    price = written.dropna(subset="price")
    inside = (price["price_low"] <= price["price"]) & (price["price"] <= price["price_high"])
    assert report["price"]["coverage"] == pytest.approx(inside.mean())
    assert report["price"]["width"] == pytest.approx((price["price_high"] - price["price_low"]).mean(), rel=1e-4)
    for task in ("sold", "kind"):
        there = written.dropna(subset=task)
        inside = [label in found.split("|") for label, found in zip(there[task], there[f"{task}_set"], strict=True)]
        assert report[task]["coverage"] == pytest.approx(np.mean(inside))
    sold = written.dropna(subset="sold")
    threshold = entry("run", "sold")["thresholds"][0]
    assert ((sold["predicted_sold_prob"] >= threshold) == (sold["predicted_sold"] == "yes")).all()
    right = sold["predicted_sold"] == sold["sold"]
    assert report["sold"]["accuracy"] == pytest.approx(right.mean())
    yes = (report["sold"]["classes"]["yes"][key] for key in ("recall", "precision"))
    recall = metrics.recall_score(sold["sold"], sold["predicted_sold"], pos_label="yes")
    precision = metrics.precision_score(sold["sold"], sold["predicted_sold"], pos_label="yes")
    assert list(yes) == pytest.approx([recall, precision])
    loss = metrics.log_loss(sold["sold"] == "yes", sold["predicted_sold_prob"])
    assert report["sold"]["log_loss"] == pytest.approx(loss, rel=1e-4)
    for label, cut in zip(("big", "green"), entry("run", "tags")["thresholds"], strict=True):
        carried = written["predicted_tags"].str.contains(label)
        assert (carried == (written[f"predicted_tags_prob_{label}"] >= cut)).all()
    assert not any("coverage" in task for task in splits["val"]["tasks"].values()), "they were fitted to these rows"
    status, out, err = mtl("predict", "run", "houses.csv")
    assert status == 0, err
    Path("out.csv").write_text(out)
    both = written.merge(pd.read_csv("out.csv"), on="house")
    for column in ("price_low", "price_high", "predicted_sold_prob", "predicted_tags_prob_big", "predicted_kind_prob"):
        np.testing.assert_allclose(both[f"{column}_x"], both[f"{column}_y"], rtol=1e-3, atol=1e-6)
    for column in ("sold_set", "kind_set", "predicted_sold", "predicted_tags"):
        assert (both[f"{column}_x"] == both[f"{column}_y"]).mean() > 0.97, column
    measured = json.loads(mtl("evaluate", "run", "--plots", "figures")[1])["tasks"]
    assert measured["price"]["coverage"] == pytest.approx(report["price"]["coverage"], abs=0.02)
    assert measured["sold"]["log_loss"] == pytest.approx(report["sold"]["log_loss"], rel=1e-3)


def entry(run: str, task: str) -> dict:
    return next(e["post_hoc"] for e in load_model(run)["data"]["tasks"] if e["state"]["name"] == task)


def test_steps_are_of_the_rows_held_out_and_change_no_score(mtl: InProcess) -> None:
    houses(300).to_csv("houses.csv", index=False)
    words = ("train", "dataset=houses.csv", "dataset.id=house", "trainer.folds=3", "trainer.epochs=4", "plots=false")
    bare = "tasks={price: {kind: regression}, sold: binary}"
    asked = "tasks={price: {kind: regression, interval: 0.9}, sold: {kind: binary, threshold: balanced}}"
    assert mtl(*words, bare, "run_dir=bare")[0] == mtl(*words, asked, "run_dir=asked")[0] == 0
    first, second = (json.loads(Path(run, "metrics.json").read_text()) for run in ("bare", "asked"))
    assert first["score"] == second["score"] and first["cross_validation"] == second["cross_validation"]
    assert [e["post_hoc"] for e in load_model("bare")["data"]["tasks"] if "post_hoc" in e] == []
    held = pd.read_csv("asked/out_of_fold.csv").dropna(subset="price")
    task = TrainedModel.load("asked").tasks["price"]
    errors = np.sort(np.abs(held["price"] - held["predicted_price"]))
    place = int(np.ceil((len(errors) + 1) * 0.9)) - 1
    half = np.diff(list(task.interval_columns(np.zeros((1, 1), "float32")).values()), axis=0)[0, 0] / 2
    assert half == pytest.approx(errors[place], rel=1e-4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tasks={price: {kind: regression, threshold: 0.3}}"], "price.threshold: is for tasks of the kinds binary"),
        (["tasks={price: {kind: regression, calibrate: isotonic}}"], "price.calibrate: is for tasks of the kinds"),
        (["tasks={tags: {kind: multilabel, interval: 0.9}}"], "tasks.tags.interval: is for tasks of the kinds binary"),
        (["tasks={sold: {kind: binary, interval: 90}}"], "tasks.sold.interval: must be below 1, not 90"),
        (["tasks={sold: {kind: binary, threshold: 1.5}}"], "tasks.sold.threshold: must be below 1, not 1.5"),
        (["tasks={sold: {kind: binary, interval: 0.9}}", "dataset.split.val=0"], "interval: needs validation rows"),
        (["tasks={sold: {kind: binary, threshold: f1}}", "dataset.split.val=0"], "threshold: needs validation rows"),
        (["tasks={sold: {kind: binary, interval: 0.99}}"], "needs 99 validation rows with a label, and 2"),
        (["tasks={sold: {kind: binary, interval: 0.9}, sold_set: {kind: binary, target: kind}}"], "'sold_set'"),
        (["tasks={price: {kind: regression, loss: quantile}, price_q05: {kind: binary, target: kind}}"], "price_q05"),
    ],
)  # fmt: skip
def test_what_cannot_be_fitted_is_one_line(mtl: InProcess, words: list[str], message: str) -> None:
    houses(240).to_csv("houses.csv", index=False)
    status, _, err = mtl("train", "dataset=houses.csv", *words, "run_dir=run")
    lines = [line for line in err.splitlines() if "error" in line]
    assert status == 2 and len(lines) == 1 and message in lines[0], err
    assert not Path("run").exists()


def test_a_threshold_that_is_given_needs_no_validation_rows(mtl: InProcess) -> None:
    houses(240).to_csv("houses.csv", index=False)
    words = ("tasks={sold: {kind: binary, threshold: 0.9}}", "dataset.split.val=0", *SMALL)
    status, _, err = mtl("train", "dataset=houses.csv", *words)
    assert status == 0, err
    written = pd.read_csv("run/predictions.csv")
    assert ((written["predicted_sold_prob"] >= 0.9) == (written["predicted_sold"] == "yes")).all()
    report = json.loads(Path("run/metrics.json").read_text())["splits"]["test"]["tasks"]["sold"]
    assert report["constant"]["accuracy"] > 0.4, "the constant prediction is the more frequent label"
