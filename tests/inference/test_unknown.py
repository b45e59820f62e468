"""`unknown` where a model is not sure enough: the cut is that of the run's own validation or out-of-fold rows."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mtl_cli.inference.trained import TrainedModel
from mtl_cli.tasks.selective import find_cut
from tests.cells import make_cells, make_counts, write_h5ad
from tests.conftest import InProcess

ABLE = ["sold", "kind", "tags"]


def answers(predicted: pd.DataFrame, table: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the probability of each row's answer, from the columns that are written, and whether it is right."""
    label = table[name].to_numpy()
    if name == "tags":
        own = predicted.filter(regex="^predicted_tags_prob_").to_numpy()
        return np.maximum(own, 1 - own).prod(1), predicted["predicted_tags"].to_numpy() == label
    stated = predicted[f"predicted_{name}_prob"].to_numpy()
    probability = np.maximum(stated, 1 - stated) if name == "sold" else stated
    return probability, predicted[f"predicted_{name}"].to_numpy() == label


def test_the_cut_is_that_of_the_validation_rows(mtl: InProcess, houses_run: Path) -> None:
    source = houses_run.parent / "houses.csv"
    table = pd.read_csv(source, keep_default_na=False, na_values=[""])
    assert mtl("predict", str(houses_run), str(source), "-o", "all.csv")[0] == 0
    status, _, err = mtl("predict", str(houses_run), str(source), "--unknown", "0.6", "-o", "some.csv")
    assert status == 0, err
    every, some = (pd.read_csv(name, keep_default_na=False) for name in ("all.csv", "some.csv"))
    split = pd.read_csv(houses_run / "splits.csv")["split"]
    model = TrainedModel.load(str(houses_run)).with_unknown(["0.6"], lambda line: None)
    assert list(model.cuts) == ABLE
    for name in ABLE:
        probability, right = answers(every, table, name)
        rows = ((split == "val") & table[name].notna()).to_numpy()
        cut, expected = model.cuts[name], find_cut(probability[rows], right[rows], 0.6)
        assert cut.value == pytest.approx(expected.value, rel=1e-5)
        assert (cut.rows, cut.answered, cut.right) == (expected.rows, expected.answered, expected.right)
        sure = probability > cut.value
        assert (some[f"predicted_{name}"] == np.where(sure, every[f"predicted_{name}"], "unknown")).all()
        assert f"{name} {(~sure).sum()} of {len(table)}" in err
    assert some.drop(columns=[f"predicted_{name}" for name in ABLE]).equals(
        every.drop(columns=[f"predicted_{name}" for name in ABLE])
    )


def test_evaluate_says_what_is_answered(mtl: InProcess, houses_run: Path) -> None:
    source = str(houses_run.parent / "houses.csv")
    status, out, err = mtl("evaluate", str(houses_run), source, "--unknown", "sold=0.85", "--unknown", "kind=0.6")
    assert status == 0, err
    report = json.loads(out)["tasks"]
    assert "unknown" not in report["tags"] and "unknown" not in report["price"]
    table = pd.read_csv(source, keep_default_na=False, na_values=[""])
    assert mtl("predict", str(houses_run), source, "-o", "all.csv")[0] == 0
    every = pd.read_csv("all.csv", keep_default_na=False)
    cuts = TrainedModel.load(str(houses_run)).with_unknown(["sold=0.85", "kind=0.6"], lambda line: None).cuts
    for name in ("sold", "kind"):
        probability, right = answers(every, table, name)
        rows = table[name].notna().to_numpy()
        above = rows & (probability > cuts[name].value)
        found = report[name]["unknown"]
        assert found["answered"] == pytest.approx(above.sum() / rows.sum())
        if above.any():
            assert found["accuracy"] == pytest.approx(right[above].mean())
    assert "rows answered" in err and "60.0% asked for" in err


def test_bad_input_is_one_line(mtl: InProcess, houses_run: Path, tmp_path: Path) -> None:
    source = str(houses_run.parent / "houses.csv")
    pd.DataFrame({"x": range(40), "y": ["unknown", "b"] * 20}).to_csv("own.csv", index=False)
    short = ["trainer.epochs=1", "plots=false"]
    pd.DataFrame({"x": range(40), "y": ["a", "b"] * 20}).to_csv("blind.csv", index=False)
    for name, key in (("own", "dataset.no_label=[]"), ("blind", "dataset.split.val=0")):
        status, _, err = mtl("train", f"dataset={name}.csv", "tasks={y: multiclass}", key, *short, f"run_dir={name}")
        assert status == 0, err
    cases = {
        "1.2": "'1.2' is not a share between 0 and 1; 0.95: of the answers",
        "0": "'0' is not a share between 0 and 1",
        "nan": "'nan' is not a share between 0 and 1",
        "most": "'most' is not a share between 0 and 1",
        "knd=0.9": "the run has no task 'knd'; did you mean kind?",
        "price=0.9": "task price, of kind regression, has no answer of one class a row",
        "kind=0.99": "0.99 of task kind takes 299 validation rows, and the run has 24; a smaller share, or train with",
    }
    for share, message in cases.items():
        status, out, err = mtl("predict", str(houses_run), source, "--unknown", share)
        assert (status, out, err.count("\n")) == (2, "", 1) and message in err, (share, err)
    status, _, err = mtl("predict", str(houses_run), source, "--unknown", "0.6", "--vote", "city")
    assert status == 2 and "leave out --vote" in err
    status, _, err = mtl("predict", "own", "own.csv", "--unknown", "0.6")
    assert (status, err.count("\n")) == (2, 1) and "task y has a class 'unknown' of its own" in err
    status, _, err = mtl("predict", "blind", "blind.csv", "--unknown", "0.6")
    assert (status, err.count("\n")) == (2, 1) and "the run has no task" not in err
    assert "the run kept no validation row with a label of task y; train with" in err


def test_of_folds_the_cut_is_that_of_out_of_fold_rows(mtl: InProcess) -> None:
    labels = make_cells(300).rename(columns={"level3": "type"})
    labels.loc[::10, "type"] = None
    write_h5ad(Path("cells.h5ad"), make_counts(make_cells(300)), labels)
    keys = ["tasks={type: {kind: multiclass, calibrate: temperature}}", "trainer.folds=3", "trainer.epochs=8"]
    status, _, err = mtl("train", "dataset=cells.h5ad", *keys, "optimizer.lr=0.003", "plots=false", "run_dir=run")
    assert status == 0, err
    model = TrainedModel.load("run")
    own = model.with_unknown(["0.8"], lambda line: None).cuts["type"]
    written = pd.read_csv("run/out_of_fold.csv").dropna(subset="type")
    right = (written["type"] == written["predicted_type"]).to_numpy()
    assert own.rows == len(written)
    assert (own.answered, own.right) == (0, 0) or 0 < own.right <= right.sum()
    temperature = model.tasks["type"].calibrated  # the rows that are written are so before the calibration
    assert model.kept is not None
    found = temperature(model.kept.outputs["type"])[model.kept.targets["type"].mask]
    expected = find_cut(np.exp(found - np.logaddexp.reduce(found, 1)[:, None]).max(1), right, 0.8)
    assert (own.answered, own.right) == (expected.answered, expected.right)
    assert own.value == pytest.approx(expected.value, rel=1e-4) and own.value < math.inf
    status, _, err = mtl("predict", "run", "cells.h5ad", "--unknown", "0.8", "-o", "out.h5ad")
    assert status == 0, err
    import anndata

    column = anndata.read_h5ad("out.h5ad").obs["predicted_type"]
    count = int((column.astype(str) == "unknown").sum())
    assert f"unknown: type {count} of 300" in err
