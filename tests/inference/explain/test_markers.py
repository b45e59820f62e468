"""Markers of classes: the genes that were planted are found, and what they add is the whole of the log-odds."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
import torch

from mtl_cli.inference.explain.attribution import scores
from mtl_cli.inference.explain.markers import markers
from mtl_cli.inference.explain.rows import explained
from mtl_cli.inference.trained import TrainedModel
from tests.cells import make_cells, make_counts, write_h5ad
from tests.conftest import InProcess


def test_planted_genes_are_the_markers_of_their_type(mtl: InProcess) -> None:
    labels = make_cells(500, levels=(2, 4))
    counts = make_counts(labels)
    labels["first"] = labels["level1"] == "a0"
    write_h5ad(Path("cells.h5ad"), counts, labels)
    tasks = "tasks={level2: multiclass, first: binary}"
    keys = [tasks, "trainer.epochs=12", "optimizer.lr=0.003", "plots=false", "run_dir=run"]
    assert mtl("train", "dataset=cells.h5ad", *keys)[0] == 0
    status, out, err = mtl("explain", "run", "--markers", "--format", "csv")
    assert status == 0, err
    found = list(csv.DictReader(io.StringIO(out)))
    assert {(row["task"], row["class"]) for row in found} == {
        *(("level2", f"b{number}") for number in range(4)), ("first", "True"), ("first", "False"),
    }  # fmt: skip
    dense = counts.toarray()
    for label in sorted(labels["level2"].unique()):
        inside = (labels["level2"] == label).to_numpy()
        planted = {f"G{gene}" for gene in np.flatnonzero(dense[inside].mean(0) - dense[~inside].mean(0) > 1.6)}
        own = [row for row in found if (row["task"], row["class"]) == ("level2", label)]
        top = [row["feature"] for row in own[:6]]  # genes of which the type has none tell it too
        assert len(planted) >= 2 and len(planted & set(top)) >= len(planted) - 1, (label, planted, top)
        assert all(float(row["inside"]) > float(row["outside"]) for row in own if row["feature"] in planted)
        assert [float(row["adds"]) for row in own] == sorted((float(row["adds"]) for row in own), reverse=True)
    status, out, err = mtl("explain", "run", "--markers", "--top", "2", "--format", "table")
    assert status == 0 and "level2: b0, " in out and "and 58 more features; --top shows more" in out

    model = TrainedModel.load("run")
    rows = explained(model, model.test_rows(print)[0], print)
    every = [marker for marker in markers(rows, print) if (marker.task, marker.label) == ("level2", "b1")]
    inputs = rows.inputs.values  # type: ignore[attr-defined]
    has = torch.from_numpy(np.flatnonzero(rows.part.labels["level2"] == "b1"))
    with torch.no_grad():
        output_of = scores(model, "level2", 1)
        whole = float(output_of(inputs[has]).mean() - output_of(inputs.mean(0, keepdim=True)))
    assert sum(marker.adds for marker in every) == pytest.approx(whole, rel=0.02)


def test_what_has_no_markers_is_said(mtl: InProcess, houses_run: Path) -> None:
    status, out, err = mtl("explain", str(houses_run), "--markers", "--dependence")
    assert (status, out) == (2, "") and "--dependence: does not go with --markers" in err
    status, out, err = mtl("explain", str(houses_run), "--markers", "--format", "csv")
    assert status == 0, err
    found = list(csv.DictReader(io.StringIO(out)))
    assert {row["task"] for row in found} == {"sold", "kind", "tags"}
    city = next(row for row in found if row["feature"] == "city")
    assert city["inside"] == "", "a category is several inputs"
