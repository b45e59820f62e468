"""What is measured is what is written: every metric of metrics.json, computed again from predictions.csv."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from mtl_cli.inference.trained import TrainedModel
from mtl_cli.tasks.calibration import expected_calibration_error
from mtl_cli.tasks.task import Task
from tests.conftest import InProcess, houses
from tests.proteins import proteins

JOINT = (
    "dataset.datasets={a: {kind: csv, path: houses.csv, id: house, features: {exclude: [sold, kind, tags]}},"
    " b: {kind: csv, path: other.csv, id: house, features: {exclude: [price, tags]}}}"
)
TASKS = {
    "tables": "{price: {kind: regression, transform: log1p}, sold: binary, kind: multiclass, tags: multilabel}",
    "images": "{digit: multiclass, low: {kind: binary, target: digit, at_least: 5}}",
    "sequences": "{family: multiclass, terms: multilabel, stability: regression, structure: residue}",
    "joint": "{price: {kind: regression, dataset: a}, sold: {kind: binary, dataset: b},"
    " kind: {kind: multiclass, dataset: b}}",
}  # fmt: skip
RUNS = {
    "tables": ["dataset=houses.csv", "dataset.id=house"],
    "images": ["dataset=digits", "model=cnn", "model.trunk.channels=[4]"],
    "cells": ["dataset=pbmc", "dataset.hierarchy=enforce", "model.trunk.hidden=[8]"],
    "sequences": ["dataset=proteins.csv", "dataset.sequence=sequence", "model=sequence_cnn"],
    "joint": ["dataset=joint", JOINT],
}


@pytest.mark.parametrize("name", RUNS)
def test_every_metric_is_that_of_the_predictions(mtl: InProcess, name: str) -> None:
    houses(240).to_csv("houses.csv", index=False)
    houses(200, seed=3).to_csv("other.csv", index=False)
    proteins(60, shortest=24, longest=40).to_csv("proteins.csv", index=False)
    tasks = [f"tasks={TASKS[name]}"] if name in TASKS else []
    status, _, err = mtl("train", *RUNS[name], *tasks, "trainer.epochs=2", "plots=false", "run_dir=run")
    assert status == 0, err
    if name == "cells":
        assert "contradict each other; replaced by the most probable consistent labels" in err, "or nothing is tested"
    report = json.loads(Path("run/metrics.json").read_text())["splits"]["test"]
    model = TrainedModel.load("run")
    written, whole = in_order(pd.read_csv("run/predictions.csv", dtype=str)), in_order(rows_of_test(model))
    assert [column for column in whole if column in written] == [c for c in written if c not in model.tasks]
    for task in model.tasks.values():
        assert_same(written[f"predicted_{task.name}"], whole[f"predicted_{task.name}"])
        there = written[task.name].notna() & written[f"predicted_{task.name}"].notna()
        found, kept = report["tasks"][task.name], written[there]
        again = RECOMPUTED[task.kind](task, kept, whole[there.to_numpy()])
        assert found["rows"] == len(kept)
        for label, values in again.pop("classes", {}).items():
            assert found["classes"][label] == pytest.approx(values, nan_ok=True), (task.name, label)
        for metric, value in again.items():
            assert found[metric] == pytest.approx(value, rel=2e-4, abs=1e-6), (task.name, metric)
        assert set(found) - set(again) <= {"rows", "loss", "skill", "constant", "classes"} | NOT_WRITTEN[task.kind]
    evaluated = json.loads(mtl("evaluate", "run")[1])["tasks"]
    for task_name, values in report["tasks"].items():
        primary = model.tasks[task_name].primary
        assert evaluated[task_name][primary] == pytest.approx(values[primary], rel=1e-4)


def rows_of_test(model: TrainedModel) -> pd.DataFrame:
    """Return the predictions of the run's test rows, with the probabilities of all classes."""
    split = pd.read_csv(model.path / "splits.csv")["split"].to_numpy()
    examples = model.reader.read_own(print).select(split == "test")
    return model.predict(examples, print, probabilities=True)


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Sort the rows by what names them."""
    keys = list(table.columns[: 1 + (table.columns[0] == "dataset")])
    order = table[keys].astype(str).sort_values(keys).index
    return table.loc[order].reset_index(drop=True)


def assert_same(written: pd.Series, whole: pd.Series) -> None:
    if pd.api.types.is_numeric_dtype(whole.dtype):
        np.testing.assert_allclose(written.astype(float), whole, rtol=1e-4)
    else:
        assert written.fillna("").map(str).tolist() == whole.astype(object).where(whole.notna(), "").map(str).tolist()


def regression(task: Task, written: pd.DataFrame, whole: pd.DataFrame) -> dict[str, Any]:
    truth, predicted = (written[column].astype(float) for column in (task.name, f"predicted_{task.name}"))
    mse = metrics.mean_squared_error(truth, predicted)
    mae = metrics.mean_absolute_error(truth, predicted)
    return {"mse": mse, "rmse": mse**0.5, "mae": mae, "r2": metrics.r2_score(truth, predicted)}


def of_classes(truth: pd.Series, predicted: pd.Series, labels: list[str]) -> dict[str, Any]:
    """The metrics of classes alone."""
    present = sorted(set(truth))
    scored = sorted({*truth, *predicted})
    by_class = {}
    for label in labels:
        given, own = predicted == label, truth == label
        by_class[label] = {
            "rows": own.sum(),
            "recall": given[own].mean() if own.any() else None,
            "precision": own[given].mean() if given.any() else None,
        }
    return {
        "accuracy": (truth == predicted).mean(),
        "balanced_accuracy": np.mean([by_class[label]["recall"] for label in present]),
        "macro_f1": metrics.f1_score(truth, predicted, labels=scored, average="macro", zero_division=0),
        "classes": by_class,
    }


def multiclass(task: Any, written: pd.DataFrame, whole: pd.DataFrame) -> dict[str, Any]:
    labels = [str(label) for label in task.classes]
    truth, predicted = (written[column].map(str) for column in (task.name, f"predicted_{task.name}"))
    stated = written[f"predicted_{task.name}_prob"].astype(float)
    every = whole[[f"predicted_{task.name}_prob_{label}" for label in labels]].to_numpy(float)
    index = truth.map(labels.index).to_numpy()
    np.testing.assert_allclose(every[np.arange(len(every)), predicted.map(labels.index)], stated, rtol=1e-3)
    areas = [metrics.roc_auc_score(index == i, every[:, i]) for i in sorted(set(index))]
    return {
        **of_classes(truth, predicted, labels),
        "roc_auc": np.mean(areas),
        "log_loss": -np.log(every[np.arange(len(every)), index]).mean(),
        "ece": expected_calibration_error(stated.to_numpy(), (truth == predicted).to_numpy()),
    }


def binary(task: Any, written: pd.DataFrame, whole: pd.DataFrame) -> dict[str, Any]:
    labels = [str(label) for label in task.classes]
    truth, predicted = (written[column].map(str) for column in (task.name, f"predicted_{task.name}"))
    positive = written[f"predicted_{task.name}_prob"].astype(float).to_numpy()
    np.testing.assert_allclose(whole[f"predicted_{task.name}_prob_{labels[1]}"].astype(float), positive, rtol=1e-3)
    assert (predicted == labels[1]).tolist() == (positive >= 0.5).tolist()
    is_positive = (truth == labels[1]).to_numpy()
    found = of_classes(truth, predicted, labels)
    found["macro_f1"] = metrics.f1_score(truth, predicted, labels=labels, average="macro", zero_division=0)
    return {
        **found,
        "roc_auc": metrics.roc_auc_score(is_positive, positive),
        "log_loss": metrics.log_loss(is_positive, positive),
        "ece": expected_calibration_error(positive, is_positive),
    }


def multilabel(task: Any, written: pd.DataFrame, whole: pd.DataFrame) -> dict[str, Any]:
    sets = [[set(task.split(text)) for text in written[column]] for column in (task.name, f"predicted_{task.name}")]
    truth, predicted = (np.array([[label in row for label in task.classes] for row in rows]) for rows in sets)
    every = written[[f"predicted_{task.name}_prob_{label}" for label in task.classes]].to_numpy(float)
    both = truth & predicted
    return {
        "micro_f1": 2 * both.sum() / (truth.sum() + predicted.sum()),
        "macro_f1": metrics.f1_score(truth, predicted, average="macro", zero_division=0),
        "accuracy": (truth == predicted).mean(),
        "exact_match": (truth == predicted).all(1).mean(),
        "roc_auc": metrics.roc_auc_score(truth, every),
        "log_loss": metrics.log_loss(truth.ravel(), every.ravel()),
        "ece": expected_calibration_error(every.ravel(), truth.ravel()),
    }


def residue(task: Any, written: pd.DataFrame, whole: pd.DataFrame) -> dict[str, Any]:
    texts = [written[column].tolist() for column in (task.name, f"predicted_{task.name}")]
    assert [len(text) for text in texts[0]] == [len(text) for text in texts[1]]
    truth, predicted = (pd.Series(list("".join(text))) for text in texts)
    return {"residues": len(truth), **of_classes(truth, predicted, task.classes)}


RECOMPUTED: dict[str, Callable[..., dict[str, Any]]] = {
    "regression": regression,
    "binary": binary,
    "multiclass": multiclass,
    "multilabel": multilabel,
    "residue": residue,
}
NOT_WRITTEN = {kind: set[str]() for kind in RECOMPUTED} | {"residue": {"log_loss", "ece"}}
"""Probabilities of single residues are in no file."""
