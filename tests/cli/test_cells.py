"""`mtl` on single cells: what it learns, what it writes, and what it says to a file that is wrong."""

from __future__ import annotations

import copy
import itertools
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_array, issparse

from mtl_cli.balancing.step import TrainingStep
from mtl_cli.config.assemble import assemble
from mtl_cli.config.parse import parse
from mtl_cli.config.registry import components
from mtl_cli.config.schema import Model
from mtl_cli.data.batches import Batches
from mtl_cli.data.cells.config import H5AD
from mtl_cli.data.cells.reader import CellReader
from mtl_cli.data.cells.scan import scan
from mtl_cli.data.files import resolve
from mtl_cli.data.inputs import InputSpec
from mtl_cli.data.split import SplitConfig
from mtl_cli.data.tables.reading import Readings
from mtl_cli.models.network import Shape, build_network, shapes
from mtl_cli.models.trunks.mlp import MLP
from mtl_cli.tasks.kinds.multiclass import Multiclass
from tests.cells import make_cells, make_counts, write_h5ad
from tests.conftest import InProcess

anndata = pytest.importorskip("anndata")
pytest.importorskip("scanpy")
TASKS = "tasks={level1: multiclass, level2: multiclass, level3: multiclass}"
QUICK = ["plots=false", "optimizer.lr=0.01"]


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """`cells.h5ad`: three levels of labels; some are missing, and one category is not used."""
    labels = make_cells()
    x = make_counts(labels)
    labels.loc[5:20, "level3"] = None
    labels["level2"] = pd.Categorical(labels["level2"], [*sorted(labels["level2"].unique()), "unused"])
    labels["donor"] = np.arange(len(labels)) % 7
    return write_h5ad(tmp_path / "cells.h5ad", x, labels, layers={"counts": x})


def run(mtl: InProcess, *arguments: str) -> dict[str, Any]:
    status, out, err = mtl("train", *arguments)
    assert status == 0, err
    return json.loads(out)


def test_the_recipe_has_the_parameters_that_it_is_known_by() -> None:
    plain = assemble(["dataset=wine", "experiment=cells", "tasks.quality.kind=multiclass"])
    plain["balancer"]["weights"] = {}
    config = parse(plain, check=False)
    shapes = {f"level{i}": Shape(classes) for i, classes in enumerate((6, 19, 30, 55))}
    model = build_network(config.model, InputSpec("features", (2000,), [""] * 2000), shapes)
    assert sum(p.numel() for p in model.parameters()) == 431_410
    assert config.balancer.init_state(list(shapes), "cpu")["weights"].tolist() == pytest.approx([0.3, 0.8, 1.5, 2.0])
    assert (config.trainer.epochs, config.trainer.batch_size, config.trainer.early_stopping.patience) == (100, 128, 10)
    trunk = config.model.trunk
    assert (trunk.hidden, trunk.activation, trunk.dropout, config.optimizer.lr) == ([200, 100], "relu", 0.4, 1e-3)


def test_blood_cells_are_told_apart(mtl: InProcess) -> None:
    """On cells that were held out, far better than the best constant prediction."""
    found = run(mtl, "dataset=pbmc", "experiment=cells", "plots=false", "trainer.epochs=12", "run_dir=run")["metrics"]
    assert found["lineage"]["accuracy"] > 0.9 > 0.6 > found["lineage"]["constant"]["accuracy"]
    assert found["bulk_labels"]["accuracy"] > 0.7 > 0.4 > found["bulk_labels"]["constant"]["accuracy"]
    assert json.loads(Path("run/run.json").read_text())["rows"] == {"train": 490, "val": 70, "test": 140}
    types = pd.read_csv("run/splits.csv").assign(kind=anndata.read_h5ad(resolve(PBMC)).obs["bulk_labels"].to_numpy())
    shares = types[types["split"] == "test"]["kind"].value_counts() / types["kind"].value_counts()
    assert shares.between(0.1, 0.3).all(), "stratified"


PBMC = "scanpy:10x_pbmc68k_reduced.h5ad"


@pytest.mark.parametrize("backed", ["false", "true"])
def test_made_cells_are_learned_and_predicted_into_a_copy(mtl: InProcess, cells: Path, backed: str) -> None:
    keys = [*QUICK, "trainer.epochs=15", "run_dir=run", f"dataset.backed={backed}", "dataset.split.stratify=[level3]"]
    found = run(mtl, "dataset=cells.h5ad", TASKS, *keys)["metrics"]
    assert all(found[task]["accuracy"] > 0.85 for task in found), found
    assert found["level3"]["constant"]["accuracy"] < 0.3 and found["level3"]["rows"] < found["level1"]["rows"] == 80
    before = cells.read_bytes()
    status, out, err = mtl("predict", "run", "cells.h5ad", "-o", "out.h5ad", "--hierarchy", "enforce")
    assert (status, out) == (0, ""), err
    assert cells.read_bytes() == before
    copy, original = anndata.read_h5ad("out.h5ad"), anndata.read_h5ad(cells)
    assert issparse(copy.X) and (copy.X != original.X).nnz == 0 and list(copy.layers) == ["counts"]
    added = [f"predicted_level{i}{end}" for i in (1, 2, 3) for end in ("", "_prob")]
    assert list(copy.obs.columns) == [*original.obs.columns, *added]
    assert copy.obs[added].notna().all().all() and copy.obs["predicted_level3"].dtype == "category"
    assert copy.obs.groupby("predicted_level3", observed=True)["predicted_level2"].nunique().eq(1).all()
    agree = copy.obs["predicted_level3"].astype(str) == original.obs["level3"].astype(str)
    assert agree[original.obs["level3"].notna()].mean() > 0.9
    status, out, err = mtl("predict", "run", "out.h5ad", "-o", "again.h5ad", "--vote", "donor")
    again = anndata.read_h5ad("again.h5ad")
    assert status == 0 and list(again.obs.columns) == list(copy.obs.columns), err
    assert again.obs.groupby("donor")["predicted_level1"].nunique().eq(1).all()


def test_a_table_comes_out_too_and_the_test_rows_are_found_again(mtl: InProcess, cells: Path) -> None:
    found = run(mtl, "dataset=cells.h5ad", TASKS, *QUICK, "trainer.epochs=3", "run_dir=run")
    status, out, err = mtl("evaluate", "run")
    assert status == 0, err
    assert json.loads(out)["tasks"]["level1"]["accuracy"] == found["metrics"]["level1"]["accuracy"]
    assert json.loads(mtl("evaluate", "run", "cells.h5ad")[1])["tasks"]["level3"]["rows"] == 384
    lines = mtl("predict", "run", "cells.h5ad")[1].splitlines()
    assert lines[0].startswith("cell,predicted_level1,predicted_level1_prob,") and len(lines) == 401
    assert lines[1].startswith("cell0,")
    tested = pd.read_csv("run/predictions.csv").set_index("cell")
    again = pd.read_csv("run/predictions.csv")[["cell"]].merge(
        pd.DataFrame([line.split(",") for line in lines[1:]], columns=lines[0].split(",")), on="cell"
    )
    assert again["predicted_level2"].tolist() == tested["predicted_level2"].tolist()
    write_h5ad(cells, make_counts(make_cells(), seed=9), make_cells())
    assert "has changed since the run was made" in mtl("evaluate", "run")[2]


def test_genes_are_matched_by_name(mtl: InProcess, cells: Path) -> None:
    """Half as many genes in another order: as if the others were zero."""
    run(mtl, "dataset=cells.h5ad", TASKS, *QUICK, "trainer.epochs=2", "run_dir=run", "dataset.genes.highly_variable=40")
    read = json.loads(Path("run/run.json").read_text())["inputs"]
    assert len(read) == 40
    x, labels = make_counts(make_cells()).toarray(), make_cells()
    there = [read[i] for i in range(0, 40, 2)] + ["other", read[1]]
    numbers = [int(name[1:]) if name != "other" else 0 for name in there]
    write_h5ad(Path("some.h5ad"), csr_array(x[:, numbers]), labels, there)
    missing = [int(name[1:]) for name in set(read) - set(there)]
    x[:, missing] = 0
    write_h5ad(Path("zeros.h5ad"), csr_array(x), labels)
    status, some, err = mtl("predict", "run", "some.h5ad")
    assert status == 0 and "21 of the run's 40 genes are there; 19 others (" in err
    assert some == mtl("predict", "run", "zeros.h5ad")[1]
    write_h5ad(Path("few.h5ad"), csr_array(x[:, numbers[:15]]), labels, there[:15])
    status, _, err = mtl("predict", "run", "few.h5ad")
    assert status == 2
    assert "few.h5ad: holds 15 of the run's 40 genes, and dataset.min_overlap is 0.5; the run's begin" in err


def test_the_variable_genes_are_those_of_the_training_cells(mtl: InProcess, cells: Path) -> None:
    """A gene that varies among the test cells only is not chosen."""
    keys = ["dataset=cells.h5ad", TASKS, *QUICK, "trainer.epochs=1", "dataset.genes.highly_variable=20"]
    run(mtl, *keys, "run_dir=first")
    tested = pd.read_csv("first/splits.csv")["split"].to_numpy() == "test"
    x = make_counts(make_cells()).toarray()
    loud = next(i for i in range(60) if f"G{i}" not in json.loads(Path("first/run.json").read_text())["inputs"])
    x[tested, loud] = np.random.default_rng(0).integers(0, 500, tested.sum())
    write_h5ad(cells, csr_array(x), make_cells())
    run(mtl, *keys, "run_dir=second")
    first, second = (json.loads(Path(f"{name}/run.json").read_text())["inputs"] for name in ("first", "second"))
    assert first == second


def test_rare_types_are_stratified_together(mtl: InProcess, cells: Path) -> None:
    labels = make_cells()
    labels.loc[0, "level3"], labels.loc[[1, 2], "level3"] = "single", "pair"
    write_h5ad(cells, make_counts(make_cells()), labels)
    keys = ["dataset=cells.h5ad", TASKS, *QUICK, "trainer.epochs=1", "dataset.split.stratify=[level3]"]
    status, out, err = mtl("train", *keys)
    assert status == 0 and json.loads(out)["status"] == "done"
    assert "2 of the 10 classes of level3 have fewer than 3 cells (pair, single); they are spread as one class" in err


@pytest.mark.parametrize("balancer", sorted(components("balancer")))
def test_every_balancer_trains_on_cells(cells: Path, balancer: str) -> None:
    """Three steps from the file to gradients; the losses stay finite and every parameter moves."""
    made: Any = components("balancer")[balancer]
    config = H5AD(path=str(cells), split=SplitConfig(stratify=["level1"]))
    names = ("level1", "level2", "level3")
    data = config.prepare({name: Multiclass() for name in names}, lambda line: None)
    torch.manual_seed(0)
    model = build_network(Model(trunk=MLP(hidden=[8], dropout=0.0)), data.reader.spec, shapes(data.tasks))
    step = TrainingStep(
        model, data.tasks, made(primary="level3") if balancer == "pcd" else made(), torch.device("cpu"), 0
    )
    before, optimizer = copy.deepcopy(dict(model.named_parameters())), torch.optim.Adam(model.parameters())
    for batch in itertools.islice(Batches(data.parts["train"], torch.device("cpu"), 64), 3):
        optimizer.zero_grad()
        assert step(batch, 1).losses.isfinite().all()
        optimizer.step()
        step.after(batch)
    for name, parameter in model.named_parameters():
        assert parameter.isfinite().all() and not torch.equal(parameter, before[name]), name


def refuse(mtl: InProcess, *arguments: str) -> str:
    status, out, err = mtl("train", *arguments)
    assert (status, out) == (2, ""), err
    assert not Path("outputs").exists() or not any(Path("outputs").iterdir())
    lines = [line for line in err.splitlines() if not line.startswith("note:")]
    assert len(lines) == 1, err
    return lines[0]


def test_a_wrong_file_is_refused_in_one_line(mtl: InProcess, cells: Path) -> None:
    x, labels = make_counts(make_cells()).toarray(), make_cells()
    Path("text.h5ad").write_text("a,b\n1,2\n")
    import h5py

    with h5py.File("other.h5ad", "w") as file:
        file["matrix"] = [1, 2]
    Path("cut.h5ad").write_bytes(cells.read_bytes()[:5000])
    write_h5ad(Path("scaled.h5ad"), x - 1, labels, layers={"counts": csr_array(x)})
    holed = x.copy()
    holed[3, 4] = np.nan
    write_h5ad(Path("holed.h5ad"), csr_array(holed), labels)
    with h5py.File(shutil.copy(cells, "bare.h5ad"), "r+") as file:
        del file["X"]
    cases = {
        "dataset=text.h5ad": "text.h5ad: is not an .h5ad file",
        "dataset=other.h5ad": "without obs and var",
        "dataset=cut.h5ad": "cut.h5ad: cannot be read",
        "dataset=cell.h5ad": "cell.h5ad: there is no such file; did you mean cells.h5ad?",
        "dataset=bare.h5ad": "bare.h5ad: has no X; dataset.layer=counts",
        "dataset=holed.h5ad": "the value of gene 'G4' in cell 'cell3' is nan",
        "dataset=scaled.h5ad": "values below zero, such as -1, as after scaling, and dataset.transform=log1p needs",
    }
    for word, message in cases.items():
        assert message in refuse(mtl, word, TASKS), word
    assert "try dataset.layer=counts or" in refuse(mtl, "dataset=scaled.h5ad", TASKS, "dataset.transform=binarize")
    more = {
        "tasks={levl2: multiclass}": "cells.h5ad has no column 'levl2'; did you mean level2?",
        "dataset.layer=count": "has no layer 'count'; did you mean counts?",
        "dataset.use_raw=true": "has no raw",
        "dataset.split.group=doner": "has no column 'doner'; did you mean donor?",
        "dataset.levels=[level1,levl3]": "dataset.levels: no task is called 'levl3'",
        "dataset.min_overlap=2": "dataset.min_overlap: must be at most 1",
    }
    for word, message in more.items():
        assert message in refuse(mtl, "dataset=cells.h5ad", TASKS, word), word
    scaled = ["dataset=pbmc", "dataset.use_raw=false"]
    assert "dataset.use_raw=true" in refuse(mtl, *scaled, "dataset.transform=binarize")
    assert "below zero; dataset.use_raw=true" in refuse(mtl, *scaled, "dataset.genes.highly_variable=50")


def test_on_disk_a_matrix_by_columns_is_named_as_anndata_spells_it(mtl: InProcess, cells: Path) -> None:
    adata = anndata.read_h5ad(cells)
    by_columns = csr_array(adata.layers["counts"]).tocsc()
    write_h5ad(Path("columns.h5ad"), by_columns, make_cells(), layers={"counts": by_columns})
    for key, held in {"dataset.layer=null": "adata.X", "dataset.layer=counts": "adata.layers['counts']"}.items():
        line = refuse(mtl, "dataset=columns.h5ad", TASKS, "dataset.backed=true", key)
        assert f"; {held} = {held}.tocsr(), and it is written by rows; or dataset.backed=false" in line


def test_counts_that_are_taken_for_logs_are_not_ranked(mtl: InProcess, cells: Path) -> None:
    """Whole numbers are no logs, nor are numbers of which the exponential is infinite; logs are ranked."""
    x = make_counts(make_cells()).toarray()
    keys = [TASKS, "dataset.transform=none", "dataset.genes.highly_variable=20"]
    high = x == x.max()
    cases = {
        "few": (x, "whole numbers"),
        "many": (np.where(high, 2000, x), "whole numbers"),
        "scaled": (np.where(high, 2000.5, x), "values as large as 2000"),
    }
    for name, (values, kind) in cases.items():
        write_h5ad(Path(f"{name}.h5ad"), csr_array(values), make_cells())
        err = refuse(mtl, f"dataset={name}.h5ad", *keys)
        assert "dataset.genes.highly_variable: needs logs under dataset.transform=none" in err
        assert err.rstrip().endswith(f"holds {kind}: its values are counts; dataset.transform=log1p")
    write_h5ad(Path("logs.h5ad"), csr_array(np.log1p(x)), make_cells())
    run(mtl, "dataset=logs.h5ad", *keys, *QUICK, "trainer.epochs=1")


@pytest.mark.parametrize("backed", [True, False])
def test_a_file_stays_open_only_where_batches_read_it(mtl: InProcess, cells: Path, backed: bool) -> None:
    """And the very file that was predicted is never written to."""
    source = H5AD(path="cells.h5ad", backed=backed)
    file = source.open("cells.h5ad")
    reader = CellReader(source, [f"G{i}" for i in range(60)], True, [], Readings([]), "")
    rows = reader.rows(file, np.arange(60, dtype="int32"), scan(file, "log1p"))
    assert bool(file.opened) == backed
    assert np.array_equal(rows.take(slice(None)), np.log1p(make_counts(make_cells()).toarray()))
    file.close()
    run(mtl, "dataset=cells.h5ad", TASKS, *QUICK, "trainer.epochs=1", "run_dir=run", f"dataset.backed={backed}")
    before = cells.read_bytes()
    for force in ([], ["--force"]):
        status, _, err = mtl("predict", "run", "cells.h5ad", "-o", "cells.h5ad", *force)
        assert status == 2 and "cells.h5ad: is read from, and is never overwritten" in err
    assert mtl("predict", "run", "cells.h5ad", "-o", "out.h5ad")[0] == 0
    assert cells.read_bytes() == before
    assert anndata.read_h5ad("out.h5ad").obs["predicted_level1"].notna().all()


def test_predictions_of_joined_cells_go_into_a_copy(mtl: InProcess, cells: Path) -> None:
    parts = "dataset.datasets={p: {kind: h5ad, path: cells.h5ad}, q: {kind: h5ad, path: cells.h5ad}}"
    tasks = "tasks={level1: {kind: multiclass, dataset: p}, level2: {kind: multiclass, dataset: q}}"
    run(mtl, "dataset=joint", parts, tasks, *QUICK, "trainer.epochs=1", "run_dir=run")
    status, out, err = mtl("predict", "run", "p=cells.h5ad", "-o", "out.h5ad")
    assert (status, out) == (0, ""), err
    copy, original = anndata.read_h5ad("out.h5ad"), anndata.read_h5ad(cells)
    assert list(copy.obs.columns) == [*original.obs.columns, "predicted_level1", "predicted_level1_prob"]
    status, _, err = mtl("predict", "run", "r=cells.h5ad", "-o", "other.h5ad")
    assert status == 2 and "does not say which of the joined data sets it belongs to" in err


def test_columns_in_no_order_train_as_in_order(mtl: InProcess, cells: Path) -> None:
    x = make_counts(make_cells())
    keys = [TASKS, "plots=false", "trainer.epochs=2"]
    straight = run(mtl, "dataset=cells.h5ad", *keys)
    for start, stop in zip(x.indptr, x.indptr[1:], strict=False):
        x.indices[start:stop], x.data[start:stop] = x.indices[start:stop][::-1].copy(), x.data[start:stop][::-1].copy()
    x.has_sorted_indices = False
    labels = anndata.read_h5ad(cells).obs
    write_h5ad(Path("mixed.h5ad"), x, labels)
    import h5py

    with h5py.File("mixed.h5ad") as file:
        assert (np.diff(file["X/indices"][: x.indptr[1]]) < 0).all()
    assert run(mtl, "dataset=mixed.h5ad", *keys)["metrics"] == straight["metrics"]


def test_predicting_says_what_is_wrong(mtl: InProcess, cells: Path, houses_csv: Path) -> None:
    run(mtl, "dataset=cells.h5ad", "tasks={level1: multiclass}", *QUICK, "trainer.epochs=1", "run_dir=run")
    run(mtl, "dataset=houses.csv", "tasks={sold: binary}", "plots=false", "trainer.epochs=1", "run_dir=table")
    write_h5ad(Path("scaled.h5ad"), make_counts(make_cells()).toarray() - 1, make_cells())
    cases = [
        (["run", "cells.h5ad", "--format", "h5ad"], "h5ad is for a copy of an .h5ad file"),
        (["run", "houses.csv", "-o", "out.h5ad"], "h5ad is for a copy of an .h5ad file"),
        (["run", "houses.csv"], "houses.csv: is not an .h5ad file"),
        (["run", "cells.h5ad", "--vote", "doner"], "cells.h5ad has no column 'doner'; did you mean donor?"),
        (["run", "cells.h5ad", "--hierarchy", "enforce"], "the run learned no levels of labels"),
        (["run", "scaled.h5ad"], "give such a file, or dataset.transform=none"),
        (["table", "cells.h5ad"], "cells.h5ad: does not look like a table by its name"),
    ]
    for arguments, message in cases:
        status, out, err = mtl("predict", *arguments)
        assert (status, out) == (2, "") and message in err, (arguments, err)
    assert not Path("out.h5ad").exists()


def test_without_the_extra_one_line_says_what_to_install(
    mtl: InProcess, cells: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in ("anndata", "scanpy") else found(name)
    )
    assert "pip install 'mtl-cli[singlecell]'" in refuse(mtl, "dataset=cells.h5ad", TASKS)
    assert "pip install 'mtl-cli[singlecell]'" in refuse(mtl, "dataset=pbmc")


def test_a_wrong_config_is_found_without_anndata() -> None:
    import subprocess

    code = (
        "import sys\nfrom mtl_cli.config.assemble import assemble\nfrom mtl_cli.config.parse import parse\n"
        "parse(assemble(['dataset=pbmc']))\n"
        "print([name for name in ('anndata', 'h5py', 'scanpy', 'scipy', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_trunk_reads_the_genes_that_it_knows(mtl: InProcess, cells: Path) -> None:
    """The same genes in another order train as in the first order; so few that they are not the same are refused."""
    keys = [TASKS, *QUICK, "trainer.epochs=2", "dataset.genes.highly_variable=40"]
    run(mtl, "dataset=cells.h5ad", *keys, "run_dir=run")
    labels, order = make_cells(seed=1), np.random.default_rng(2).permutation(60)
    x, names = make_counts(labels).tocsc(), np.array([f"G{i}" for i in range(60)])
    write_h5ad(Path("plain.h5ad"), csr_array(x), labels)
    write_h5ad(Path("mixed.h5ad"), csr_array(x[:, order]), labels, names[order].tolist())
    for name in ("plain", "mixed"):
        status, _, err = mtl("train", f"dataset={name}.h5ad", *keys, "init_from=run", f"run_dir={name}")
        assert status == 0, err
        assert f"{name}.h5ad: all 40 of the run's genes are there" in err
        assert "dataset.genes: the genes are those of the run that init_from names, not those chosen here" in err
    plain, mixed = (torch.load(f"{name}/mtl_model.pt", weights_only=True) for name in ("plain", "mixed"))
    genes = torch.load("run/mtl_model.pt", weights_only=True)["data"]["reader"]["genes"]
    assert plain["data"]["reader"]["genes"] == mixed["data"]["reader"]["genes"] == genes
    assert mtl("evaluate", "mixed")[0] == 0
    torch.testing.assert_close(plain["weights"], mixed["weights"], rtol=1e-3, atol=1e-5)
    few = [names.tolist().index(gene) for gene in genes[:15]]
    write_h5ad(Path("few.h5ad"), csr_array(x[:, few]), labels, genes[:15])
    status, _, err = mtl("train", "dataset=few.h5ad", *keys, "init_from=run", "run_dir=few")
    assert (status, Path("few").exists()) == (2, False)
    assert "few.h5ad: holds 15 of the run's 40 genes, and dataset.min_overlap is 0.5" in err
