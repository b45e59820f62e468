"""`mtl init`: a YAML file that trains as it stands."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from mtl_cli.data.forms import residue_columns, sequence_column, tag_columns, text_column
from tests.cells import make_cells, make_counts, write_h5ad
from tests.conftest import MTL, InProcess, houses
from tests.images import bars
from tests.proteins import proteins
from tests.proteins import write as write_proteins
from tests.texts import conll, texts


def trains(mtl: InProcess, file: str) -> str:
    status, _, err = mtl("train", file, "trainer.epochs=1", "plots=false", "run_dir=run")
    assert status == 0, err
    return err


def test_a_table_with_every_kind_of_column(mtl: InProcess, houses_csv: Path) -> None:
    table = houses()
    table["price_in_cents"] = table["price"] * 100
    table["one"] = 1
    table.to_csv("homes.csv", index=False)
    status, out, err = mtl("init", "homes.csv")
    assert (status, out) == (0, "homes.yaml\n"), err
    text = Path("homes.yaml").read_text()
    found = yaml.safe_load(text)
    assert found["dataset"]["kind"] == "csv" and found["dataset"]["id"] == "house"
    assert found["tasks"] == {"price": {"kind": "regression"}, "sold": {"kind": "binary"}}
    assert found["dataset"]["features"] == {"exclude": ["price_in_cents"]}
    assert "# 15% without a label; 2.582e+04 to 2.295e+05" in text and "yes 50.2%, no 49.8%" in text
    assert "#   time: built" in text and "#   area: numeric, 9% empty" in text
    assert "# tags: {kind: multilabel, separator: '|'}" in text and "# kind: {kind: multiclass}" in text
    assert text.startswith("# mtl train homes.yaml\n") and "one" not in found["tasks"]
    assert "left out: house" not in trains(mtl, "homes.yaml")


def test_targets_that_are_given_and_a_file_on_stdout(mtl: InProcess, houses_csv: Path) -> None:
    status, out, err = mtl("init", "houses.csv", "--target", "kind", "--target", "tags", "-o", "-")
    assert status == 0, err
    found = yaml.safe_load(out)
    assert found["tasks"] == {"kind": {"kind": "multiclass"}, "tags": {"kind": "multilabel", "separator": "|"}}
    assert not Path("houses.yaml").exists()


def test_names_that_yaml_would_read_otherwise(mtl: InProcess) -> None:
    table = houses(120)[["area", "city", "sold"]].rename(columns={"sold": "yes", "area": "a: b", "city": "größe ${x}"})
    table.to_csv("odd.csv", index=False)
    status, _, err = mtl("init", "odd.csv", "--target", "yes", "--target", "a: b")
    assert status == 0, err
    assert list(yaml.safe_load(Path("odd.yaml").read_text())["tasks"]) == ["yes", "a: b"]
    trains(mtl, "odd.yaml")


def test_cells_and_images(mtl: InProcess, tmp_path: Path) -> None:
    labels = make_cells(120)
    write_h5ad(tmp_path / "cells.h5ad", make_counts(labels), labels)
    images, species = bars(60, 3, 0)
    np.savez("images.npz", images=images, species=species)
    for file in ("cells.h5ad", "images.npz"):
        status, out, err = mtl("init", file)
        assert status == 0, err
        trains(mtl, out.strip())
        assert mtl("predict", "run", file)[0] == 0
        for path in sorted(Path("run").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()


def test_a_folder_of_images(mtl: InProcess) -> None:
    from PIL import Image

    images, species = bars(60, 3, 0)
    for number, (image, name) in enumerate(zip(images, species, strict=True)):
        Path(f"birds/{name}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(image).squeeze()).save(f"birds/{name}/{number}.png")
    status, out, err = mtl("init", "birds")
    assert (status, out) == (0, "birds.yaml\n"), err
    assert yaml.safe_load(Path("birds.yaml").read_text())["tasks"].keys() == {"label"}
    trains(mtl, "birds.yaml")
    assert "(byte −" in mtl("inspect", "run")[1]
    assert mtl("explain", "run", "--repeats=1")[1].count("pixels") >= 16


SEQUENCES = {
    "family": {"kind": "multiclass"},
    "terms": {"kind": "multilabel", "separator": "|"},
    "stability": {"kind": "regression"},
    "structure": {"kind": "residue"},
}


@pytest.mark.slow
def test_sequences_in_fasta_and_in_a_table(mtl: InProcess) -> None:
    table = proteins(80)
    write_proteins(Path(), table)
    table.to_csv("proteins.csv", index=False)
    status, _, err = mtl("init", "proteins.fasta", "--labels", "labels.csv", "-o", "fasta.yaml")
    assert status == 0, err
    found = yaml.safe_load(Path("fasta.yaml").read_text())
    assert found["dataset"]["labels"] == "labels.csv" and found["model"] == {"trunk": {"kind": "sequence_cnn"}}
    assert found["tasks"] == SEQUENCES
    trains(mtl, "fasta.yaml")
    assert mtl("init", "proteins.csv")[0] == 0
    found = yaml.safe_load(Path("proteins.yaml").read_text())
    assert found["dataset"]["sequence"] == "sequence" and found["dataset"]["id"] == "id"
    assert found["tasks"] == SEQUENCES
    assert mtl("config", "check", "proteins.yaml")[0] == 0


@pytest.mark.slow
def test_texts_in_a_table_and_in_a_conll_file(mtl: InProcess) -> None:
    table = texts(80)
    table.drop(columns=["upos"]).to_csv("reviews.csv", index=False)
    Path("news.conll").write_text(conll(table))
    assert mtl("init", "reviews.csv", "--target", "rating", "--target", "topic")[0] == 0
    text = Path("reviews.yaml").read_text()
    found = yaml.safe_load(text)
    assert found["dataset"] | {"features": {}} == {
        "kind": "text", "path": "reviews.csv", "text": "review", "id": "id", "features": {},
    }  # fmt: skip
    assert "entities" in found["dataset"]["features"]["exclude"] and "#   price: numeric" in text
    assert found["model"] == {"trunk": {"kind": "text_cnn"}} and list(found["tasks"]) == ["rating", "topic"]
    trains(mtl, "reviews.yaml")
    assert mtl("init", "news.conll")[0] == 0
    found = yaml.safe_load(Path("news.yaml").read_text())
    assert found["tasks"] == {"upos": {"kind": "token"}, "entities": {"kind": "token"}}
    assert mtl("config", "check", "news.yaml")[0] == 0


def test_what_long_cells_are() -> None:
    table = texts(60)
    assert text_column(table) == "review" and tag_columns(table, "review") == ["upos", "entities"]
    assert sequence_column(table) is None and text_column(houses(60)) is None
    table = proteins(30)
    assert sequence_column(table) == "sequence" and residue_columns(table, "sequence") == ["structure"]
    names = [f"{first} {last}, Mr. of {town}" for first in "ABCDE" for last in ("Li", "Oe") for town in ("Ulm", "Rom")]
    assert text_column(pd.DataFrame({"name": names})) is None, "names are no texts"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing.csv"], "nothing.csv"),
        (["bare.fasta"], "bare.fasta: has no labels in its headers, such as family=kinase; --labels TABLE has them"),
        (["houses.csv", "--labels", "there.yaml"], "--labels: is for FASTA files, and houses.csv is none"),
        (["houses.csv", "--target", "prise"], "--target: houses.csv has no column 'prise'; did you mean price?"),
        (["houses.csv", "--target", "built"], "'built' of houses.csv holds nothing that a task could learn"),
        (["houses.csv", "-o", "x.txt"], "x.txt: is not the name of a YAML file; -o x.yaml"),
        (["houses.csv", "-o", "nowhere/x.yaml"], "its folder does not exist"),
        (["houses.csv", "-o", "there.yaml"], "there.yaml: already exists"),
        (["."], ".: "),
        (["there.yaml"], "there.yaml: is of a form that is not read"),
        (["houses.csv", "--taget", "x"], "unknown flag --taget; did you mean --target?"),
    ],
)
def test_what_is_refused_in_one_line(mtl: InProcess, houses_csv: Path, words: list[str], message: str) -> None:
    Path("there.yaml").write_text("")
    Path("bare.fasta").write_text(">a\nMKV\n>b\nMKL\n")
    status, out, err = mtl("init", *words)
    assert (status, out) == (2, "") and err.count("\n") == 1 and message in err, err
    assert Path("there.yaml").read_text() == ""


@pytest.mark.slow
def test_it_asks_on_a_terminal(tmp_path: Path) -> None:
    houses(120).to_csv(tmp_path / "houses.csv", index=False)
    main, side = pty.openpty()
    process = subprocess.Popen([MTL, "init", "houses.csv"], cwd=tmp_path, stdin=side, stdout=side, stderr=side)
    os.close(side)
    shown = b""
    while b"to be predicted?" not in shown:
        shown += os.read(main, 65536)
    assert b"price: regression" in shown and b"[price,sold]" in shown
    os.write(main, b"kind\n")
    while True:
        try:
            shown += os.read(main, 65536)
        except OSError:
            break
    os.close(main)
    assert process.wait(60) == 0, shown.decode()
    assert list(yaml.safe_load((tmp_path / "houses.yaml").read_text())["tasks"]) == ["kind"]
