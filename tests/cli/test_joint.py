"""Joined data sets by the command: every task learns from its own rows, and every file says whose row is whose."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mtl_cli.config.registry import components
from tests.conftest import InProcess, houses
from tests.images import bars, idx_bytes, write_both, write_idx

IMAGES = [
    "dataset=mnist_fashion", "dataset.root=data", "model=cnn", "model.trunk.channels=[8]", "model.trunk.kernel=3",
    "model.trunk.hidden=[16]", "trainer.batch_size=32", "plots=false",
]  # fmt: skip
TABLES = [
    "dataset=joint",
    "dataset.datasets={homes: {kind: csv, path: houses.csv, id: house, features: {exclude: [sold, kind, tags]}}, flats: {kind: csv, path: flats.csv}}",
    "tasks={price: {kind: regression, dataset: homes}, rent: {kind: regression, dataset: flats}, furnished: {kind: binary, dataset: flats}}",
    "model.trunk.hidden=[32,16]", "plots=false",
]  # fmt: skip


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two data sets of images, and two tables with other columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MTL_DATA_ROOT", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_both(tmp_path / "data")
    houses(300).to_csv("houses.csv", index=False)
    random = np.random.default_rng(5)
    size, floor = random.uniform(20, 90, 200), random.integers(0, 9, 200)
    rent = 9 * size + 10 * floor + random.normal(0, 10, 200)
    flats = pd.DataFrame(
        {"size": size, "floor": floor, "rent": rent, "furnished": (size + 5 * floor > 75).astype(object)}
    )
    flats.loc[::9, "furnished"] = None
    flats.to_csv("flats.csv", index=False)


def train(mtl: InProcess, *arguments: str) -> tuple[dict, Path]:
    status, out, err = mtl("train", *arguments)
    assert status == 0, err
    line = json.loads(out)
    return line["metrics"], Path(line["run_dir"])


@pytest.fixture
def images(mtl: InProcess) -> tuple[dict, Path]:
    return train(mtl, *IMAGES, "trainer.epochs=8", "tasks.garment.mapping={0: low, 1: middle, 2: high}")


def test_each_task_learns_from_its_own_images(mtl: InProcess, images: tuple[dict, Path]) -> None:
    metrics, run = images
    assert (metrics["digit"]["rows"], metrics["garment"]["rows"]) == (40, 30)
    assert metrics["digit"]["accuracy"] > 0.9
    assert metrics["garment"]["accuracy"] > 0.9
    splits = pd.read_csv(run / "splits.csv")
    counts = splits.groupby(["dataset", "split"]).size().to_dict()
    assert counts == {
        ("mnist", "train"): 266, ("mnist", "val"): 34, ("mnist", "test"): 40,
        ("fashion", "train"): 132, ("fashion", "val"): 18, ("fashion", "test"): 30,
    }  # fmt: skip
    predicted = pd.read_csv(run / "predictions.csv")
    assert list(predicted.columns[:3]) == ["dataset", "row", "digit"]
    for task, dataset in (("digit", "mnist"), ("garment", "fashion")):
        own = predicted["dataset"] == dataset
        for column in (task, f"predicted_{task}", f"predicted_{task}_prob"):
            assert predicted.loc[own, column].notna().all()
            assert predicted.loc[~own, column].isna().all()
    own = predicted[predicted["dataset"] == "fashion"]
    assert (own["garment"] == own["predicted_garment"]).mean() == pytest.approx(metrics["garment"]["accuracy"])
    assert set(own["garment"]) == {"low", "middle", "high"}

    status, out, _ = mtl("evaluate", str(run))
    again = json.loads(out)
    assert status == 0
    for task in ("digit", "garment"):
        assert again["tasks"][task]["accuracy"] == metrics[task]["accuracy"]


def test_predicting_images_like_those_of_one_of_them(mtl: InProcess, images: tuple[dict, Path]) -> None:
    metrics, run = images
    file = "data/fashion/t10k-images-idx3-ubyte"
    _, out, _ = mtl("predict", str(run), f"fashion={file}")
    found = pd.read_csv(io.StringIO(out))
    assert list(found.columns) == ["dataset", "row", "predicted_garment", "predicted_garment_prob"]
    kept = pd.read_csv(run / "predictions.csv")
    kept = kept[kept["dataset"] == "fashion"]
    assert found["predicted_garment"].tolist() == kept["predicted_garment"].tolist()
    _, out, err = mtl("evaluate", str(run), f"fashion={file}")
    assert json.loads(out)["tasks"]["garment"]["accuracy"] == metrics["garment"]["accuracy"]
    assert "has no labels of task digit" in err
    for wrong, hint in {file: "give mnist=PATH or fashion=PATH", f"fashoin={file}": "did you mean fashion?"}.items():
        status, _, err = mtl("predict", str(run), wrong)
        assert status == 2
        assert err == f"mtl predict: error: {wrong}: does not say which of the joined data sets it belongs to; {hint}\n"


@pytest.mark.parametrize("sampling", ["cycle", "proportional", "balanced", "temperature"])
def test_each_way_to_sample(mtl: InProcess, sampling: str) -> None:
    metrics, run = train(mtl, *IMAGES, f"dataset.sampling={sampling}", "trainer.epochs=5")
    assert metrics["digit"]["accuracy"] > 0.6
    steps = int(pd.read_csv(run / "uniform_weights.csv")["step"].iloc[0])
    assert steps == (9 if sampling == "cycle" else 7), "⌈266 / 32⌉, or ⌈398 / 64⌉"


def test_all_rows_at_once(mtl: InProcess) -> None:
    metrics, _ = train(mtl, *IMAGES, "trainer.batch_size=null", "trainer.epochs=2")
    assert set(metrics) == {"digit", "garment"}


def test_tables_of_other_columns(mtl: InProcess) -> None:
    metrics, run = train(mtl, *TABLES, "trainer.epochs=60", "optimizer.lr=3e-3")
    assert metrics["price"]["r2"] > 0.8
    assert metrics["rent"]["r2"] > 0.8
    assert metrics["furnished"]["accuracy"] > 0.85
    predicted = pd.read_csv(run / "predictions.csv", dtype={"row": str})
    assert predicted.loc[predicted["dataset"] == "homes", "row"].str.startswith("h").all()
    _, out, _ = mtl("evaluate", str(run))
    again = json.loads(out)["tasks"]
    for task in ("price", "rent", "furnished"):
        assert again[task]["loss"] == pytest.approx(metrics[task]["loss"], rel=1e-5)
    _, out, _ = mtl("predict", str(run), "flats=flats.csv")
    found = pd.read_csv(io.StringIO(out))
    assert len(found) == 200
    assert "predicted_price" not in found
    kept = predicted[predicted["dataset"] == "flats"]
    rows = kept["row"].astype(int)
    assert np.allclose(found.loc[rows, "predicted_rent"], kept["predicted_rent"], rtol=1e-4)
    _, again_run = train(mtl, str(run / "config.yaml"), "trainer.epochs=1")
    assert again_run != run


def test_tables_of_the_same_columns_need_no_adapter(mtl: InProcess) -> None:
    import torch

    flats = pd.read_csv("flats.csv")
    flats[:90].to_csv("north.csv", index=False)
    flats[90:].to_csv("south.csv", index=False)
    _, run = train(
        mtl, "dataset=joint", "dataset.datasets={north: {kind: csv, path: north.csv}, south: {kind: csv, path: south.csv}}",
        "tasks={rent: {kind: regression, dataset: north}, furnished: {kind: binary, dataset: south}}", "trainer.epochs=2",
        "dataset.datasets.north.features.exclude=[furnished]", "dataset.datasets.south.features.exclude=[rent]", "plots=false",
    )  # fmt: skip
    weights = torch.load(run / "mtl_model.pt", weights_only=True)["weights"]
    assert not any(name.startswith("entry") for name in weights)
    assert weights["shared.trunk.0.edge"].shape == (2, 8)


@pytest.mark.parametrize("name", ["uniform", "gradnorm", "upgrad", "graddrop"])
def test_balancers_of_losses_norms_gramians_and_jacobians(mtl: InProcess, name: str) -> None:
    """Each of the others learns these images in the slow tests; here is one for each way to the gradients."""
    _, run = train(mtl, *IMAGES, f"balancer={name}", "trainer.epochs=2", "trainer.batch_size=128")
    weights = pd.read_csv(run / f"{name}_weights.csv")
    assert np.isfinite(weights[["weight_digit", "weight_garment"]]).all().all()


@pytest.mark.slow
@pytest.mark.parametrize("name", components("balancer"))
def test_every_balancer_learns_joined_images(mtl: InProcess, name: str) -> None:
    geometries = ["parameters", "representation"] if hasattr(components("balancer")[name](), "geometry") else [None]
    for geometry in geometries:
        chosen = [f"balancer={name}", "balancer.scale=sum", *([f"balancer.geometry={geometry}"] if geometry else [])]
        metrics, run = train(mtl, *IMAGES, *chosen, "model.trunk.norm=batch", "trainer.epochs=4", "optimizer.lr=5e-3")
        weights = pd.read_csv(run / f"{name}_weights.csv")
        assert np.isfinite(weights[["weight_digit", "weight_garment"]]).all().all()
        assert min(metrics[task]["accuracy"] for task in ("digit", "garment")) > 0.6, geometry


EACH_WAY = ["uniform", "uw", "famo", "gradnorm", "upgrad", "mgda", "graddrop"]
"""The others differ from these in what they do with losses, norms, Gramian or Jacobian, not in how they get them."""


@pytest.mark.slow
@pytest.mark.parametrize("name", EACH_WAY)
def test_joined_tables_are_learnt(mtl: InProcess, name: str) -> None:
    chosen = [f"balancer={name}", "balancer.scale=sum", "trainer.epochs=8", "optimizer.lr=1e-2"]
    metrics, _ = train(mtl, *TABLES, *chosen)
    assert max(metrics[task]["skill"] for task in metrics) > 0.1
    assert all(np.isfinite(values["skill"]) for values in metrics.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", EACH_WAY)
def test_images_with_a_residual_network(mtl: InProcess, name: str) -> None:
    chosen = [f"balancer={name}", "balancer.scale=sum", "model=resnet", "model.trunk.channels=[8,16]", "plots=false"]
    half = ["dataset.split.test=0.5", "dataset.split.val=0.1"]
    metrics, _ = train(mtl, "dataset=digits", *half, *chosen, "trainer.epochs=5", "optimizer.lr=5e-3")
    assert metrics["digit"]["accuracy"] > 0.5


TABLE = "{kind: csv, path: flats.csv}"
RENT = "tasks={rent: {kind: regression, dataset: a}}"
BAD = {
    "an image and a table": (["dataset.datasets={a: {kind: digits}, b: " + TABLE + "}", "tasks={digit: {kind: multiclass, dataset: a}, rent: {kind: regression, dataset: b}}"], "dataset.datasets: give inputs of different kinds, which have no common trunk: a image, b features"),
    "images of different size": (["model=cnn", "dataset.datasets={a: {kind: digits}, b: {kind: idx, root: data/mnist}}", "tasks={digit: {kind: multiclass, dataset: a}, label: {kind: multiclass, dataset: b}}"], "dataset.datasets: a gives images of 1 × 8 × 8, b of 1 × 12 × 12: they have no common trunk"),
    "a task that names no data set": (["dataset.datasets={a: " + TABLE + "}", "tasks={rent: regression}"], "tasks.rent.dataset: needs a value: whose rows the task labels; choose from a"),
    "a task of no data set": (["dataset.datasets={flats: " + TABLE + "}", "tasks={rent: {kind: regression, dataset: falts}}"], "tasks.rent.dataset: no data set is called 'falts'; did you mean flats?"),
    "a data set of no task": (["dataset.datasets={a: " + TABLE + ", b: {kind: csv, path: houses.csv}}", RENT], "dataset.datasets.b: no task labels its rows; give one tasks.NAME.dataset=b"),
    "an unknown sampling": (["dataset.datasets={a: " + TABLE + "}", RENT, "dataset.sampling=cylce"], "dataset.sampling: cannot be 'cylce'; did you mean cycle?"),
    "a temperature of nothing": (["dataset.datasets={a: " + TABLE + "}", RENT, "dataset.temperature=0"], "dataset.temperature: must be above 0, not 0"),
    "no data sets": (["dataset.datasets={}", RENT], "dataset.datasets: names no data set"),
    "an unknown kind": (["dataset.datasets={a: {kind: cvs, path: x}}", RENT], "dataset.datasets.a.kind: 'cvs' is not a known dataset kind; did you mean csv?"),
    "an unknown key": (["dataset.datasets={a: {kind: csv, path: flats.csv, separater: x}}", RENT], "dataset.datasets.a.separater: unknown key; did you mean dataset.datasets.a.separator?"),
    "a split of one of them": (["dataset.datasets={a: {kind: csv, path: flats.csv, split: {test: 2.5}}}", RENT], "dataset.datasets.a.split.test: 2.5 is neither a fraction"),
    "no such column in one of them": (["dataset.datasets={a: " + TABLE + "}", "tasks={rnet: {kind: regression, dataset: a}}"], "tasks.rnet.target: flats.csv has no column 'rnet'; did you mean rent?"),
    "a joined data set in another": (["dataset.datasets={a: {kind: joint, datasets: {b: " + TABLE + "}}}", RENT], "dataset.datasets.a.kind: joined data sets cannot be joined again"),
    "too large a part of one of them": (["dataset.datasets={a: {kind: csv, path: flats.csv, split: {test: 200}}}", RENT], "dataset.datasets.a.split.test: asks for 200 of 200 rows"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_input(mtl: InProcess, tmp_path: Path, arguments: list[str], message: str) -> None:
    before = sorted(tmp_path.iterdir())
    status, out, err = mtl("train", "dataset=joint", *arguments)
    assert (status, out) == (2, ""), err
    assert err.splitlines()[0].startswith(f"mtl train: error: {message}")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "wrong",
    [
        ["dataset.datasets={a: " + TABLE + "}", "dataset.sampling=temprature"],
        ["dataset.datasets=[flats.csv]"],
        ["dataset.datasets={a: {kind: cvs, path: flats.csv}}"],
    ],
)
def test_a_data_set_that_is_wrong_is_all_that_is_reported(mtl: InProcess, wrong: list[str]) -> None:
    status, _, err = mtl("train", "dataset=joint", *wrong, RENT)
    assert status == 2
    assert len(err.splitlines()) == 1, err
    assert err.startswith("mtl train: error: dataset.")


def test_a_data_set_that_is_not_joined_says_so_of_its_tasks(mtl: InProcess) -> None:
    _, _, err = mtl("train", "dataset=flats.csv", RENT)
    assert "tasks.rent.dataset: is for joined data sets" in err


def test_files_in_short(mtl: InProcess) -> None:
    short = "dataset.datasets={homes: houses.csv, flats: flats.csv}"
    keys = ["tasks={price: {kind: regression, dataset: homes}, rent: {kind: regression, dataset: flats}}"]
    keys += ["plots=false", "trainer.epochs=1"]
    metrics, run = train(mtl, "dataset=joint", short, *keys)
    assert (metrics["price"]["rows"], metrics["rent"]["rows"]) == (48, 40)
    assert mtl("evaluate", str(run))[0] == 0
    _, _, err = mtl("train", "dataset=joint", "dataset.datasets={homes: houses.sav, flats: cvs}", *keys)
    assert "dataset.datasets.homes.kind: 'houses.sav' is not a known dataset kind" in err
    assert "dataset.datasets.flats.kind: 'cvs' is not a known dataset kind; did you mean csv?" in err


def test_a_data_set_that_changed(mtl: InProcess, images: tuple[dict, Path]) -> None:
    _, run = images
    file = Path("data/mnist/t10k-images-idx3-ubyte")
    file.write_bytes(idx_bytes(bars(40, 3, 9)[0]))
    status, _, err = mtl("evaluate", str(run))
    assert status == 2
    assert err.startswith("mtl evaluate: error: mnist: has changed since the run was made")
    write_idx(Path("data/mnist"), bars(30, 3, 0), None)


def test_sequences_of_other_lengths_and_labels_of_their_residues(mtl: InProcess) -> None:
    random = np.random.default_rng(0)
    for name, (low, high), rows in (("short", (6, 15), 90), ("long", (20, 40), 60)):
        table = []
        for _ in range(rows):
            sequence = "".join(random.choice(list("ACDEFGHIKL"), random.integers(low, high)))
            table.append({"sequence": sequence, "structure": "".join("H" if a in "ACDE" else "C" for a in sequence)})
        pd.DataFrame(table).to_csv(f"{name}.csv", index=False)
    member = "{{kind: csv, path: {0}.csv, sequence: sequence}}".format
    metrics, run = train(
        mtl, "dataset=joint", f"dataset.datasets={{short: {member('short')}, long: {member('long')}}}",
        "tasks={one: {kind: residue, dataset: short, target: structure}, two: {kind: residue, dataset: long, target: structure}}",
        "model=sequence_cnn", "model.trunk.width=16", "model.trunk.blocks=1", "trainer.epochs=8", "trainer.batch_size=16",
        "optimizer.lr=1e-2", "plots=false",
    )  # fmt: skip
    assert min(metrics[task]["accuracy"] for task in ("one", "two")) > 0.9
    _, out, _ = mtl("evaluate", str(run))
    again = json.loads(out)["tasks"]
    assert {task: again[task]["accuracy"] for task in again} == {task: metrics[task]["accuracy"] for task in metrics}
