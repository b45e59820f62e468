"""The table of `mtl help use`: each command on each form of data does what the page says, or is refused in one line."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import mtl_cli
from tests.cells import make_cells, make_counts, write_h5ad
from tests.conftest import HOUSES_TASKS, InProcess, houses
from tests.images import write_both, write_photos
from tests.manual import HELP
from tests.proteins import proteins
from tests.proteins import write as write_proteins
from tests.texts import conll, texts

FORMS = ["tables", "cells", "images", "sequences", "texts", "joined"]
RUNS = {
    "houses": ("tables", ["dataset=houses.csv", "dataset.id=house", f"tasks={HOUSES_TASKS}", "balancer=pcgrad"]),
    "wine": ("tables", ["dataset=wine", "trainer.members=2"]),
    "cells": ("cells", ["dataset=cells.h5ad", "tasks={level1: multiclass, level2: multiclass}"]),
    "pbmc": ("cells", ["dataset=pbmc"]),
    "birds": (
        "images",
        ["dataset=images", "dataset.path=photos/labels.csv", "dataset.size=24"]
        + ["tasks={species: multiclass, noisy: binary}"],
    ),
    "digits": ("images", ["dataset=digits"]),
    "proteins": (
        "sequences",
        ["dataset=proteins.fasta", "dataset.labels=labels.csv", "model=sequence_cnn"]
        + ["tasks={family: multiclass, stability: regression, structure: residue}"],
    ),
    "reviews": (
        "texts",
        ["dataset=text", "dataset.path=reviews.csv", "dataset.text=review", "dataset.id=id", "model=text_cnn"]
        + ["dataset.features.include=[price,shop]", "tasks={rating: regression, topic: multiclass}"],
    ),
    "both": (
        "joined",
        ["dataset=joint", "dataset.datasets={a: houses.csv, b: 'builtin:winequality-red.csv'}"]
        + ["tasks={price: {kind: regression, dataset: a}, quality: {kind: regression, dataset: b}}"],
    ),
    "pictures": ("joined", ["dataset=mnist_fashion", "dataset.root=."]),
}
"""By name their form, and how they are trained."""
FILES = {
    "houses": "houses.csv", "cells": "cells.h5ad", "birds": "photos/labels.csv", "proteins": "proteins.fasta",
    "reviews": "reviews.csv", "both": "a=houses.csv",
}  # fmt: skip
"""What may be predicted, by run."""
IN_MEMORY: dict[str, Callable[[], pd.DataFrame]] = {
    "houses": houses, "birds": lambda: pd.read_csv("photos/labels.csv").assign(file=lambda t: "photos/" + t["file"]),
    "proteins": lambda: proteins(10), "reviews": lambda: texts(10), "cells": lambda: pd.DataFrame({"g1": [1.0]}),
    "both": houses,
}  # fmt: skip
TABLES = {
    "tables": ["houses.csv"], "cells": ["cells.h5ad"], "images": ["by_species"],
    "sequences": ["proteins.csv"], "texts": ["reviews.csv", "news.conll"],
}  # fmt: skip
COMMANDS = {
    "`predict`, `evaluate`, `report`, `inspect`, `card`": ["predict", "evaluate RUN", "report RUN -o RUN.html"]
    + ["inspect RUN", "card RUN"],
    "`pack`, `config check\\|diff`, `export --format safetensors`": [
        "pack RUN -o RUN.zip",
        "config check RUN/config.yaml",
    ]
    + ["config diff RUN wine", "export RUN --format safetensors -o RUN.safetensors", "inspect RUN.zip", "card RUN.zip"],
    "`explain`": ["explain RUN --repeats=1"],
    "`explain --shared` (4)": ["explain RUN --shared"],
    "`explain --dependence`": ["explain RUN --dependence --repeats=1"],
    "`explain --markers` (6)": ["explain RUN --markers"],
    "`explain --method integrated-gradients` (7)": ["explain RUN --method integrated-gradients"],
    "`explain --method shap` (7)": ["explain RUN --method shap"],
    "`export --format onnx\\|torch-export`": ["export RUN --format torch-export -o RUN.pt2"],
}
"""By row of the page, what is run for each run; the other rows have tests of their own."""
NEEDS = {"integrated-gradients": "captum", "shap": "shap", "safetensors": "safetensors"}
pytestmark = pytest.mark.slow


def page() -> dict[str, dict[str, bool]]:
    """Return the page's table: by row and form, whether it works."""
    lines = [line for line in (HELP / "use.md").read_text().splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.replace("\\|", "\0").strip("|").split("|")] for line in lines]
    assert cells[0][1:] == FORMS
    return {
        row[0].replace("\0", "\\|"): {form: cell.startswith("yes") for form, cell in zip(FORMS, row[1:], strict=True)}
        for row in cells[2:]
    }


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small runs of every form of data."""
    from mtl_cli.cli.main import run

    folder = tmp_path_factory.mktemp("use")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        houses().to_csv("houses.csv", index=False)
        labels = make_cells(120)
        write_h5ad(folder / "cells.h5ad", make_counts(labels), labels)
        write_photos(folder, 60)
        write_both(folder, 60)
        write_proteins(folder, proteins(80))
        texts(100).to_csv("reviews.csv", index=False)
        (folder / "news.conll").write_text(conll(texts(60)))
        for name, (_, words) in RUNS.items():
            assert run(["train", *words, "trainer.epochs=2", "plots=false", f"run_dir={name}"]) == 0
    return folder


def check(done: tuple[int, str, str], works: bool) -> None:
    """Check that a command did what it should, or said in one line why not."""
    status, out, err = done
    if works:
        assert status == 0, err
    else:
        told = [line for line in err.splitlines() if not line.startswith("note:")]
        assert status == 2 and len(told) == 1 and ": error: " in told[0] and not out, done


def test_every_row_of_the_page_is_tested() -> None:
    others = {"`load(RUN).predict`, file", "`load(RUN).predict`, frame", "`init`", "`serve`"}
    others |= {"`MultiTaskEstimator`"}
    assert page().keys() == COMMANDS.keys() | others


@pytest.mark.parametrize("row", COMMANDS)
@pytest.mark.parametrize("name", RUNS)
def test_commands(mtl: InProcess, runs: Path, monkeypatch: pytest.MonkeyPatch, name: str, row: str) -> None:
    monkeypatch.chdir(runs)
    works = page()[row][RUNS[name][0]]
    for line in COMMANDS[row]:
        if any(word in line and importlib.util.find_spec(package) is None for word, package in NEEDS.items()):
            continue
        if line == "predict":
            words = ["predict", name, FILES[name]] if name in FILES else None
        else:
            words = line.replace("RUN", name).split()
        if words is None:
            continue
        done = mtl(*words)
        if "--dependence" in line and (not works or name == "pictures"):
            assert done[:2] == (0, "") and "no partial dependence" in done[2]
        else:
            check(done, works)


@pytest.mark.parametrize("name", FILES)
def test_from_python(runs: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(runs)
    model, form = mtl_cli.load(name), RUNS[name][0]
    assert page()["`load(RUN).predict`, file"][form] and len(model.predict(FILES[name]))
    if page()["`load(RUN).predict`, frame"][form]:
        assert len(model.predict(IN_MEMORY[name]())) >= 10
    else:
        with pytest.raises(mtl_cli.UserError, match="the table: "):
            model.predict(IN_MEMORY[name]())


@pytest.mark.parametrize("name", ["cells", "birds"])
def test_what_is_not_served(mtl: InProcess, runs: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    pytest.importorskip("fastapi")
    monkeypatch.chdir(runs)
    assert not page()["`serve`"][RUNS[name][0]]
    check(mtl("serve", name, "--port", "0"), False)


@pytest.mark.parametrize("form", TABLES)
def test_init(mtl: InProcess, runs: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.chdir(runs)
    assert page()["`init`"][form]
    for file in TABLES[form]:
        check(mtl("init", file, "-o", "made.yaml", "--force"), True)
        check(mtl("config", "check", "made.yaml"), True)


def test_a_packed_run_with_a_file_of_labels(mtl: InProcess, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs)
    check(mtl("pack", "houses", "-o", "whole.zip"), True)
    check(mtl("evaluate", "whole.zip"), False)
    for words in (["evaluate", "whole.zip", "houses.csv"], ["explain", "whole.zip", "houses.csv", "--repeats=1"]):
        check(mtl(*words), True)
    check(mtl("report", "whole.zip", "-o", "whole.html"), True)
