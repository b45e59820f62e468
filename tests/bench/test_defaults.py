"""The benchmark of the defaults: its measure, and that it goes on where it stopped."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, r2_score

from tests.bench.defaults import COLUMNS, main
from tests.bench.rivals import RIVALS
from tests.bench.skill import measure
from tests.bench.tables import half, load, names


def test_skill_is_r2_of_numbers_and_the_brier_scores_of_classes() -> None:
    random = np.random.default_rng(0)
    truth, said = pd.Series(random.normal(size=50)), random.normal(size=50)
    error, constant = measure(said, truth, truth)
    assert 1 - error / constant == pytest.approx(r2_score(truth, said))
    labels = pd.Series(random.random(50) < 0.3)
    probability = random.uniform(size=50)
    error, constant = measure(pd.DataFrame({"False": 1 - probability, "True": probability}), labels, labels)
    assert error == pytest.approx(2 * brier_score_loss(labels, probability))
    assert constant == pytest.approx(2 * labels.mean() * (1 - labels.mean()))


def test_classes_that_only_one_side_has_count_as_wrong() -> None:
    known, truth = pd.Series(["a", "b"]), pd.Series(["c", None])
    assert measure(pd.DataFrame({"a": [1.0, 1.0], "b": [0.0, 0.0]}), truth, known) == (2.0, 1.5)


def test_tables_are_the_same_at_each_call_and_have_their_tasks() -> None:
    for name in names():
        table, tasks = load(name)
        assert set(tasks) < set(table.columns)
        pd.testing.assert_frame_equal(table, load(name)[0])
    assert {half(name) for name in names()} == {"choose", "report"}


def test_what_was_run_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "r.csv"
    words = ["bench", str(results), "--tables", "few_rows", "--methods", "ridge", "quick"]
    setting = ["--setting", "quick=trainer.epochs=2 trainer.folds=none model.trunk.hidden=[4]"]
    monkeypatch.setattr(sys, "argv", [*words, *setting, "--splits", "1"])
    main()
    once = results.read_text()
    assert len(once.splitlines()) == 5  # the header, and two tasks of two methods
    main()
    assert results.read_text() == once
    monkeypatch.setattr(sys, "argv", [*words, "--show"])
    capsys.readouterr()
    main()
    skill = pd.read_csv(results).groupby("method")["skill"].mean()
    assert f"| few_rows | 1 | {skill['ridge']:.3f} | {skill['quick']:.3f} |" in capsys.readouterr().out


def test_halves_are_told_apart_and_ranked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "r.csv"
    better = {"mtl": 0.6, "before": 0.5, "one split": 0.4, **dict.fromkeys(RIVALS, 0.3), "ridge": 0.7}
    rows = [
        [table, split, method, "a", skill + 0.01 * split, 1, 2, 1 + (method == "mtl"), ""]
        for table in ("wine", "few_rows")
        for split in (0, 1)
        for method, skill in better.items()
    ]
    pd.DataFrame(rows, columns=COLUMNS).to_csv(results, index=False)
    monkeypatch.setattr(sys, "argv", ["bench", str(results), "--halves"])
    main()
    chosen, reported = capsys.readouterr().out.split("Tables that were not")
    assert "| wine | 2 | 0.505 | 0.605 | 0.405 | +0.100 ± 0.000 | 0.705 ridge |" in chosen
    assert "few_rows" in reported and "few_rows" not in chosen
    assert "| mean rank | 2.00 | 1.00 |" in reported
    assert "| time | | 1.00 | 2.00 | 1.00 | | |" in reported


@pytest.mark.slow
def test_processes_write_what_one_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--tables", "few_rows", "linnerud", "--methods", "ridge", "random forest", "--splits", "2"]
    for jobs in ("1", "2"):
        monkeypatch.setattr(sys, "argv", ["bench", str(tmp_path / f"{jobs}.csv"), *words, "--jobs", jobs])
        main()
    order = ["table", "split", "method", "task"]
    one, two = (
        pd.read_csv(tmp_path / f"{jobs}.csv").drop(columns="seconds").sort_values(order, ignore_index=True)
        for jobs in ("1", "2")
    )
    pd.testing.assert_frame_equal(one, two)
