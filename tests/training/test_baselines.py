"""Baselines of a run: scikit-learn's own values, which rows they learn from, which are chosen, and what is said."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, mean_squared_error, roc_auc_score

from mtl_cli.config import schema
from mtl_cli.reports.verdicts import about_baselines
from mtl_cli.training import baselines
from tests.conftest import InProcess

QUICK = ("plots=false", "device=cpu", "trainer.epochs=1")
OWN = {
    "ridge": (Ridge(), LogisticRegression(max_iter=1000)),
    "forest": (RandomForestRegressor(random_state=4), RandomForestClassifier(random_state=4)),
    "extra_trees": (ExtraTreesRegressor(random_state=4), ExtraTreesClassifier(random_state=4)),
    "boosting": (HistGradientBoostingRegressor(random_state=4), HistGradientBoostingClassifier(random_state=4)),
}


def made(rows: int = 200) -> pd.DataFrame:
    """A table of a curve that a line cannot follow; some labels are missing."""
    random = np.random.default_rng(0)
    table = pd.DataFrame(random.normal(size=(rows, 3)), columns=["a", "b", "c"]).astype("float32")
    table["y"] = np.sin(3 * table["a"]) * 3 + table["b"] + random.normal(0, 0.3, rows)
    table["up"] = np.where(table["y"] + random.normal(0, 1, rows) > 0.7, "yes", "no")
    table["part"] = np.resize(["train", "train", "train", "val", "test"], rows)
    table.loc[::9, "y"] = np.nan
    return table


@pytest.fixture
def train(mtl: InProcess):
    made().to_csv("made.csv", index=False)

    def run(*words: str, folder: str = "run") -> tuple[dict, str]:
        keys = ["dataset=made.csv", "dataset.split.column=part", "dataset.features.scale=none", "seed=4"]
        tasks = "tasks={y: {kind: regression, standardize: false}, up: {kind: binary, pos_weight: 3}}"
        status, _, err = mtl("train", *keys, tasks, *QUICK, *words, f"run_dir={folder}")
        assert status == 0, err
        return json.loads(Path(folder, "metrics.json").read_text()), err

    return run


def test_values_are_scikit_learns_own_on_all_rows_but_the_test_rows(train) -> None:
    metrics, err = train("trainer.baselines=[ridge,forest,extra_trees,boosting]")
    table = pd.read_csv("made.csv")
    inputs = table[["a", "b", "c"]].to_numpy("float32")
    order = [np.flatnonzero(table["part"] == part) for part in ("train", "val")]
    rows, test = np.concatenate(order), np.flatnonzero(table["part"] == "test")
    known = table["y"].notna().to_numpy()
    with_y, test_y = rows[known[rows]], test[known[test]]
    y, up = table["y"].to_numpy("float32"), (table["up"] == "yes").to_numpy().astype(int)
    found = metrics["splits"]["test"]["tasks"]
    for name, (regressor, classifier) in OWN.items():
        predicted = regressor.fit(inputs[with_y], y[with_y]).predict(inputs[test_y])
        mse = mean_squared_error(y[test_y], predicted)
        assert found["y"]["baselines"][name]["mse"] == pytest.approx(mse, rel=1e-4), name
        stated = classifier.fit(inputs[rows], up[rows], np.where(up[rows] == 1, 3, 1)).predict_proba(inputs[test])[:, 1]
        own = found["up"]["baselines"][name]
        assert own["roc_auc"] == pytest.approx(roc_auc_score(up[test], stated), abs=1e-6), name
        assert own["log_loss"] == pytest.approx(log_loss(up[test], stated.clip(1e-6, 1 - 1e-6)), rel=1e-4), name
    compared = metrics["baselines"]
    assert compared["rows"] == "test" and compared["tasks"]["y"]["metric"] == "rmse"
    trees = compared["tasks"]["y"]["differences"]["extra_trees"]
    apart = found["y"]["rmse"] - found["y"]["baselines"]["extra_trees"]["rmse"]
    assert trees["difference"] == pytest.approx(apart, rel=1e-6) and trees["low"] > 0
    line = next(line for line in err.splitlines() if "better" in line)
    best = compared["tasks"]["y"]["best"]
    assert re.match(rf"{best} is better on y by [\d.]+ ± [\d.]+ rmse", line) and line.endswith("40 test rows)")
    for name in OWN:
        assert len(re.findall(rf"^  {name} ", err, re.MULTILINE)) == 2
    train("trainer.baselines=none", folder="without")
    assert Path("run/predictions.csv").read_text() == Path("without/predictions.csv").read_text()


def test_of_a_family_of_sequences_ridge_reads_the_differences(mtl: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "AUTO_ROWS", 50_000)
    random, letters = np.random.default_rng(0), np.array(list("ACDEFGHIKLMNPQRSTVWY"))
    wild = random.integers(0, 20, 30)
    rows = np.repeat(wild[None], 300, 0)
    for row in rows:
        places = random.choice(30, 2, replace=False)
        row[places] = (wild[places] + random.integers(1, 20, 2)) % 20
    one_hot = (rows[:, :, None] == np.arange(20)).reshape(300, 600).astype(float)
    y = one_hot @ random.normal(size=600) + 0.2 * random.normal(size=300)
    table = pd.DataFrame({"sequence": ["".join(letters[row]) for row in rows], "y": y})
    table["high"] = np.where(y > y.mean(), "yes", "no")
    table.to_csv("variants.csv", index=False)
    tasks = "tasks={y: {kind: regression, standardize: false}, high: binary}"
    read = ["dataset=variants.csv", "dataset.sequence=sequence", "model=sequence_cnn", "model.linear=none"]
    keys = [*read, tasks, *QUICK]
    status, _, err = mtl("train", *keys, "run_dir=run")
    assert status == 0, err
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert metrics["baselines"]["names"] == ["ridge"] and "ridge is better on y by" in err
    test = (pd.read_csv("run/splits.csv")["split"] == "test").to_numpy()
    predicted = Ridge().fit(one_hot[~test], y[~test]).predict(one_hot[test])
    found = metrics["splits"]["test"]["tasks"]
    assert found["y"]["baselines"]["ridge"]["mse"] == pytest.approx(mean_squared_error(y[test], predicted), rel=1e-3)
    model = LogisticRegression(max_iter=1000).fit(one_hot[~test], y[~test] > y.mean())
    area = roc_auc_score(y[test] > y.mean(), model.decision_function(one_hot[test]))
    assert found["high"]["baselines"]["ridge"]["roc_auc"] == pytest.approx(area, abs=2e-3)
    status, _, err = mtl("train", *keys, "trainer.baselines=[ridge,forest]")
    assert status == 2 and "trainer.baselines: of sequences there is ridge alone" in err
    line = "mtl train: error: trainer.baselines: there is no baseline 'rige'; did you mean ridge?\n"
    assert mtl("train", *keys, "trainer.baselines=[rige]") == (2, "", line)
    table["sequence"] = ["".join(letters[random.integers(0, 20, 30)]) for _ in y]
    table.to_csv("variants.csv", index=False)
    status, _, err = mtl("train", *keys, "trainer.baselines=[ridge]", "run_dir=unlike")
    assert status == 0 and "trainer.baselines: these sequences are no family" in err


def test_every_kind_of_task_with_folds_weights_and_repeated_rows(mtl: InProcess, houses_csv: Path) -> None:
    table = pd.read_csv(houses_csv)
    table["trust"] = np.resize([1, 2, 3], len(table))
    pd.concat([table, table[:40]]).to_csv("houses.csv", index=False)
    kinds = (
        "{price: {kind: regression, transform: log1p}, sold: {kind: binary, pos_weight: auto}, "
        "kind: {kind: multiclass, class_weights: balanced}, tags: {kind: multilabel, pos_weight: auto}}"
    )
    keys = ["dataset=houses.csv", "dataset.features.exclude=[house]", "dataset.split.duplicates=warn",
            "dataset.weight=trust", "trainer.folds=3", "trainer.baselines=[ridge,forest]"]  # fmt: skip
    status, _, err = mtl("train", *keys, f"tasks={kinds}", *QUICK, "run_dir=run")
    assert status == 0, err
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert metrics["baselines"]["rows"] == "test_unseen"
    for split in ("test", "test_unseen"):
        for name, report in metrics["splits"][split]["tasks"].items():
            assert report["baselines"].keys() == {"ridge", "forest"}
            assert report["baselines"]["forest"]["skill"] > 0.1, (split, name)
    assert "unseen test rows)" in err


def test_each_name_of_the_config_has_its_models() -> None:
    assert tuple(baselines.BASELINES) == schema.BASELINES == tuple(OWN)
    assert set(baselines.AUTO) <= set(schema.BASELINES)


def test_auto_takes_what_costs_no_more_than_the_training(train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "AUTO_ROWS", 50_000)
    metrics, _ = train()  # of 2 steps
    assert metrics["baselines"]["names"] == ["ridge"]
    metrics, _ = train("trainer.epochs=800", "trainer.early_stopping.patience=2", folder="longer")
    assert metrics["baselines"]["names"] == ["ridge", "forest", "boosting"]
    monkeypatch.setattr(baselines, "AUTO_ROWS", 100)
    assert "baselines" not in train(folder="large")[0]


def test_bad_input_is_one_line(mtl: InProcess, houses_csv: Path) -> None:
    digits = ("dataset=digits", "model=cnn")
    for words, line in {
        ("dataset=wine", "trainer.baselines=[ridge,bosting]"): "there is no baseline 'bosting'; did you mean boosting?",
        (*digits, "trainer.baselines=forest"): "learn from features, but this data set has image inputs; "
        "trainer.baselines=none",
    }.items():
        assert mtl("train", *words) == (2, "", f"mtl train: error: trainer.baselines: {line}\n")
    keys = ("dataset=houses.csv", "tasks={kind: multiclass}", "dataset.split.test=0", *QUICK)
    status, _, err = mtl("train", *keys, "trainer.baselines=ridge", "run_dir=run")
    assert status == 0 and "trainer.baselines: there are no test rows to measure baselines on\n" in err


def test_a_line_names_the_first_tasks_and_counts_the_others() -> None:
    found = {
        "metric": "rmse",
        "differences": {"forest": {"difference": 0.5, "low": 0.4, "high": 0.6}},
        "best": "forest",
    }
    tasks = {f"t{i}": {**found, "better": i < 5} for i in range(6)}
    metrics = {"splits": {"test": {"rows": 1000}}, "baselines": {"names": ["forest"], "rows": "test", "tasks": tasks}}
    each = "forest is better on t{} by 0.50 ± 0.10 rmse"
    assert about_baselines(metrics) == [
        ", ".join(each.format(i) for i in range(3))
        + ", and others on 2 more tasks, in metrics.json; none on 1 of 6 tasks (1,000 test rows)"
    ]
    assert about_baselines({}) == []
