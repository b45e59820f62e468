"""`regularizer=` through the command."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.conftest import InProcess

QUICK = ("plots=false", "trainer.epochs=4")


def history(run: str) -> list[dict[str, str]]:
    return list(csv.DictReader((Path(run) / "mtl_history.csv").open()))


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Twelve tasks that are linear in two directions of ten inputs."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 10))
    w = random.normal(size=(12, 2)) @ random.normal(size=(2, 10))
    y = x @ w.T + random.normal(size=(300, 12))
    names = [f"x{i}" for i in range(10)] + [f"y{i}" for i in range(12)]
    pd.DataFrame(np.hstack([x, y]), columns=names).to_csv("many.csv", index=False)
    return "tasks={" + ", ".join(f"y{i}: regression" for i in range(12)) + "}"


def rank(run: str) -> int:
    weights = torch.load(f"{run}/mtl_model.pt", weights_only=True)["weights"]
    stacked = torch.cat([tensor for name, tensor in weights.items() if name.startswith("_heads") and tensor.dim() == 2])
    values = torch.linalg.svdvals(stacked)
    return int((values > 1e-4 * values[0]).sum())


def test_the_nuclear_norm_lowers_the_rank(mtl: InProcess, many: str) -> None:
    common = ("dataset=many.csv", many, "trainer.epochs=40", "trainer.early_stopping=null", "plots=false",
              "optimizer.lr=0.01", "dataset.features.scale=standard", "model.trunk.embeddings.kind=none")  # fmt: skip
    assert mtl("train", *common, "run_dir=free")[0] == 0
    assert mtl("train", *common, "run_dir=nuclear", "regularizer=nuclear", "regularizer.strength=3")[0] == 0
    assert rank("free") == 12
    assert rank("nuclear") <= 4
    norms = [float(row["penalty_nuclear"]) for row in history("nuclear")]
    assert norms[-1] > 0
    scores = [json.loads(Path(run, "metrics.json").read_text())["score"] for run in ("free", "nuclear")]
    assert scores[1] > scores[0] - 0.02


@pytest.mark.parametrize("name", ["l2", "nuclear", "group_lasso", "graph", "prior"])
@pytest.mark.parametrize("balancer", ["uniform", "gradnorm", "upgrad", "db_mtl"])
def test_each_with_each_kind_of_balancer(mtl: InProcess, name: str, balancer: str) -> None:
    status, out, err = mtl("train", "dataset=wine", f"regularizer={name}", f"balancer={balancer}", "run_dir=run",
                           "plots=false", "trainer.epochs=1", "trainer.clip_norm=1")  # fmt: skip
    assert status == 0, err
    assert json.loads(out)["status"] == "done"
    row = history("run")[0]
    assert float(row[f"penalty_{name}"]) > 0
    assert ("evidence_prior" in row) == (name == "prior")


def test_it_is_drawn_and_repeated_to_the_bit(mtl: InProcess) -> None:
    arguments = ("dataset=wine", "regularizer=prior", "regularizer.scale=diagonal", "trainer.epochs=3")
    assert mtl("train", *arguments, "run_dir=first")[0] == 0
    assert Path("first/plots/penalty.png").stat().st_size > 1000
    assert mtl("train", "first/config.yaml", "run_dir=second", "plots=false")[0] == 0
    runs = [[{k: v for k, v in row.items() if k != "seconds"} for row in history(run)] for run in ("first", "second")]
    assert runs[0] == runs[1]
    assert mtl("predict", "first", "first/predictions.csv")[0] == 2  # a table without the features, as ever
    assert mtl("evaluate", "first")[0] == 0


def test_edges_from_the_labels_are_told(mtl: InProcess) -> None:
    _, _, err = mtl("train", "dataset=wine", "regularizer=graph", *QUICK)
    assert "note: regularizer: tasks linked by the correlation of their labels: quality–is_good 0.85" in err


def test_the_list_and_the_help(mtl: InProcess) -> None:
    _, out, _ = mtl("list", "regularizers")
    assert [line.split()[0] for line in out.splitlines()[1:] if line.strip() and "─" not in line] == [
        "graph", "group_lasso", "l2", "none", "nuclear", "prior",
    ]  # fmt: skip
    _, out, _ = mtl("train", "--help")
    assert "regularizer: what ties the tasks' heads together" in out
    assert "init_from=RUN" in out


EDGES = "regularizer.edges=[[quality,{},1.0]]"
BAD = {
    "no such regulariser": (["regularizer=nuclar"], "regularizer: there is no 'nuclar'; did you mean regularizer=nuclear?"),
    "less than nothing": (["regularizer=nuclear", "regularizer.strength=-1"], "regularizer.strength: must be at least 0, not -1"),
    "no such method": (["regularizer=nuclear", "regularizer.method=prox"], "regularizer.method: cannot be 'prox'; did you mean proximal?"),
    "an edge to no task": (["regularizer=graph", EDGES.format("isgood")], "regularizer.edges: no task is called 'isgood'; did you mean is_good?"),
    "an edge to itself": (["regularizer=graph", EDGES.format("quality")], "regularizer.edges: links quality to itself"),
    "an edge twice": (["regularizer=graph", "regularizer.edges=[[quality,is_good,1],[is_good,quality,2]]"], "regularizer.edges: links is_good and quality twice"),
    "an edge that repels": (["regularizer=graph", "regularizer.edges=[[quality,is_good,-1]]"], "regularizer.edges[0][2]: must be at least 0, not -1"),
    "an edge of two words": (["regularizer=graph", "regularizer.edges=[[quality,is_good]]"], "regularizer.edges: must be a list or 'correlation' or 'all', not [['quality', 'is_good']]"),
    "no edges": (["regularizer=graph", "regularizer.edges=some"], "regularizer.edges: must be a list or 'correlation' or 'all', not 'some'"),
    "a graph of one task": (["regularizer=graph", "tasks={quality: regression}"], "regularizer: a graph needs two tasks, and there is one"),
    "a prior for one task": (["regularizer=prior", "tasks={quality: regression}"], "regularizer: a shared prior needs two tasks"),
    "a prior for no task": (["regularizer=prior", "regularizer.tasks=[quality,good,is_good]"], "regularizer.tasks: no task is called 'good'"),
    "no likelihood": (["regularizer=prior", "tasks.quality.loss=mae"], "tasks.quality.loss: 'mae' is not a likelihood that the prior supports"),
    "heads of other widths": (["regularizer=nuclear", "model.heads.is_good.hidden=[7]"], "model.heads.is_good: regularizer=nuclear stacks the heads' last layers: quality reads 64 units, is_good 7"),
    "a graph over heads of other widths": (["regularizer=graph", "model.heads.is_good.hidden=[7]", EDGES.format("is_good")], "regularizer.edges: quality and is_good cannot be compared"),
    "a prior over heads of other widths": (["regularizer=prior", "model.heads.is_good.hidden=[7]"], "regularizer.tasks: the last layer of quality's head has 1 × 64 weights, is_good's 1 × 7"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input(mtl: InProcess, case: str) -> None:
    arguments, expected = BAD[case]
    status, out, err = mtl("train", "dataset=wine", *QUICK, "run_dir=new", *arguments)
    errors = [line for line in err.splitlines() if not line.startswith("note:")]
    assert (status, out, Path("new").exists()) == (2, "", False), err
    assert len(errors) == 1, err
    assert errors[0].startswith(f"mtl train: error: {expected}"), err


def test_one_task_is_fine_for_the_nuclear_norm(mtl: InProcess) -> None:
    assert mtl("train", "dataset=wine", "tasks={quality: regression}", "regularizer=nuclear", *QUICK)[0] == 0


def test_an_ensemble_has_no_such_heads(mtl: InProcess) -> None:
    pytest.importorskip("tabm")
    status, _, err = mtl("train", "dataset=wine", "model=tabm", "regularizer=nuclear", *QUICK)
    assert status == 2
    assert (
        "mtl train: error: model.heads.quality: ends in LinearEnsemble, and regularizers of the tasks' weights" in err
    )


@pytest.mark.parametrize("regularizer", ["nuclear", "graph", "prior", "group_lasso"])
@pytest.mark.parametrize("sharing", [("model.sharing=none",), ("model.sharing=soft", "model.sharing.start=own")])
def test_heads_on_units_of_their_own_are_not_compared(
    mtl: InProcess, regularizer: str, sharing: tuple[str, ...]
) -> None:
    status, _, err = mtl("train", "dataset=wine", f"regularizer={regularizer}", *sharing)
    assert status == 2
    assert "regularizer: compares the tasks' heads, and this sharing scheme gives each task units of its own" in err
