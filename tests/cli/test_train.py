"""`mtl train` from end to end: what it writes, what it prints, what it repeats."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.model_selection import train_test_split

from tests.conftest import Command, InProcess

HOUSES = "tasks={price: {kind: regression, transform: log1p}, sold: binary, kind: multiclass, tags: multilabel}"


def test_the_main_job_on_one_split(command: Command, tmp_path: Path) -> None:
    done = command("train", "dataset=wine", "balancer=gradnorm", "trainer.folds=none")
    assert done.returncode == 0, done.stderr
    line = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert set(line) == {"run_dir", "status", "score", "metrics"}
    run = tmp_path / line["run_dir"]
    assert run.parent == tmp_path / "outputs"
    assert sorted(path.name for path in run.iterdir()) == [
        "checkpoint.pt", "config.yaml", "gradnorm_weights.csv", "metrics.json", "mtl_history.csv", "mtl_model.pt",
        "plots", "predictions.csv", "run.json", "splits.csv",
    ]  # fmt: skip
    assert {path.stem for path in (run / "plots").glob("*.png")} == {
        "losses", "weights", "predicted_quality", "confusion_is_good", "calibration_is_good",
        "coverage_is_good",
    }  # fmt: skip

    _, test = train_test_split(range(1599), test_size=0.2, random_state=42)
    splits = pd.read_csv(run / "splits.csv")
    assert splits["split"].value_counts().to_dict() == {"train": 1119, "test": 320, "val": 160}
    assert set(splits["row"][splits["split"] == "test"]) == set(test)

    history = pd.read_csv(run / "mtl_history.csv")
    assert list(history.columns) == [
        "epoch", "loss_total", "loss_quality", "loss_is_good", "val_loss_quality", "val_loss_is_good",
        "val_rmse_quality", "val_accuracy_is_good", "val_score", "lr", "seconds",
    ]  # fmt: skip
    metrics = json.loads((run / "metrics.json").read_text())
    best = history.loc[history["val_score"].idxmax()]
    assert metrics["epoch"] == best["epoch"]
    assert line["score"] == metrics["score"] == pytest.approx(best["val_score"], rel=1e-5)
    assert line["metrics"] == metrics["splits"]["test"]["tasks"]
    assert metrics["splits"]["test"]["rows"] == 320
    assert metrics["splits"]["test_unseen"]["rows"] == 256, "64 of the 320 test rows repeat other rows"
    assert "64 of 320 test rows" in done.stderr
    assert metrics["splits"]["val"]["tasks"]["quality"]["rmse"] == pytest.approx(best["val_rmse_quality"], rel=1e-4)

    weights = pd.read_csv(run / "gradnorm_weights.csv")
    np.testing.assert_allclose(weights[["weight_quality", "weight_is_good"]].sum(axis=1), 2, atol=1e-5)
    assert list(weights.columns[:2]) == ["epoch", "step"]
    assert {"norm_quality", "rate_is_good"} <= set(weights.columns)

    predictions = pd.read_csv(run / "predictions.csv")
    assert list(predictions.columns) == [
        "row", "quality", "predicted_quality", "is_good", "predicted_is_good", "predicted_is_good_prob",
    ]  # fmt: skip
    assert predictions["row"].tolist() == test
    mse = ((predictions["quality"] - predictions["predicted_quality"]) ** 2).mean()
    assert mse == pytest.approx(line["metrics"]["quality"]["mse"], rel=1e-6)
    accuracy = (predictions["is_good"] == predictions["predicted_is_good"]).mean()
    assert accuracy == pytest.approx(line["metrics"]["is_good"]["accuracy"])
    assert ((predictions["quality"] >= 6) == predictions["is_good"]).all()
    assert ((predictions["predicted_is_good_prob"] >= 0.5) == predictions["predicted_is_good"]).all()

    record = json.loads((run / "run.json").read_text())
    assert (record["status"], record["seed"], record["device"]) == ("done", 0, "cpu")
    assert record["command"] == ["mtl", "train", "dataset=wine", "balancer=gradnorm", "trainer.folds=none"]
    content = torch.load(run / "mtl_model.pt", weights_only=True)
    assert content["format"] == 2
    assert "the first test rows" in done.stderr


def test_a_table_of_ones_own(mtl: InProcess, houses_csv: Path) -> None:
    status, out, err = mtl(
        "train", "dataset=houses.csv", HOUSES, "dataset.id=house", "trainer.epochs=40", "optimizer.lr=0.01",
        "dataset.split.stratify=[kind]", "model.heads.price.hidden=[16]", "run_dir=run", "plots=false",
    )  # fmt: skip
    assert status == 0, err
    metrics = json.loads(out)["metrics"]
    assert all(metrics[task]["skill"] > 0.15 for task in metrics), metrics
    table = pd.read_csv(houses_csv)
    predictions = pd.read_csv("run/predictions.csv").set_index("house")
    source = table.set_index("house").loc[predictions.index]
    assert len(predictions) == 48
    for column in ("price", "sold", "kind", "tags"):
        assert predictions[column].isna().equals(source[column].isna()), "a missing label stays empty, its row stays"
        present = source[column].notna()
        assert (predictions[column][present] == source[column][present]).all(), "labels are the user's own"
    assert set(predictions["predicted_kind"]) <= {"flat", "house", "villa"}
    assert set(predictions["predicted_sold"]) <= {"yes", "no"}
    assert (predictions["predicted_price"] > 0).all()
    assert {"predicted_tags_prob_big", "predicted_tags_prob_green"} <= set(predictions.columns)
    assert not Path("run/plots").exists()
    assert pd.read_csv("run/splits.csv")["house"].tolist() == table["house"].tolist()


def test_what_few_rows_lack_is_learnt_from(mtl: InProcess) -> None:
    """Of 300 flags nearly all are up in every row: as inputs of 1 they hid the few that are down (R² 0.1)."""
    random = np.random.default_rng(0)
    flags = np.ones((600, 300), bool)
    for row in flags:
        row[random.choice(300, 2, replace=False)] = False
    table = pd.DataFrame(flags, columns=[f"flag{number}" for number in range(300)])
    table["y"] = ~flags @ random.normal(size=300) + 0.3 * random.normal(size=600)
    table.to_csv("flags.csv", index=False)
    words = ["trainer.folds=none", "trainer.epochs=40", "trainer.baselines=none", "plots=false"]
    status, out, err = mtl("train", "dataset=flags.csv", "tasks={y: regression}", *words)
    assert status == 0, err
    assert json.loads(out)["metrics"]["y"]["r2"] > 0.7


def test_the_pictures_of_every_kind_of_task(mtl: InProcess, houses_csv: Path) -> None:
    assert mtl("train", "dataset=houses.csv", HOUSES, "trainer.epochs=2", "run_dir=run")[0] == 0
    assert {path.name for path in Path("run/plots").iterdir()} == {
        "losses.png", "predicted_price.png", "confusion_sold.png", "calibration_sold.png", "confusion_kind.png",
        "calibration_kind.png", "confusion_tags.png", "calibration_tags.png",
        *(f"coverage_{task}.{form}" for task in ("sold", "kind", "tags") for form in ("png", "csv")),
    }  # fmt: skip
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in Path("run/plots").glob("*.png"))


def test_parquet_is_csv_with_types(mtl: InProcess, houses_csv: Path) -> None:
    pd.read_csv(houses_csv).to_parquet("houses.parquet")
    keys = ["tasks={rooms: multiclass, garden: binary}", "trainer.epochs=2", "plots=false"]
    scores = []
    for name in ("houses.csv", "houses.parquet"):
        status, out, err = mtl(
            "train", f"dataset={name}", "dataset.features.exclude=[house]", *keys, f"run_dir=run_{name}"
        )
        assert status == 0, err
        scores.append(json.loads(out)["score"])
        predictions = pd.read_csv(f"run_{name}/predictions.csv")
        assert predictions["rooms"].isin(range(1, 7)).all()
        assert predictions["predicted_garden"].dtype == bool
    assert scores[0] == scores[1]


def test_a_run_is_repeated_to_the_bit_from_its_config(mtl: InProcess) -> None:
    keys = ["dataset=wine", "balancer=gradnorm", "model.trunk.norm=batch", "trainer.epochs=3", "plots=false", "seed=3"]
    assert mtl("train", *keys, "run_dir=a")[0] == 0
    assert mtl("train", "a/config.yaml", "run_dir=b")[0] == 0
    assert mtl("train", "a/config.yaml", "run_dir=c", "seed=4")[0] == 0
    weights = [torch.load(f"{run}/mtl_model.pt", weights_only=True)["weights"] for run in "abc"]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])
    assert Path("a/config.yaml").read_text() == Path("b/config.yaml").read_text()


def test_a_run_again_with_another_balancer(mtl: InProcess) -> None:
    assert mtl("train", "dataset=wine", "trainer.epochs=1", "plots=false", "run_dir=a")[0] == 0
    status, _, err = mtl("train", "a/config.yaml", "balancer=gradnorm", "balancer.alpha=0.5", "run_dir=b")
    assert status == 0, err
    assert Path("b/gradnorm_weights.csv").exists()
    assert "epochs: 1\n" in Path("b/config.yaml").read_text(), "the rest is the run's"


def test_a_config_of_ones_own_needs_only_what_differs(mtl: InProcess, houses_csv: Path) -> None:
    Path("mine.yaml").write_text(
        "dataset: {kind: csv, path: houses.csv}\ntasks: {sold: binary}\ntrainer: {epochs: 1}\nplots: false\n"
    )
    status, out, err = mtl("train", "mine.yaml", "balancer=gradnorm", "run_dir=r")
    assert status == 0, err
    assert json.loads(out)["metrics"]["sold"]["rows"] > 0


def test_a_config_finds_its_data_from_another_folder(
    mtl: InProcess, houses_csv: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys = ["dataset=houses.csv", "tasks={sold: binary}", "trainer.epochs=1", "plots=false"]
    assert mtl("train", *keys, "run_dir=run")[0] == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert mtl("train", "../run/config.yaml", "run_dir=again")[0] == 0
    assert mtl("evaluate", "../run")[0] == 0


def test_a_sweep(mtl: InProcess) -> None:
    status, out, err = mtl(
        "train", "dataset=wine", "-m", "balancer=uniform,gradnorm", "seed=0,1", "trainer.epochs=1", "plots=false"
    )
    assert status == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    folders = [Path(line["run_dir"]) for line in lines]
    assert [folder.name for folder in folders] == ["0", "1", "2", "3"]
    assert len({folder.parent for folder in folders}) == 1
    assert folders[0].parent.name.endswith("_sweep")
    assert [(folder / "gradnorm_weights.csv").exists() for folder in folders] == [False, False, True, True]
    assert lines[0]["score"] != lines[1]["score"]

    alone = mtl("train", "dataset=wine", "balancer=gradnorm", "seed=1", "trainer.epochs=1", "plots=false")
    assert json.loads(alone[1])["score"] == lines[3]["score"], "a job of a sweep is the run it would be alone"


def test_no_job_of_a_sweep_starts_if_one_is_wrong(mtl: InProcess) -> None:
    status, out, err = mtl("train", "-m", "dataset=wine", "seed=0,x", "trainer.lrr=1", "plots=false")
    assert (status, out) == (2, "")
    assert "seed: must be a whole number, not 'x'" in err
    assert "trainer.lrr: unknown key" in err
    assert not Path("outputs").exists()


@pytest.mark.parametrize(
    "keys",
    [
        ["optimizer=adamw", "scheduler=cosine"],
        ["optimizer=sgd", "scheduler=step", "trainer.clip_norm=1.0"],
        ["optimizer=rmsprop", "scheduler=plateau", "model.trunk.norm=layer"],
        ["scheduler=warmup", "scheduler.epochs=1", "model.trunk.norm=batch", "trainer.batch_size=null"],
        ["trainer.early_stopping=null", "dataset.split.duplicates=drop"],
        ["dataset.split.duplicates=together", "dataset.split.stratify=[quality,is_good]"],
        ["dataset.split.val=0", "balancer=static", "balancer.weights.quality=2", "tasks.is_good.auxiliary=true"],
        ["tasks.quality.loss=huber", "tasks.is_good.pos_weight=auto", "tasks.quality.weight=0.5", "balancer=gradnorm"],
        ["dataset.features.scale=robust", "dataset.features.exclude=['*sulfur*']", "model.trunk.hidden=[]"],
    ],
    ids=lambda keys: keys[0],
)
def test_every_choice_runs(mtl: InProcess, keys: list[str]) -> None:
    status, out, err = mtl("train", "dataset=wine", "trainer.epochs=2", "plots=false", *keys)
    assert status == 0, err
    assert all(np.isfinite(values["loss"]) for values in json.loads(out)["metrics"].values())


def test_no_validation_rows(mtl: InProcess) -> None:
    status, out, err = mtl(
        "train", "dataset=wine", "dataset.split.val=0", "trainer.epochs=2", "plots=false", "run_dir=r"
    )
    assert status == 0
    assert json.loads(out)["score"] is None
    assert "no row is left for validation" in err
    assert "val_score" not in pd.read_csv("r/mtl_history.csv").columns


def test_a_loss_that_explodes_at_once_leaves_no_model(mtl: InProcess) -> None:
    status, out, err = mtl(
        "train",
        "dataset=wine",
        "optimizer=sgd",
        "optimizer.lr=1e9",
        "plots=false",
        "run_dir=r",
        "model.trunk.dropout=0",
    )
    assert (status, out) == (2, "")
    assert "the loss is" in err
    assert err.count("error:") == 1
    assert json.loads(Path("r/run.json").read_text())["status"] == "failed"
    assert mtl("predict", "r", "x.csv")[2].startswith("mtl predict: error: r: holds no mtl_model.pt")


def test_ones_own_configs(mtl: InProcess) -> None:
    Path("mine/balancer").mkdir(parents=True)
    Path("mine/balancer/double.yaml").write_text("name: static\nweights: {quality: 2.0}\n")
    status, _, err = mtl(
        "train",
        "dataset=wine",
        "--config-dir",
        "mine",
        "balancer=double",
        "trainer.epochs=1",
        "plots=false",
        "run_dir=r",
    )
    assert status == 0, err
    assert pd.read_csv("r/static_weights.csv")["weight_quality"].tolist() == [2]
