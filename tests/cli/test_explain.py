"""`mtl explain`: what it prints, draws and refuses."""

from __future__ import annotations

import importlib.util
import io
import json
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import InProcess, houses


def test_importance_as_a_table_csv_json_and_markdown(mtl: InProcess, houses_run: Path) -> None:
    status, out, err = mtl("explain", str(houses_run), "--repeats", "2", "--format", "table")
    assert status == 0, err
    assert out.startswith("price: skill 0.") and out.count("skill lost") == 4
    status, out, _ = mtl("explain", str(houses_run), "--repeats=2", "--format=csv")
    table = pd.read_csv(io.StringIO(out))
    assert list(table.columns) == ["task", "feature", "kind", "skill_lost", "low", "high", "deviation", "correlated"]
    assert table.groupby("task", sort=False)["feature"].first().to_dict() == dict.fromkeys(
        ["price", "sold", "kind", "tags"], "area"
    )
    assert set(table["feature"]) == {"area", "rooms", "city", "garden", "built"}
    assert mtl("explain", str(houses_run), "--repeats=2")[1] == out  # one seed, and CSV in a pipe
    rows = json.loads(mtl("explain", str(houses_run), "--repeats=2", "--format=json")[1])
    assert rows[0]["feature"] == "area" and rows[0]["correlated"] == []
    assert mtl("explain", str(houses_run), "--repeats=2", "--format=md")[1].startswith("| task | feature |")


def test_another_file_figures_and_dependence(mtl: InProcess, houses_run: Path) -> None:
    houses(60, 5).drop(columns="tags").to_csv("new.csv", index=False)
    status, _, err = mtl("explain", str(houses_run), "new.csv", "--repeats=1", "--plots", "figures")
    assert status == 0, err
    assert "has no labels of task tags" in err
    assert {file.name for file in Path("figures").iterdir()} == {
        "importance.csv", "dependence.csv", *(f"{what}_{task}.png" for what in ("importance", "dependence")
                                              for task in ("price", "sold", "kind")),
    }  # fmt: skip
    dependence = pd.read_csv("figures/dependence.csv")
    area = dependence[(dependence["task"] == "price") & (dependence["feature"] == "area")]
    assert area["mean"].is_monotonic_increasing and len(area) == 15
    status, out, _ = mtl("explain", str(houses_run), "new.csv", "--repeats=1", "--dependence")
    assert status == 0 and out == Path("figures/dependence.csv").read_text()


def test_what_tasks_share(mtl: InProcess, houses_run: Path) -> None:
    status, out, err = mtl("explain", str(houses_run), "--shared", "--format=csv")
    assert status == 0, err
    table = pd.read_csv(io.StringIO(out))
    assert len(table) == 12 and (table["cka"].round(6) == 1).all()
    assert table[["cosine_early", "cosine_late"]].notna().all(axis=None)
    assert "all heads read one representation" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "shp"], "--method: there is no 'shp'; did you mean shap?"),
        (["--repats", "3"], "unknown flag --repats; did you mean --repeats?"),
        (["--repeats", "0"], "--repeats: must be at least 1"),
        (["--top", "0"], "--top: must be at least 1"),
        (["--correlated", "1.5"], "--correlated: must be above 0 and at most 1"),
        (["--rows", "3"], "--rows: is for single rows"),
        (["--shared", "--dependence"], "--dependence: does not go with --shared"),
        (["--shared", "--plots", "x"], "--plots: draws the importance of features"),
        (["--method", "shap", "--shared"], "--shared: does not go with --method shap"),
        (["nowhere.csv"], "nowhere.csv"),
        (["trainer.epochs=3"], "trainer.epochs: mtl explain takes no such key"),
        (["--plots", "nowhere/x"], "nowhere/x: its folder does not exist"),
    ],
)
def test_what_is_refused_in_one_line(mtl: InProcess, houses_run: Path, words: list[str], message: str) -> None:
    status, out, err = mtl("explain", str(houses_run), *words)
    assert (status, out) == (2, "") and err.count("\n") == 1 and message in err, err


@pytest.mark.parametrize(("method", "package"), [("integrated-gradients", "captum"), ("shap", "shap")])
def test_single_rows_or_the_package_that_they_need(mtl: InProcess, houses_run: Path, method: str, package: str) -> None:
    table = str(houses_run.parent / "houses.csv")
    words = ["explain", str(houses_run), table, "--method", method, "--rows", "h003,h001"]
    status, out, err = mtl(*words)
    if importlib.util.find_spec(package) is None:
        assert status == 2 and f"{method} needs the package {package}; pip install 'mtl-cli[{package}]'" in err
        return
    assert status == 0, err
    found = pd.read_csv(io.StringIO(out))
    assert list(dict.fromkeys(found["row"])) == ["h003", "h001"]
    assert set(found["task"]) == {"price", "sold", "kind", "tags"}
    status, _, err = mtl(*words[:-1], "h00x")
    assert status == 2 and "has no row 'h00x'; did you mean h" in err


def test_every_form_of_data_is_explained(mtl: InProcess) -> None:
    status, _, err = mtl("train", "dataset=digits", "trainer.epochs=2", "plots=false", "run_dir=digits")
    assert status == 0, err
    table = pd.read_csv(io.StringIO(mtl("explain", "digits", "--repeats=1")[1]))
    assert set(table["kind"]) == {"pixels"} and len(table) == 3 * 64
    status, out, err = mtl("explain", "digits", "--repeats=1", "--dependence")
    assert (status, out) == (0, "") and "no partial dependence" in err
