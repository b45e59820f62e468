"""Cells in .zarr stores, and from several layers: what is read is what the .h5ad file and each layer hold."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from mtl_cli.data.cells.file import open_cells, plain_text, side_by_side
from tests.cells import make_cells, make_counts, write_h5ad
from tests.conftest import InProcess

TASKS = "tasks={level1: multiclass, level2: multiclass}"
SHORT = [TASKS, "trainer.epochs=2", "plots=false", "model.trunk.hidden=[16]"]


@pytest.fixture
def both(mtl: InProcess) -> anndata.AnnData:
    """`cells.h5ad` and `cells.zarr` of the same cells, with three layers, one of them dense and one by columns."""
    labels = make_cells(200)
    counts = make_counts(labels)
    twice = counts.copy()
    twice.data = twice.data * 2
    write_h5ad(Path("cells.h5ad"), counts, labels, layers={"twice": twice, "dense": counts.toarray() + 1})
    cells = anndata.read_h5ad("cells.h5ad")
    cells.layers["columns"] = cells.layers["twice"].tocsc()
    cells.obs, cells.var = plain_text(cells.obs), plain_text(cells.var)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cells.write_h5ad("cells.h5ad")
        cells.write_zarr("cells.zarr")
    return cells


@pytest.mark.parametrize("keys", [[], ["dataset.backed=true", "dataset.layer=dense"], ["dataset.layer=columns"]])
def test_a_store_is_read_as_a_file(mtl: InProcess, both: anndata.AnnData, keys: list[str]) -> None:
    metrics = []
    for number, name in enumerate(("cells.h5ad", "cells.zarr")):
        status, out, err = mtl("train", f"dataset={name}", *SHORT, *keys, f"run_dir=run{number}")
        assert status == 0, err
        metrics.append(json.loads(out)["metrics"])
    assert metrics[0] == metrics[1]


def test_predictions_of_a_store_are_an_h5ad_file(mtl: InProcess, both: anndata.AnnData) -> None:
    assert mtl("train", "dataset=cells.zarr", *SHORT, "run_dir=run")[0] == 0
    assert mtl("evaluate", "run")[0] == 0
    status, _, err = mtl("predict", "run", "cells.zarr", "-o", "out.h5ad")
    assert status == 0, err
    status, _, err = mtl("predict", "run", "cells.zarr/", "-o", "out.csv")
    assert status == 0, err
    copied = anndata.read_h5ad("out.h5ad")
    assert (copied.obs["predicted_level1"].astype(str).to_numpy() == pd.read_csv("out.csv")["predicted_level1"]).all()
    assert (copied.X != both.X).nnz == 0 and set(copied.layers) == set(both.layers)


def test_layers_side_by_side(mtl: InProcess, both: anndata.AnnData) -> None:
    for path in ("cells.h5ad", "cells.zarr"):
        file = side_by_side(path, ["X", "dense", "columns"], None, False)
        own = [both.X.toarray(), both.layers["dense"], both.layers["twice"].toarray()]
        pieces = [file.matrix.block(start, stop).toarray() for start, stop in file.matrix.blocks()]
        np.testing.assert_array_equal(np.concatenate(pieces), np.hstack(own))
        np.testing.assert_array_equal(file.matrix.spans([(3, 5), (9, 10)]).toarray(), np.hstack(own)[[3, 4, 9]])
        names = [f"{layer}:G{gene}" for layer in ("X", "dense", "columns") for gene in range(60)]
        assert file.var.index.tolist() == names
        file.close()
    chosen = "dataset.genes.include=['*:G1*', 'X:G2']"
    keys = ["dataset.layer=[X,twice]", chosen, "dataset.backed=true"]
    status, _, err = mtl("train", "dataset=cells.h5ad", *SHORT, *keys, "run_dir=run")
    assert status == 0 and "23 of 120 genes" in err, err
    assert mtl("predict", "run", "cells.zarr", "-o", "out.csv")[0] == 0
    one = open_cells("cells.h5ad", "X")
    assert one.var.index.tolist() == [f"G{gene}" for gene in range(60)]
    one.close()


def test_bad_input_is_one_line(mtl: InProcess, both: anndata.AnnData) -> None:
    import zarr

    Path("empty.zarr").mkdir()
    zarr.open_group("other.zarr", mode="w").create_group("things")
    cases = {
        (
            "cells.h5ad",
            "dataset.layer=[X,twise]",
        ): "dataset.layer: cells.h5ad has no layer 'twise'; did you mean twice?",
        ("cells.zarr", "dataset.layer=dens"): "dataset.layer: cells.zarr has no layer 'dens'; did you mean dense?",
        ("cells.h5ad", "dataset.layer=[]"): "dataset.layer: needs one layer or more, each named once",
        ("cells.h5ad", "dataset.layer=[X,X]"): "dataset.layer: needs one layer or more, each named once",
        (
            "empty.zarr",
            "seed=1",
        ): "empty.zarr: is not a .zarr store; a .zarr store is the folder that AnnData.write_zarr",
        ("other.zarr", "seed=1"): "other.zarr: is a zarr store without obs and var, not one of anndata's",
        ("none.zarr", "seed=1"): "there is no such file",
    }
    for (name, key), message in cases.items():
        status, out, err = mtl("train", f"dataset={name}", *SHORT, key, "run_dir=run")
        assert (status, out, err.count("\n")) == (2, "", 1) and message in err, (name, key, err)
