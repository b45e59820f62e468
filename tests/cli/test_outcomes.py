"""Tasks that are no plain numbers or classes, from the command line to the files of a run and back."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import InProcess
from tests.outcomes import assays, patients

TASKS = (
    "tasks={outcome: {kind: survival, target: days, event: died, times: [200, 400]},"
    " hazard: {kind: survival, target: days, event: died, loss: cox}, stage: {kind: ordinal, interval: 0.8},"
    " visits: {kind: count, loss: negative_binomial, interval: 0.8}, level: censored, dose: interval}"
)


@pytest.fixture
def both(tmp_path: Path) -> Path:
    table = pd.concat([patients(), assays()[["a", "b", "level", "dose"]]], axis=1)
    table = table.loc[:, ~table.columns.duplicated(keep="last")]
    table.insert(0, "w", 1.0 + (table.index % 3))
    table.to_csv(tmp_path / "all.csv", index=False)
    return tmp_path


@pytest.mark.parametrize(
    "words", [("trainer.folds=none", "balancer=gradnorm"), ("trainer.folds=3", "dataset.weight=w")]
)
def test_a_run_of_every_kind(both: Path, mtl: InProcess, words: tuple[str, ...]) -> None:
    status, _, err = mtl("train", "dataset=all.csv", TASKS, "trainer.epochs=8", "run_dir=run", "device=cpu", *words)
    assert status == 0, err
    assert "could not be drawn" not in err
    metrics = json.loads(Path("run/metrics.json").read_text())
    test = metrics["splits"]["test"]["tasks"]
    assert list(test) == ["outcome", "hazard", "stage", "visits", "level", "dose"]
    for name, metric in {
        "outcome": "brier",
        "hazard": "brier",
        "stage": "set_size",
        "visits": "d2",
        "level": "bounds_kept",
    }.items():
        assert test[name][metric] == test[name][metric], name
    assert test["dose"]["interval_score"] > 0
    assert test["hazard"]["constant"]["concordance"] == 0.5
    assert metrics["score"] == metrics["splits"]["val"]["score"]
    pictures = {path.name for path in Path("run/plots").glob("*.png")}
    assert pictures >= {
        "survival_outcome.png", "survival_hazard.png", "confusion_stage.png", "counts_visits.png",
        "predicted_level.png", "intervals_dose.png",
    }  # fmt: skip
    written = pd.read_csv("run/predictions.csv")
    assert written["level"].dropna().str.contains("<|>|[.]").any()
    assert written["outcome"].dropna().str.endswith("+").any()
    assert (written["predicted_outcome_at_400"] <= written["predicted_outcome_at_200"] + 1e-9).all()
    assert (written["visits_low"] % 1 == 0).all()
    status, out, err = mtl("predict", "run", "all.csv", "--probabilities", "all")
    assert status == 0, err
    Path("out.csv").write_text(out)
    predicted = pd.read_csv("out.csv")
    again = predicted.set_index("row").loc[written["row"], "predicted_hazard"].to_numpy()
    assert again == pytest.approx(written["predicted_hazard"].to_numpy(), rel=1e-4)
    assert any(column.startswith("predicted_stage_prob_") for column in predicted)
    status, out, err = mtl("evaluate", "run", "--json")
    assert status == 0, err
    found = json.loads(out)["tasks"]
    for name in test:
        for metric in ("loss", "skill", "concordance", "brier", "quadratic_kappa", "deviance", "rmse"):
            if metric in test[name]:
                assert found[name][metric] == pytest.approx(test[name][metric], rel=1e-4), (name, metric)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("days: survival", "tasks.days.event: needs the column that says whether the event came"),
        ("days: {kind: survival, event: days}", "tasks.days.event: 'days' is the column of the times"),
        ("age: {kind: survival, event: died}", "is a time below 0"),
        ("days: {kind: survival, event: stage}", "says neither that the event came nor that it did not"),
        ("age: count", "is below 0: a count is 0, 1, 2, …"),
        ("word: ordinal", "the classes are not numbers, and their order is not given"),
        ("word: {kind: ordinal, order: [b]}", "tasks.word.order: needs at least two classes"),
        ("visits: {kind: quantile, quantiles: [0.5, 1.5]}", "tasks.visits.quantiles"),
        ("visits: {kind: quantile, loss: mse}", "tasks.visits.loss"),
        ("word: censored", "is neither a number nor a bound of one"),
        ("days: {kind: survival, event: died, loss: cox}", "needs validation rows"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, mtl: InProcess, task: str, message: str) -> None:
    patients().assign(word=["a", "b", "c"] * 80).to_csv(tmp_path / "all.csv", index=False)
    status, out, err = mtl("train", "dataset=all.csv", f"tasks={{{task}}}", "dataset.split.val=0", "trainer.folds=none")
    assert (status, out) == (2, "")
    assert message in err.splitlines()[-1]
    assert not Path("outputs").exists()
