"""The Python interface: what it exports, what it returns, and that nothing heavy waits in its way."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mtl_cli
from mtl_cli.config.assemble import Assembler
from mtl_cli.config.overrides import read_settings
from mtl_cli.interface import _text
from mtl_cli.studies.grid import combinations
from tests.conftest import InProcess, houses

ROOT = Path(__file__).parents[1]
SHORT = {"trainer": {"epochs": 3}, "plots": False}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> mtl_cli.Run:
    """A trained model of the houses."""
    folder = tmp_path_factory.mktemp("houses")
    houses().to_csv(folder / "houses.csv", index=False)
    return mtl_cli.train(
        f"dataset={folder}/houses.csv", "dataset.id=house", run_dir=folder / "run",
        tasks={"price": {"kind": "regression", "transform": "log1p"}, "sold": "binary"},
        **{"dataset.features.exclude": ["kind", "tags"]}, **SHORT,
    )  # fmt: skip


def test_importing_it_loads_nothing_heavy() -> None:
    code = "import sys, mtl_cli; print(sorted({'torch', 'pandas', 'hydra', 'sklearn', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "[]\n"


def test_what_it_exports_is_there_and_in_the_stub() -> None:
    for name in mtl_cli.__all__:
        assert getattr(mtl_cli, name) is not None
    stub = (ROOT / "mtl_cli" / "__init__.pyi").read_text()
    assert set(re.findall(r"as (\w+)$|^(__version__)", stub, flags=re.MULTILINE)) == {
        ("", name) if name == "__version__" else (name, "") for name in mtl_cli.__all__
    }
    assert (ROOT / "mtl_cli" / "py.typed").is_file()
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = mtl_cli.trian  # type: ignore[attr-defined]


def test_a_run_is_that_of_the_command(folder: Path, mtl: InProcess) -> None:
    ours = mtl_cli.train(dataset="wine", balancer="gradnorm", run_dir="ours", seed=3, **SHORT)
    status, _, err = mtl(
        "train", "dataset=wine", "balancer=gradnorm", "run_dir=theirs", "seed=3", "trainer.epochs=3", "plots=false"
    )
    assert status == 0, err
    theirs = mtl_cli.Run("theirs")
    pd.testing.assert_frame_equal(ours.predictions, theirs.predictions)
    pd.testing.assert_frame_equal(ours.weights, theirs.weights)
    assert ours.score == theirs.score
    assert ours.config == theirs.config


def test_a_table_is_predicted_as_its_file(run: mtl_cli.Run, folder: Path) -> None:
    table = houses(rows=50, seed=1)
    table.to_csv(folder / "new.csv", index=False)
    model = run.model()
    predicted = model.predict(table)
    pd.testing.assert_frame_equal(predicted, model.predict("new.csv"))
    assert list(predicted["house"]) == list(table["house"])
    assert model.evaluate(table) == model.evaluate(folder / "new.csv")


def test_the_test_rows_are_predicted_as_in_the_run(run: mtl_cli.Run) -> None:
    test = run.predictions
    again = run.model().predict(houses()).set_index("house").loc[test["house"]]
    np.testing.assert_allclose(again["predicted_price"], test["predicted_price"], rtol=1e-5)


def test_what_is_wrong_with_a_table_is_said_of_the_table(run: mtl_cli.Run) -> None:
    with pytest.raises(mtl_cli.UserError) as caught:
        run.model().predict(houses().drop(columns="area"))
    assert str(caught.value).splitlines()[0].startswith("the table: the feature column 'area' is missing")


def test_every_problem_of_a_config_is_in_the_error(folder: Path) -> None:
    with pytest.raises(mtl_cli.UserError) as caught:
        mtl_cli.train(dataset="wine", trainer={"epochz": 3}, seed=-1)
    assert "trainer.epochz: unknown key; did you mean trainer.epochs?" in str(caught.value)
    assert "seed: must be at least 0" in str(caught.value)
    assert not any(folder.iterdir())


def test_a_folder_without_a_run_is_refused(folder: Path) -> None:
    with pytest.raises(mtl_cli.UserError, match="is not the folder of a finished run"):
        mtl_cli.Run(folder)
    with pytest.raises(mtl_cli.UserError, match="there is no such run"):
        mtl_cli.load("nowhere")


def test_notes_about_the_data_are_logged(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="mtl_cli"):
        mtl_cli.train(dataset="wine", **SHORT)
    assert "64 of 320 test rows" in caplog.text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"), (True, "true"), (3, "3"), (np.int64(3), "3"), (0.5, "0.5"), (np.float32(0.5), "0.5"),
        ("wine", "wine"), (Path("a b.csv"), "a b.csv"), ([1, 2], "[1, 2]"), (("a", None), '["a", null]'),
        ({"a": {"b": "c d"}}, '{"a": {"b": "c d"}}'), ({4: Path("x")}, '{"4": "x"}'), (float("inf"), "inf"),
    ],
)  # fmt: skip
def test_values_as_the_command_line_writes_them(value: object, text: str) -> None:
    assert _text(value) == text  # type: ignore[arg-type]


ODD = st.text(max_size=6) | st.sampled_from(
    ["größe", "a:b", "a,b", "null", "true", "010", "C:\\x\\y", "\\d+", "a\nb", '"', "\\", "[", "}"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | ODD
NESTED = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD, inner, max_size=3), max_leaves=8
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(NESTED, max_size=3) | st.dictionaries(ODD, NESTED, max_size=3))
def test_lists_and_mappings_are_set_as_they_are(value: Any) -> None:
    read = read_settings([f"tasks={_text(value)}"], Assembler().folders)
    assert read.problems == []
    assert read.values == {("tasks",): value}
    assert combinations([f"tasks={_text(value)}"], []) == ([[f"tasks={_text(value)}"]], [])


def test_tasks_of_any_name(folder: Path) -> None:
    table = houses(rows=100).rename(columns={"price": "größe"})
    table.to_csv("t.csv", index=False)
    run = mtl_cli.train(dataset="t.csv", tasks={"größe": "regression", "a:b": {"kind": "binary", "target": "sold"}},
        **{"dataset.features.exclude": ["kind", "tags"]}, **SHORT)  # fmt: skip
    assert list(run.config["tasks"]) == ["größe", "a:b"]


def test_balancers_by_name() -> None:
    gradnorm = mtl_cli.balancers()["gradnorm"](alpha=0.5)  # type: ignore[call-arg]
    assert gradnorm.needs == "norms"


@pytest.mark.parametrize("scale", ["quantile", "clip"])
def test_how_features_were_scaled_is_kept_with_the_model(scale: str, folder: Path) -> None:
    houses(80).to_csv("houses.csv", index=False)
    found = mtl_cli.train(
        "dataset=houses.csv", "tasks={price: regression}", f"dataset.features.scale={scale}", "trainer.epochs=1",
        "trainer.folds=none", "model.trunk.hidden=[4]", "plots=false",
    )  # fmt: skip
    said = found.predictions.set_index("row")["predicted_price"]
    again = mtl_cli.load(found).predict("houses.csv").set_index("row")["predicted_price"]
    np.testing.assert_allclose(again[said.index], said, rtol=1e-6)
