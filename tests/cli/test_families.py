"""Variants of one protein from the command line: what is found, learnt, predicted, and left out for its stops."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.conftest import InProcess
from tests.proteins import variants

TASKS = "tasks={binding: regression, folds: binary}"
KEYS = ["dataset.sequence=sequence", "dataset.id=id", "model=sequence_cnn", "plots=false"]


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with variants of unequal lengths, a third of the labels missing, and a run of few epochs on them."""
    from mtl_cli.cli.main import run

    folder = tmp_path_factory.mktemp("family")
    table = variants(500, indels=True)
    table.loc[np.random.default_rng(0).random(500) < 0.3, "folds"] = None
    table.to_csv(folder / "variants.csv", index=False)
    words = [f"dataset={folder / 'variants.csv'}", TASKS, *KEYS, "trainer.epochs=40", "optimizer.lr=3e-3"]
    assert run(["train", *words, f"run_dir={folder / 'run'}"]) == 0
    return folder


def test_one_residue_in_fifty_is_learnt_at_its_position(family: Path) -> None:
    tasks = json.loads((family / "run/metrics.json").read_text())["splits"]["test"]["tasks"]
    assert tasks["binding"]["r2"] > 0.45
    assert tasks["folds"]["roc_auc"] > 0.8


def test_predictions_are_of_any_length_and_strangers_are_counted(family: Path, mtl: InProcess, tmp_path: Path) -> None:
    table = pd.read_csv(family / "variants.csv").head(20)
    stranger = "".join(np.random.default_rng(3).permutation(list(table["sequence"][0])))
    more = pd.DataFrame({"id": ["s", "t"], "sequence": [stranger, table["sequence"][0] + "MKL"]})
    pd.concat([table[["id", "sequence"]], more]).to_csv(tmp_path / "new.csv", index=False)
    status, out, err = mtl("predict", str(family / "run"), "new.csv")
    assert status == 0
    assert "new.csv: 1 of 22 sequences differ from the reference in more than half of its places" in err
    told = pd.read_csv(io.StringIO(out))
    assert len(told) == 22
    assert np.corrcoef(told["predicted_binding"][:20], table["binding"])[0, 1] > 0.7


def test_linear_models_are_beside_the_network(family: Path, mtl: InProcess, tmp_path: Path) -> None:
    history = pd.read_csv(family / "run/mtl_history.csv")
    metrics = json.loads((family / "run/metrics.json").read_text())
    best = history.set_index("epoch").loc[metrics["epoch"]]
    assert metrics["score"] == metrics["splits"]["val"]["score"] == pytest.approx(best["val_score"])
    assert history["linear_folds"].between(0, 1).all() and history["linear_folds"].nunique() > 1
    status, out, _ = mtl("inspect", str(family / "run"), "--format=json")
    shares = {task["name"]: task["linear"] for task in json.loads(out)["tasks"]}
    assert shares == pytest.approx({"binding": best["linear_binding"], "folds": best["linear_folds"]})
    variants(90).to_csv(tmp_path / "v.csv", index=False)
    words = ["dataset=v.csv", TASKS, *KEYS, "model.trunk.width=8", "trainer.epochs=2"]
    status, _, err = mtl("train", *words, "run_dir=auto")
    assert status == 0
    assert re.search(
        r"note: model.linear: linear models beside the network make up \d+% of binding, \d+% of folds", err
    )
    _, _, err = mtl("train", *words, "model.linear=none", "run_dir=none")
    assert "model.linear" not in err and "linear_folds" not in pd.read_csv("none/mtl_history.csv")
    _, _, err = mtl("train", *words, "dataset.split.val=0", "run_dir=all")
    assert "note: model.linear: without validation rows, linear models get no share in the predictions" in err
    assert err.count("model.linear") == 1


def test_a_network_of_all_rows_takes_the_shares_that_folds_chose(mtl: InProcess, tmp_path: Path) -> None:
    variants(120).to_csv(tmp_path / "v.csv", index=False)
    words = ["dataset=v.csv", TASKS, *KEYS, "model.trunk.width=8", "trainer.epochs=2", "trainer.folds=3"]
    found = []
    for refit in ("false", "true"):
        assert mtl("train", *words, f"trainer.refit={refit}", f"run_dir=refit_{refit}")[0] == 0
        found.append(json.loads(mtl("inspect", f"refit_{refit}", "--format=json")[1])["tasks"])
    for of_folds, of_all in zip(*found, strict=True):
        assert of_folds["linear"] == pytest.approx(of_all["linear"]) and of_all["linear"] > 0


def test_a_family_is_in_no_graph(family: Path, mtl: InProcess) -> None:
    status, _, err = mtl("export", str(family / "run"), "--format", "onnx")
    assert status == 2
    assert "export: differences from a reference cannot be in a graph" in err


def test_what_is_explained_is_the_part_that_matters(family: Path, mtl: InProcess) -> None:
    """A difference in the middle costs most."""
    status, out, err = mtl("explain", str(family / "run"), "--repeats=2", "--format=json")
    assert status == 0, err
    first = next(one for one in json.loads(out) if one["task"] == "binding")
    places = [int(word) for word in first["feature"].removeprefix("position ").split("–")]
    assert 15 <= places[0] <= 35


def test_the_line_says_what_is_read_and_none_reads_whole_sequences(mtl: InProcess, tmp_path: Path) -> None:
    table = variants(80)
    table.to_csv(tmp_path / "v.csv", index=False)
    words = ["dataset=v.csv", TASKS, *KEYS, "trainer.epochs=1"]
    _, _, err = mtl("train", *words, "run_dir=found")
    assert "note: v.csv: the sequences are a family: on average a training row differs in " in err
    _, _, err = mtl("train", *words, "dataset.reference=none", "run_dir=whole")
    assert "a family" not in err
    _, _, err = mtl("train", *words, f"dataset.reference={table['sequence'][0]}", "run_dir=given")
    assert "a family" not in err
    status, _, err = mtl("train", *words, f"dataset.reference={table['sequence'][1]}", "init_from=given")
    assert status == 2
    assert "init_from: given reads differences from another sequence than this data set's" in err
    status, _, err = mtl("train", *words, "dataset.reference=MK1")
    assert status == 2
    assert "dataset.reference: '1' at position 3 of the sequence of row 1 is not a residue" in err


@pytest.mark.parametrize("more", [["model.sharing=none"], ["balancer=gradnorm", "trainer.folds=2"]])
def test_a_residue_task_beside_and_a_run_that_is_resumed(more: list[str], mtl: InProcess, tmp_path: Path) -> None:
    table = variants(60, indels=True)
    table["kind"] = [
        text.translate(str.maketrans("ACDEFGHIKLMNPQRSTVWY", "HHHHHHHHHHEEEEEEEEEE")) for text in table["sequence"]
    ]
    table.to_csv(tmp_path / "v.csv", index=False)
    tasks = "tasks={binding: regression, kind: residue}"
    words = ["dataset=v.csv", tasks, *KEYS, "model.trunk.width=8", "trainer.early_stopping=null", *more]
    status, out, err = mtl("train", *words, "trainer.epochs=3", "run_dir=whole")
    assert status == 0, err
    assert mtl("train", *words, "trainer.epochs=2", "run_dir=short")[0] == 0
    status, again, err = mtl("train", "resume=short", "trainer.epochs=3")
    assert status == 0, err
    assert json.loads(again)["metrics"] == json.loads(out)["metrics"]
    predicted = pd.read_csv(tmp_path / "whole/predictions.csv")
    lengths = table.set_index("id").loc[predicted["id"], "sequence"].str.len()
    assert (predicted["predicted_kind"].str.len().to_numpy() == lengths.to_numpy()).all()


def test_stops_before_the_end(mtl: InProcess, tmp_path: Path) -> None:
    """Refused with their number, read as a letter, the end of a sequence, or left out with their rows."""
    table = variants(60)
    table["kind"] = "H" * 25 + "E" * 25
    table.loc[5::10, "sequence"] = [text[:30] + "*" + text[31:] for text in table["sequence"][5::10]]
    table["sequence"] += "*"
    table.to_csv(tmp_path / "v.csv", index=False)
    words = ["dataset=v.csv", "tasks={binding: regression, kind: residue}", *KEYS, "trainer.epochs=1"]
    status, _, err = mtl("train", *words)
    assert status == 2
    assert (
        "v.csv: 6 of 60 sequences hold a stop, '*', before their end; the first is at position 31 of the seque" in err
    )
    assert "dataset.stops=keep reads it as a letter, cut ends a sequence there, drop leaves such rows out" in err
    lengths = {}
    for how, note in {
        "keep": "6 of 60 sequences hold a stop before their end, read as a letter",
        "cut": "6 of 60 sequences hold a stop before their end, where they end",
        "drop": "6 of 60 sequences hold a stop before their end and are left out",
    }.items():
        status, _, err = mtl("train", *words, f"dataset.stops={how}", f"run_dir={how}")
        assert (status, f"note: v.csv: {note}" in err) == (0, True), err
        status, out, _ = mtl("predict", how, "v.csv")
        assert status == 0
        told = pd.read_csv(io.StringIO(out)).set_index("id")
        lengths[how] = (len(told), len(told["predicted_kind"].get("V00005", "")))
        assert mtl("evaluate", how)[0] == 0, "its own rows are read again"
    assert lengths == {"keep": (60, 50), "cut": (60, 30), "drop": (54, 0)}
    status, _, err = mtl("predict", "cut", "v.csv", "dataset.stops=keep")
    assert status == 2
    assert "dataset.stops: cannot be keep: the model was trained without stops" in err
