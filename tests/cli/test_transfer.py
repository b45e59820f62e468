"""`init_from`, `model.trunk.freeze` and `optimizer.lr_scale` through the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mtl_cli.inference.trained import TrainedModel
from tests.conftest import InProcess

INPUTS = 8
QUICK = ("plots=false", "trainer.epochs=3", "model.trunk.hidden=[16,8]")


def family(seed: int, rows: int, tasks: dict[str, int], shift: float = 0.0) -> pd.DataFrame:
    """Return tasks that are linear in three features of the inputs, the same three in every table."""
    shared = np.random.default_rng(1)
    below = shared.normal(size=(INPUTS, 3))
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, INPUTS)) * np.arange(1, INPUTS + 1) + shift
    hidden = np.tanh(x / np.arange(1, INPUTS + 1) @ below)
    table = pd.DataFrame(x, columns=[f"x{i}" for i in range(INPUTS)])
    for name, number in tasks.items():
        table[name] = hidden @ np.random.default_rng(100 + number).normal(size=3) + 0.1 * random.normal(size=rows)
    return table


@pytest.fixture(autouse=True)
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    family(0, 600, {"a": 1, "b": 2, "c": 3, "d": 4}).to_csv("large.csv", index=False)
    for seed in range(3):
        family(10 + seed, 240, {"y": 7, "z": 8}).to_csv(f"small{seed}.csv", index=False)


def trained(mtl: InProcess, *arguments: str) -> tuple[dict, str]:
    status, out, err = mtl("train", *arguments)
    assert status == 0, err
    return json.loads(out.splitlines()[-1]), err


def source(mtl: InProcess, *arguments: str) -> None:
    tasks = "tasks={a: regression, b: regression, c: regression, d: regression}"
    trained(mtl, "dataset=large.csv", tasks, "run_dir=source", *(arguments or QUICK))


SMALL = ("dataset=small0.csv", "tasks={y: regression, z: regression}", "init_from=source")


def weights(run: str) -> dict[str, torch.Tensor]:
    found = torch.load(Path(run) / "mtl_model.pt", weights_only=True)["weights"]
    assert isinstance(found, dict)
    return found


@pytest.mark.slow
def test_it_helps_on_a_small_related_table(mtl: InProcess) -> None:
    """Thirty training rows of two new tasks on the same hidden features; skill on 200 test rows, over three tables."""
    large = (
        "plots=false",
        "model.trunk.hidden=[32,16]",
        "model.trunk.dropout=0",
        "trainer.epochs=30",
        "optimizer.lr=0.01",
    )
    source(mtl, *large)
    scores: dict[str, list[float]] = {"alone": [], "fine-tuned": [], "frozen": []}
    ways = {
        "alone": (),
        "fine-tuned": ("init_from=source", "model.trunk.freeze=10", "optimizer.lr_scale.trunk=0.1"),
        "frozen": ("init_from=source", "model.trunk.freeze=all"),
    }
    for seed in range(3):
        for name, way in ways.items():
            line, _ = trained(
                mtl, f"dataset=small{seed}.csv", "tasks={y: regression, z: regression}", "dataset.split.test=200",
                "dataset.split.val=10", *large, *way, f"run_dir={name}{seed}",
            )  # fmt: skip
            scores[name].append(float(np.mean([task["skill"] for task in line["metrics"].values()])))
    means = {name: np.mean(values) for name, values in scores.items()}
    assert means["fine-tuned"] > means["alone"] + 0.08
    assert means["frozen"] > means["alone"] + 0.06


def test_it_starts_from_that_trunk_and_says_what_it_took(mtl: InProcess) -> None:
    source(mtl)
    _, err = trained(mtl, *SMALL, *QUICK, "model.trunk.freeze=all", "run_dir=new")
    assert (
        "note: init_from: the trunk is that of source, 1,304 parameters in 4 tensors; inputs are encoded and scaled as"
        " there; new are 18 parameters, with the heads of y, z" in err
    )
    assert "note: model.trunk.freeze: the trunk's 1,304 parameters are not trained\n" in err
    old, new = weights("source"), weights("new")
    shared = [name for name in new if name.startswith("shared")]
    assert len(shared) == 8  # four of them are of bins
    assert all(torch.equal(old[name], new[name]) for name in shared)


def test_inputs_are_scaled_as_in_the_source(mtl: InProcess) -> None:
    """Also where the new rows lie elsewhere, and after that run is gone."""
    source(mtl)
    family(3, 200, {"y": 7, "z": 8}, shift=5).to_csv("small0.csv", index=False)
    trained(mtl, *SMALL, *QUICK, "run_dir=new")
    readers = [torch.load(Path(run) / "mtl_model.pt", weights_only=True)["data"]["reader"] for run in ("source", "new")]
    assert readers[0]["features"] == readers[1]["features"]
    Path("source/mtl_model.pt").unlink()
    assert mtl("predict", "new", "small0.csv")[0] == 0
    assert mtl("evaluate", "new")[0] == 0


def test_a_run_is_repeated_to_the_bit_from_its_config(
    mtl: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source(mtl)
    trained(
        mtl, *SMALL, *QUICK, "model.trunk.freeze=1", "optimizer.lr_scale.trunk=0.3", "optimizer.lr_scale.decay=0.5",
        "balancer=gradnorm", "regularizer=nuclear", "run_dir=first",
    )  # fmt: skip
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    trained(mtl, "../first/config.yaml", "run_dir=second")
    first, second = weights("../first"), weights("second")
    assert all(torch.equal(first[name], second[name]) for name in first)
    (tmp_path / "source").rename(tmp_path / "gone")
    status, _, err = mtl("train", "../first/config.yaml", "run_dir=third")
    assert (status, Path("third").exists()) == (2, False)
    assert err.startswith("mtl train: error: init_from: ") and "/source: there is no such run" in err


def test_a_head_start_then_the_whole(mtl: InProcess) -> None:
    """The balancer's file begins where the trunk does."""
    source(mtl)
    _, err = trained(mtl, *SMALL, *QUICK, "model.trunk.freeze=2", "balancer=gradnorm", "plots=true", "run_dir=new")
    assert "are not trained in the first 2 epochs; the balancer, which looks at its gradients, begins then" in err
    assert pd.read_csv("new/gradnorm_weights.csv")["epoch"].tolist() == [3]
    assert Path("new/plots/losses.png").is_file()


BAD = {
    "no such run": (["init_from=sorce"], ["init_from: sorce: there is no such run; did you mean source?"]),
    "no run": (["init_from=large.csv"], ["init_from: large.csv: is not a model that mtl wrote"]),
    "another width": (
        ["model.trunk.hidden=[16,4]"],
        ["model.trunk.hidden: is [16,4], and source has [16,8]; model.trunk.hidden=[16,8]"],
    ),
    "another activation and norm": (
        ["model.trunk.activation=tanh", "model.trunk.norm=layer"],
        [
            "model.trunk.activation: is tanh, and source has relu; model.trunk.activation=relu",
            "model.trunk.norm: is layer, and source has none; model.trunk.norm=none",
        ],
    ),
    "other features": (
        ["dataset=other.csv"],
        [
            "init_from: the feature 'x3' that the trunk reads is not in this data set",
            "init_from: the feature 'x5' that the trunk reads is not in this data set; did you mean x55?",
            "init_from: 'x55' is a feature here, and none that the trunk reads; dataset.features.exclude=[x55]",
        ],
    ),
    "text for a number": (["dataset=words.csv"], ["words.csv: 'tall' in row 3 of column 'x2' is not a number"]),
    "frozen for longer than there are epochs": (
        ["model.trunk.freeze=3"],
        ["model.trunk.freeze: holds the trunk for 3 of 3 epochs; give fewer than trainer.epochs, or all"],
    ),
    "no way to freeze": (["model.trunk.freeze=some"], ["model.trunk.freeze: must be 'none' or 'all' or a whole"]),
    "frozen for 0 epochs": (["model.trunk.freeze=0"], ["model.trunk.freeze: must be at least 1, not 0"]),
    "nothing to balance": (
        ["model.trunk.freeze=all", "balancer=mgda"],
        ["model.trunk.freeze: is all: nothing shared is trained, and balancer=mgda needs its gradients"],
    ),
    "a rate of 0": (["optimizer.lr_scale.trunk=0"], ["optimizer.lr_scale.trunk: must be above 0, not 0"]),
    "no part of the network": (
        ["optimizer.lr_scale.trunks=0.1"],
        ["optimizer.lr_scale.trunks: unknown key; did you mean optimizer.lr_scale.trunk?"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input(mtl: InProcess, case: str) -> None:
    source(mtl)
    small = pd.read_csv("small0.csv")
    small.rename(columns={"x5": "x55"}).drop(columns="x3").to_csv("other.csv", index=False)
    words = small.astype({"x2": object})
    words.loc[2, "x2"] = "tall"
    words.to_csv("words.csv", index=False)
    arguments, expected = BAD[case]
    status, out, err = mtl("train", *SMALL, *QUICK, "run_dir=new", *arguments)
    errors = [line for line in err.splitlines() if not line.startswith("note:")]
    assert (status, out, Path("new").exists()) == (2, "", False)
    assert len(errors) == len(expected), err
    for line, text in zip(errors, expected, strict=True):
        assert line.startswith(f"mtl train: error: {text}"), err


def test_categories_are_read_as_the_source_knew_them(mtl: InProcess) -> None:
    """Levels that look like numbers, a level that is new, and a missing one."""
    random = np.random.default_rng(0)
    table = pd.DataFrame({"code": random.choice(["01", "02", "x"], 200), "n": random.normal(size=200)})
    table["a"] = table.n + (table.code == "02")
    table.to_csv("one.csv", index=False)
    trained(mtl, "dataset=one.csv", "tasks={a: regression}", "run_dir=source", *QUICK)
    new = pd.DataFrame({"code": random.choice(["01", "02", "03"], 200), "n": random.normal(size=200)})
    new["b"] = new.n - (new.code == "01")
    new.to_csv("two.csv", index=False)
    _, err = trained(mtl, "dataset=two.csv", "tasks={b: regression}", "init_from=source", "run_dir=new", *QUICK)
    assert "the column 'code' has levels that training did not have: '03'" in err
    _, levels = (torch.load(f"{run}/mtl_model.pt", weights_only=True)["data"]["reader"] for run in ("source", "new"))
    assert "01" in str(levels["features"])


@pytest.mark.parametrize("scheme", ["mmoe", "dselect_k", "soft", "none", "cross_stitch", "cgc", "ple"])
def test_with_every_sharing_scheme(mtl: InProcess, scheme: str) -> None:
    """The same tasks: all below the heads is taken. Frozen: what tasks share stays; their own gates and units learn."""
    regularizer = "l2" if scheme == "none" else "nuclear"
    sharing = (f"model/sharing={scheme}", f"regularizer={regularizer}", *QUICK, "dataset.split.test=0.5")
    both = ("tasks={y: regression, z: regression}", *sharing)
    trained(mtl, "dataset=small0.csv", *both, "run_dir=source")
    _, err = trained(mtl, "dataset=small1.csv", *both, "init_from=source", "model.trunk.freeze=all", "run_dir=new")
    assert "note: init_from: the trunk is that of source, " in err
    old, new = weights("source"), weights("new")
    network = TrainedModel.load("new").network
    held = {
        id(p) for p in [*network.shared_parameters(), *(p for trunk in network.trunks() for p in trunk.parameters())]
    }
    for name, parameter in network.shared.named_parameters():
        name = f"shared.{name}"
        assert torch.equal(old[name], new[name]) == (id(parameter) in held), name
    if scheme == "cross_stitch":
        assert torch.equal(old["shared.units.0.alpha.0"], new["shared.units.0.alpha.0"])
    status, _, err = mtl("train", "dataset=small1.csv", "tasks={z: regression}", "init_from=source", *sharing,
                         "dataset.features.exclude=[y]", "run_dir=other")  # fmt: skip
    if scheme in ("mmoe", "dselect_k"):
        assert status == 0, err
    else:
        expected = "init_from: some of its trunks are of one task, and source has the tasks y, z; give both runs"
        assert (status, expected in err) == (2, True), err


def test_the_same_tasks_in_another_order(mtl: InProcess) -> None:
    sharing = ("dataset=small0.csv", "model/sharing=none", *QUICK)
    trained(mtl, *sharing, "tasks={y: regression, z: regression}", "run_dir=source")
    status, _, err = mtl("train", *sharing, "tasks={z: regression, y: regression}", "init_from=source", "run_dir=new")
    assert status == 2
    assert "and source has the tasks y, z; give the tasks in the order y, z" in err


def joined(one: str, two: str, name: str = "two") -> tuple[str, str]:
    tasks = f"tasks={{y: {{kind: regression, dataset: one}}, z: {{kind: regression, dataset: {name}}}}}"
    return (f"dataset.datasets={{one: {{kind: csv, path: {one}}}, {name}: {{kind: csv, path: {two}}}}}", tasks)


@pytest.fixture
def pair() -> None:
    """Two tables of different features, and a third with one feature less."""
    table = pd.read_csv("small0.csv")
    table.drop(columns="z").to_csv("one.csv", index=False)
    table.drop(columns=["y", "x0", "x1"]).to_csv("two.csv", index=False)
    table.drop(columns=["y", "x0", "x1", "x2"]).to_csv("less.csv", index=False)


@pytest.mark.parametrize(("one", "two", "name"), [
    ("one.csv", "two.csv", "two"), ("one.csv", "less.csv", "two"), ("one.csv", "two.csv", "three"),
])  # fmt: skip
@pytest.mark.usefixtures("pair")
def test_adapters_of_the_same_data_sets_are_taken(mtl: InProcess, one: str, two: str, name: str) -> None:
    """Those of other features or other names are new, and are not refused."""
    keys = ("dataset=joint", *QUICK, "optimizer.lr=1e-30", "model.adapter.width=5")
    trained(mtl, *keys, *joined("one.csv", "two.csv"), "run_dir=source")
    _, err = trained(mtl, *keys, *joined(one, two, name), "seed=1", "init_from=source", "run_dir=new")
    old, new = (TrainedModel.load(run).network.entry for run in ("source", "new"))
    assert old is not None
    assert new is not None
    same = ["one", "two"] if (two, name) == ("two.csv", "two") else ["one"]
    assert f"tensors, with the adapters of {', '.join(same)}; inputs" in err
    first, second = old.by_dataset(), new.by_dataset()
    assert list(second) == ["one", name]
    for dataset in first.keys() & second.keys():
        mine, theirs = second[dataset][0].weight, first[dataset][0].weight
        assert (mine.shape == theirs.shape and torch.allclose(mine, theirs)) == (dataset in same)


@pytest.mark.usefixtures("pair")
def test_an_adapter_of_another_width_or_activation_is_named(mtl: InProcess) -> None:
    keys = ("dataset=joint", *QUICK)
    trained(mtl, *keys, *joined("one.csv", "two.csv"), "run_dir=source")
    other = ("model.adapter.width=9", "model.adapter.activation=tanh", "run_dir=new")
    status, _, err = mtl("train", *keys, *joined("one.csv", "two.csv"), "init_from=source", *other)
    assert status == 2
    assert "model.adapter.width: is 9, and source has 64; model.adapter.width=64" in err
    assert "model.adapter.activation: is tanh, and source has relu; model.adapter.activation=relu" in err


@pytest.mark.usefixtures("pair")
def test_another_order_of_features_is_said(mtl: InProcess) -> None:
    """Where a data set keeps no encoder of the source's: the first feature that differs, and the order there."""
    pd.read_csv("one.csv").rename(columns={"y": "z"}).to_csv("two.csv", index=False)
    keys = ("dataset=joint", *QUICK)
    trained(mtl, *keys, *joined("one.csv", "two.csv"), "run_dir=source")
    for path in ("one.csv", "two.csv"):
        table = pd.read_csv(path)
        table[["x1", "x0", *table.columns[2:]]].to_csv(path, index=False)
    status, _, err = mtl("train", *keys, *joined("one.csv", "two.csv"), "init_from=source", "run_dir=new")
    assert status == 2
    what = "the features are those of source in another order: first, 'x1' is where it reads 'x0'"
    assert f"init_from: {what}; give the columns in the order x0, x1, x2, x3, x4, x5, x6, x7" in err


def test_another_scheme_is_named(mtl: InProcess) -> None:
    source(mtl)
    status, _, err = mtl("train", *SMALL, *QUICK, "model/sharing=mmoe", "run_dir=new")
    assert status == 2
    assert "mtl train: error: model.sharing.kind: is mmoe, and source has hard; model/sharing=hard" in err


def test_early_stopping_waits_until_a_held_trunk_is_trained(mtl: InProcess) -> None:
    status, _, err = mtl(
        "train", "dataset=wine", "run_dir=held", "model.trunk.freeze=6", "trainer.epochs=20", "plots=false",
        "trainer.early_stopping.patience=1", "optimizer.lr=1e-12",
    )  # fmt: skip
    assert status == 0, err
    assert len(pd.read_csv("held/mtl_history.csv")) >= 7
