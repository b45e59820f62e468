"""Proteins from the command line: learning, predicting, and everything that can be wrong with a file."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.conftest import InProcess
from tests.models.test_esm2 import save_tiny
from tests.proteins import proteins, structure, write

TASKS = "tasks={family: multiclass, terms: multilabel, stability: regression, structure: residue}"
QUICK = ["model=sequence_cnn", "model.trunk.width=32", "trainer.batch_size=16", "optimizer.lr=3e-3", "plots=false"]
FASTA = ["dataset=proteins.fasta", "dataset.labels=labels.csv"]


def metrics_of(out: str) -> dict:
    return json.loads(out)["metrics"]


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 320 proteins, and a run on them."""
    from mtl_cli.cli.main import run

    folder = tmp_path_factory.mktemp("proteins")
    write(folder, proteins(320))
    paths = [f"dataset={folder / 'proteins.fasta'}", f"dataset.labels={folder / 'labels.csv'}"]
    assert run(["train", *paths, TASKS, *QUICK, "plots=true", "trainer.epochs=12", f"run_dir={folder / 'run'}"]) == 0
    return folder


def test_a_small_network_learns_families_states_and_composition(learned: Path) -> None:
    tasks = json.loads((learned / "run/metrics.json").read_text())["splits"]["test"]["tasks"]
    for name, metric, constant, least in [
        ("family", "accuracy", 0.35, 0.8),
        ("structure", "accuracy", 0.4, 0.92),
        ("structure", "macro_f1", 0.2, 0.92),
        ("stability", "r2", 0.01, 0.4),
        ("terms", "roc_auc", 0.5, 0.7),
    ]:
        assert tasks[name]["constant"][metric] <= constant
        assert tasks[name][metric] > least, f"{name} {metric}"
    for picture in ("calibration_structure", "confusion_structure", "confusion_terms"):
        assert (learned / f"run/plots/{picture}.png").is_file()


def test_predictions_say_a_state_for_each_residue(learned: Path) -> None:
    told = pd.read_csv(learned / "run/predictions.csv")
    table = proteins(320).set_index("id").loc[told["id"]]
    assert told["structure"].tolist() == table["structure"].tolist()
    assert (told["predicted_structure"].str.len().to_numpy() == table["sequence"].str.len().to_numpy()).all()
    hits = [
        np.mean([a == b for a, b in zip(found, truth, strict=True)])
        for found, truth in zip(told["predicted_structure"], told["structure"], strict=True)
    ]
    assert np.mean(hits) > 0.9
    assert told["predicted_structure_prob"].between(1 / 3, 1).all()
    counts = json.loads((learned / "run/metrics.json").read_text())["splits"]["test"]["tasks"]["structure"]
    assert counts["residues"] == table["sequence"].str.len().sum()
    assert counts["rows"] == len(table)


def test_predicting_from_fasta_gzip_a_table_and_a_pipe_is_the_same(
    learned: Path, mtl: InProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    new = proteins(12, seed=5)
    write(tmp_path, new)
    text = (tmp_path / "proteins.fasta").read_text()
    (tmp_path / "new.fa.gz").write_bytes(gzip.compress(text.lower().replace("p0", "P0").encode()))
    status, expected, _ = mtl("predict", str(learned / "run"), "proteins.fasta")
    assert status == 0
    found = pd.read_csv(tmp_path / "labels.csv").merge(pd.read_csv(pd.io.common.StringIO(expected)), on="id")
    assert (found["predicted_family"] == found["family"]).mean() > 0.7
    assert mtl("predict", str(learned / "run"), "proteins.csv")[1] == expected
    assert mtl("predict", str(learned / "run"), "new.fa.gz")[1] == expected, "lower case is upper case"
    from types import SimpleNamespace

    class Pipe:
        buffer = SimpleNamespace(read=lambda: text.encode())

        def isatty(self) -> bool:
            return False

    monkeypatch.setattr("sys.stdin", Pipe())
    assert mtl("predict", str(learned / "run"))[1] == expected


def test_evaluating_the_runs_own_and_other_files(learned: Path, mtl: InProcess, tmp_path: Path) -> None:
    status, out, _ = mtl("evaluate", str(learned / "run"))
    told = json.loads((learned / "run/metrics.json").read_text())["splits"]["test"]["tasks"]
    assert status == 0
    assert json.loads(out)["tasks"]["structure"]["loss"] == pytest.approx(told["structure"]["loss"], rel=1e-5)
    new = proteins(30, seed=6)
    headers = [
        f">{row.id} family={row.family} stability={row.stability} structure={row.structure}\n{row.sequence}\n"
        for row in new.itertuples()
    ]
    (tmp_path / "new.fasta").write_text("".join(headers))
    status, out, err = mtl("evaluate", str(learned / "run"), "new.fasta")
    assert status == 0
    assert "new.fasta has no labels of task terms" in err
    assert json.loads(out)["tasks"]["structure"]["accuracy"] > 0.9


def test_a_table_with_a_sequence_column_is_the_same_data(learned: Path, mtl: InProcess, tmp_path: Path) -> None:
    """Also labels in the headers; the split is that of rows, so all three runs are equal to the bit."""
    table = proteins(60)
    write(tmp_path, table)
    headers = [
        f">{row.id} family={row.family} structure={row.structure}\n{row.sequence}\n" for row in table.itertuples()
    ]
    (tmp_path / "headers.fasta").write_text("".join(headers))
    table.to_parquet(tmp_path / "table.parquet")
    short = ["tasks={family: multiclass, structure: residue}", *QUICK, "trainer.epochs=1"]
    column = ["dataset.sequence=sequence", "dataset.id=id"]
    runs = [
        mtl("train", *FASTA, *short),
        mtl("train", "dataset=headers.fasta", *short),
        mtl("train", "dataset=proteins.csv", *column, *short),
        mtl("train", "dataset=table.parquet", *column, *short),
    ]
    assert [status for status, _, _ in runs] == [0] * 4
    first, *others = (metrics_of(out) for _, out, _ in runs)
    assert others == [first] * 3


def test_homology_clusters_stay_on_one_side_and_rows_are_weighed(mtl: InProcess, tmp_path: Path) -> None:
    table = proteins(60).assign(cluster=[f"c{i // 3}" for i in range(60)], trust=1.0)
    table.drop(columns="sequence").to_csv(tmp_path / "labels.csv", index=False)
    write(tmp_path / "", table)
    keys = ["dataset.split.group=cluster", "dataset.weight=trust", "trainer.epochs=1", "tasks={structure: residue}"]
    status, out, _ = mtl("train", *FASTA, *keys, *QUICK)
    assert status == 0
    splits = pd.read_csv(Path(json.loads(out)["run_dir"]) / "splits.csv").merge(table[["id", "cluster"]], on="id")
    assert (splits.groupby("cluster")["split"].nunique() == 1).all()


def test_labels_may_be_missing_for_residues_rows_and_whole_sequences(mtl: InProcess, tmp_path: Path) -> None:
    table = proteins(40)
    write(tmp_path, table)
    masked = [None if i % 4 == 0 else "-" * 5 + text[5:] for i, text in enumerate(table["structure"])]
    labels = table.drop(columns="sequence").assign(structure=masked)
    labels.loc[::5, "family"] = None
    labels.iloc[3:].to_csv(tmp_path / "labels.csv", index=False)
    keys = ["tasks={family: multiclass, structure: residue}", "trainer.epochs=1", *QUICK, "balancer=mgda"]
    status, _, err = mtl("train", *FASTA, *keys)
    assert status == 2
    assert "labels.csv: 3 sequences have no row; the first is record 1 ('P00000') of proteins.fasta" in err
    assert "dataset.unlabelled=keep" in err
    for how, rows in (("keep", 40), ("drop", 37)):
        status, out, _ = mtl("train", *FASTA, *keys, f"dataset.unlabelled={how}")
        assert status == 0
        run = Path(json.loads(out)["run_dir"])
        assert len(pd.read_csv(run / "splits.csv")) == rows
        counts = json.loads((run / "metrics.json").read_text())["splits"]["train"]["tasks"]["structure"]
        train = set(pd.read_csv(run / "splits.csv").query("split == 'train'")["id"]) & set(labels["id"].iloc[3:])
        known = [text for name, text in zip(table["id"], masked, strict=True) if text and name in train]
        assert counts["residues"] == sum(len(text) - 5 for text in known)


def test_longer_sequences_are_refused_or_cut_with_their_labels(mtl: InProcess, tmp_path: Path) -> None:
    write(tmp_path, proteins(60))
    keys = ["tasks={structure: residue}", "trainer.epochs=1", *QUICK, "dataset.max_length=50"]
    status, _, err = mtl("train", *FASTA, *keys)
    assert status == 2
    assert "more than the 50 allowed" in err
    assert "dataset.truncate=true" in err
    assert not list(tmp_path.glob("outputs/*"))
    status, out, err = mtl("train", *FASTA, *keys, "dataset.truncate=true")
    assert status == 0
    assert "sequences are cut to 50 residues" in err
    told = pd.read_csv(Path(json.loads(out)["run_dir"]) / "predictions.csv")
    assert told["predicted_structure"].str.len().max() == 50
    assert (told["predicted_structure"].str.len() == told["structure"].str.len()).all()


def test_esm2_from_a_folder_that_is_gone_when_it_predicts(mtl: InProcess, tmp_path: Path) -> None:
    """Frozen with a cache, and with LoRA and GradNorm; the model file holds all that predicting needs."""
    folder = save_tiny(tmp_path / "tiny")
    table = proteins(80, shortest=30, longest=60)
    write(tmp_path, table)
    trunk = ["model=esm2", "model.trunk.pretrained=tiny", "dataset.max_length=64", "optimizer.lr=3e-3", "plots=false"]
    keys = [*FASTA, "tasks={stability: regression, structure: residue}", *trunk, "trainer.epochs=4"]
    plain = mtl("train", *keys, "run_dir=plain")
    cached = mtl("train", *keys, "run_dir=cached", "model.trunk.cache=cache")
    lora = mtl("train", *keys, "run_dir=lora", "model.trunk.tune=lora", "balancer=gradnorm")
    assert [status for status, _, _ in (plain, cached, lora)] == [0, 0, 0], plain[2] + cached[2] + lora[2]
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 80
    first, second = metrics_of(plain[1]), metrics_of(cached[1])
    assert second["structure"]["log_loss"] == pytest.approx(first["structure"]["log_loss"], rel=1e-3)
    assert first["structure"]["accuracy"] > first["structure"]["constant"]["accuracy"] + 0.15
    shutil.rmtree(folder)
    new = proteins(5, seed=9, longest=60)
    write(tmp_path, new)
    for run in ("plain", "cached", "lora"):
        status, out, err = mtl("predict", run, "proteins.fasta")
        assert status == 0, err
        found = pd.read_csv(pd.io.common.StringIO(out))
        assert found["predicted_structure"].str.len().tolist() == new["sequence"].str.len().tolist()
    status, _, err = mtl("train", "plain/config.yaml")
    assert status == 2
    assert "there is no folder" in err


def test_the_generator_makes_what_it_says() -> None:
    table = proteins(50)
    assert (table["sequence"].str.len() == table["structure"].str.len()).all()
    assert structure("AAAAGGGG") == "HHHHCCCC"


def test_predicting_what_is_not_as_the_training_data(learned: Path, mtl: InProcess, tmp_path: Path) -> None:
    (tmp_path / "no.csv").write_text("id,sequnce\na,MK\n")
    status, _, err = mtl("predict", str(learned / "run"), "no.csv")
    assert status == 2
    assert "no.csv: the sequence column 'sequence' is missing; did you mean sequence?" in err.replace(
        "sequnce?", "sequence?"
    )
    (tmp_path / "long.fasta").write_text(f">a\nMK\n>b\n{'M' * 1100}\n")
    status, _, err = mtl("predict", str(learned / "run"), "long.fasta")
    assert status == 2
    assert "long.fasta: the sequence of row 2 ('b') has 1100 residues, more than the 1022 allowed" in err


@pytest.mark.slow
def test_each_way_of_tuning_esm2_learns_more_than_leaving_it_frozen(mtl: InProcess, tmp_path: Path) -> None:
    save_tiny(tmp_path / "tiny")
    write(tmp_path, proteins(200, shortest=30, longest=60))
    keys = [*FASTA, "tasks={stability: regression, structure: residue}", "model=esm2", "model.trunk.pretrained=tiny"]
    keys += ["dataset.max_length=64", "optimizer.lr=3e-3", "trainer.batch_size=16", "trainer.epochs=10", "plots=false"]
    found = {tune: metrics_of(mtl("train", *keys, f"model.trunk.tune={tune}")[1]) for tune in ("frozen", "last", "all")}
    found["lora"] = metrics_of(mtl("train", *keys, "model.trunk.tune=lora", "model.trunk.lora.rank=8")[1])
    frozen = found.pop("frozen")
    assert frozen["structure"]["accuracy"] > frozen["structure"]["constant"]["accuracy"] + 0.15
    for tune, metrics in found.items():
        assert metrics["structure"]["accuracy"] > frozen["structure"]["accuracy"] + 0.05, tune
        assert metrics["stability"]["r2"] > frozen["stability"]["r2"] + 0.2, tune


def test_a_trunk_that_was_frozen_is_tuned_by_another_run(mtl: InProcess, tmp_path: Path) -> None:
    """The layers are the same, but for those of LoRA."""
    save_tiny(tmp_path / "tiny")
    write(tmp_path, proteins(40, shortest=30, longest=60))
    trunk = ["model=esm2", "model.trunk.pretrained=tiny", "dataset.max_length=64", "plots=false", "trainer.epochs=1"]
    keys = [*FASTA, "tasks={stability: regression}", *trunk]
    assert mtl("train", *keys, "run_dir=frozen")[0] == 0
    for tune in ("last", "all"):
        status, _, err = mtl("train", *keys, "init_from=frozen", f"model.trunk.tune={tune}", f"run_dir={tune}")
        assert (status, "note: init_from: the trunk is that of frozen, " in err) == (0, True), err
    status, _, err = mtl("train", *keys, "init_from=frozen", "model.trunk.tune=lora", "run_dir=lora")
    assert status == 2
    assert "model.trunk.tune: is lora, and frozen has frozen; model.trunk.tune=frozen" in err
