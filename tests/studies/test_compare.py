"""`mtl compare` on folders as runs leave them: groups, intervals, Δm, ranks, sentences, formats, figures, refusals."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.conftest import InProcess
from tests.studies.made import make_groups, make_run

NONE = {
    "uniform": [0.35, 0.36, 0.34, 0.352, 0.347],
    "gradnorm": [0.357, 0.355, 0.352, 0.349, 0.36],
    "uw": [0.351, 0.357, 0.346, 0.35, 0.353],
}
SOME = {**NONE, "rlw": [0.2, 0.21, 0.19, 0.205, 0.2]}


def as_json(mtl: InProcess, *words: str) -> dict:
    status, out, err = mtl("compare", *words, "--format", "json")
    assert status == 0, err
    return json.loads(out)


def test_means_with_intervals_the_best_first(mtl: InProcess, tmp_path: Path) -> None:
    found = as_json(mtl, *make_groups(tmp_path, SOME))
    assert [group["group"] for group in found["groups"]] == ["gradnorm", "uw", "uniform", "rlw"]
    best = found["groups"][0]
    low, high = stats.ttest_1samp(SOME["gradnorm"], 0).confidence_interval(0.95)
    assert (best["score"], best["score_low"], best["score_high"]) == pytest.approx(
        (np.mean(SOME["gradnorm"]), low, high)
    )
    assert best["price.rmse"] == pytest.approx(2 - np.mean(SOME["gradnorm"]))
    assert (best["runs"], best["seconds"], found["over"], found["paired"]) == (5, 2.0, "5 seeds", True)
    assert found["groups"][3]["rank"] == 4 and found["groups"][3]["wins"] == 0
    assert sum(group["wins"] for group in found["groups"]) == pytest.approx(10), "2 tasks of 5 seeds"


def test_sentences_say_what_can_be_told(mtl: InProcess, tmp_path: Path) -> None:
    some, none = (
        as_json(mtl, *make_groups(tmp_path / "some", SOME)),
        as_json(mtl, *make_groups(tmp_path / "none", NONE)),
    )
    assert some["sentences"][0].startswith(
        "score: gradnorm 0.3546 is better than rlw 0.201 (interval of the difference 0.1"
    )
    assert (
        some["sentences"][1] == "score: no significant difference between gradnorm 0.3546 and uw 0.3514, uniform 0.3498"
    )
    assert none["sentences"][0].startswith(
        "score: no significant difference between any of 3 groups, not even the best and the worst: gradnorm 0.3546, uniform 0.3498, interval of the difference −0.0"
    )
    two = as_json(mtl, *make_groups(tmp_path / "two", {key: NONE[key] for key in ("uniform", "gradnorm")}))
    apart = np.array(NONE["gradnorm"]) - NONE["uniform"]
    low, high = stats.ttest_1samp(apart, 0).confidence_interval(0.95)
    assert two["sentences"] == [
        f"score: no significant difference: gradnorm 0.3546, uniform 0.3498, interval of the difference −{-low:.3f} to {high:.3f}"
    ]
    one = as_json(mtl, *make_groups(tmp_path / "one", {key: own[:1] for key, own in NONE.items()}))
    assert one["test"] is None and "with one run of each, no interval can be given" in one["sentences"][0]


def test_where_less_is_better_the_least_is_first(mtl: InProcess, tmp_path: Path) -> None:
    found = as_json(mtl, *make_groups(tmp_path, SOME), "--by", "price")
    assert found["by"] == "price.rmse"
    assert [group["group"] for group in found["groups"]] == ["gradnorm", "uw", "uniform", "rlw"]
    worst = next(d for d in found["test"]["differences"] if d["second"] == "rlw" and d["first"] == "gradnorm")
    assert worst["low"] < worst["difference"] < worst["high"] < 0 and worst["told"]


def test_delta_m_against_single_task_runs(mtl: InProcess, tmp_path: Path) -> None:
    """By hand: errors fall from 2 to 1.9 (+5 %), accuracies rise from 0.5 to 0.6 (+20 %), so 12.5 % in the mean."""
    paths = []
    for seed in (0, 1):
        alone = {"price": {"rmse": 2.0 * (1 + seed)}, "sold": {"accuracy": 0.5}}
        shared = {"price": {"rmse": 1.9 * (1 + seed)}, "sold": {"accuracy": 0.6}}
        paths += [str(make_run(tmp_path / f"a{seed}", tasks=alone, sharing="none", seed=seed, score=0.1))]
        paths += [str(make_run(tmp_path / f"s{seed}", tasks=shared, seed=seed, score=0.2))]
    found = as_json(mtl, *paths)
    assert [group["group"] for group in found["groups"]] == ["hard", "none"] and found["baseline"] == "none"
    assert [group["delta_m"] for group in found["groups"]] == pytest.approx([12.5, 0])
    other = as_json(mtl, *paths, "--baseline", "hard")
    assert other["groups"][1]["delta_m"] == pytest.approx(100 * ((1.9 - 2) / 1.9 + (0.5 - 0.6) / 0.6) / 2)
    assert as_json(mtl, paths[1], paths[3], "--baseline", paths[0])["groups"][0]["delta_m"] is not None


def test_folds_of_one_run_each_are_repetitions(mtl: InProcess, tmp_path: Path) -> None:
    task = {"price": {"rmse": 1.0}}
    folds = {"uniform": [0.3, 0.32, 0.31, 0.29, 0.33], "uw": [0.2, 0.21, 0.22, 0.2, 0.21]}
    paths = [
        str(make_run(tmp_path / name, tasks=task, balancer=name, score=0.3, members=own)) for name, own in folds.items()
    ]
    found = as_json(mtl, *paths)
    assert found["over"] == "5 folds"
    half = stats.t.ppf(0.975, 4) * math.sqrt(np.var(folds["uniform"], ddof=1) * (1 / 5 + 1 / 4))
    assert found["groups"][0]["score_high"] == pytest.approx(0.31 + half)
    assert found["test"]["differences"][0]["told"]


def test_other_seeds_are_not_paired(mtl: InProcess, tmp_path: Path) -> None:
    paths = make_groups(tmp_path, NONE)
    found = as_json(mtl, *paths[:4], *paths[5:])
    assert not found["paired"] and found["test"]["name"] == "Welch's ANOVA and Games-Howell"
    assert found["over"] == "4 to 5 seeds"


def test_groups_are_called_by_what_differs(mtl: InProcess, tmp_path: Path) -> None:
    task, made = {"price": {"rmse": 1.0}}, []
    for balancer in ("uniform", "gradnorm"):
        for lr in (0.1, 0.01):
            path = tmp_path / f"{balancer}{lr}"
            made.append(
                str(make_run(path, tasks=task, score=lr, balancer=balancer, optimizer={"name": "adam", "lr": lr}))
            )
    labels = {group["group"] for group in as_json(mtl, *made)["groups"]}
    assert labels == {f"balancer={b} lr={lr}" for b in ("uniform", "gradnorm") for lr in (0.1, 0.01)}, (
        "not by balancer.alpha"
    )


def refused(mtl: InProcess, *words: str) -> str:
    status, out, err = mtl("compare", *words)
    assert (status, out, err.count("\n")) == (2, "", 1), err
    return err.removeprefix("mtl compare: error: ").strip()


def test_what_cannot_be_compared_is_refused_in_one_line(mtl: InProcess, tmp_path: Path) -> None:
    task = {"price": {"rmse": 1.0}}
    a = str(make_run(tmp_path / "a", tasks=task, score=0.1))
    b = str(make_run(tmp_path / "b", tasks={"sold": {"accuracy": 1.0}}, score=0.2, balancer="uw"))
    c = str(make_run(tmp_path / "c", tasks={"price": {"accuracy": 1.0, "skill": 0.2}}, score=0.2, balancer="uw"))
    d = str(make_run(tmp_path / "d", tasks=task, score=0.2, balancer="uw", split="0,test\n1,train\n"))
    assert refused(mtl, a, b) == f"{b}: has the tasks sold, {a} has price; --allow tasks compares those that all have"
    assert refused(mtl, a, c).startswith(f"{c}: task price is measured by accuracy, in {a} by rmse; --allow metrics")
    assert refused(mtl, a, d).startswith(f"{d}: has other rows for testing or validation than {a}; ")
    assert refused(mtl, a, a) == f"{a}: is given twice"
    assert refused(mtl, a, "nowhere").startswith(
        "nowhere: is neither the folder of a run that has ended nor of a study"
    )
    assert refused(mtl, a, "--allow", "split") == "--allow: there is no 'split'; did you mean splits?"
    assert refused(mtl, a, d, "--allow", "splits", "--by", "price.mea").startswith(
        "--by: there is no measure 'price.mea'; did you mean"
    )
    assert refused(mtl, a, "--baseline", "uniforn").startswith(
        "--baseline: 'uniforn' is neither a group nor the folder"
    )
    assert refused(mtl, a, "--metrics", "f1").startswith("--metrics: no task has the metric 'f1'")
    for other, word in ((b, "tasks"), (c, "metrics"), (d, "splits")):
        assert mtl("compare", a, other, "--allow", word)[0] == 0


def test_formats(mtl: InProcess, tmp_path: Path) -> None:
    paths = make_groups(tmp_path, NONE)
    _, out, err = mtl("compare", *paths)
    Path("table.csv").write_text(out)
    rows = pd.read_csv("table.csv")
    assert list(rows["group"]) == ["gradnorm", "uw", "uniform"] and rows["score"][0] == pytest.approx(0.3546)
    assert "score: no significant difference" in err, "what is to be concluded, for people"
    _, out, _ = mtl("compare", *paths, "--format", "md", "--metrics", "roc_auc")
    assert (
        out.splitlines()[0]
        == "| group | runs | score | test | price.rmse | sold.accuracy | sold.roc_auc | rank | wins | time |"
    )
    _, out, _ = mtl("compare", *paths, "--format", "tex")
    assert "gradnorm & 5 & \\textbf{0.3546 $\\pm$ 0.0053}" in out and "sold.accuracy" in out
    _, out, _ = mtl("compare", *paths, "--format", "table")
    assert out.splitlines()[1].startswith("gradnorm     5  0.3546 ± 0.0053")


def test_figures(mtl: InProcess, tmp_path: Path) -> None:
    paths = make_groups(tmp_path, NONE)
    for path in paths:
        name = "uniform" if "uniform" in path else "gradnorm" if "gradnorm" in path else "uw"
        rows = "".join(f"{e},{9 * e},{1 + (name != 'uniform') * e / 10},1\n" for e in range(1, 4))
        (Path(path) / f"{name}_weights.csv").write_text("epoch,step,weight_price,weight_sold\n" + rows)
    status, _, err = mtl("compare", *paths, "--plots", "drawn")
    assert status == 0, err
    names = {path.name for path in Path("drawn").iterdir()}
    assert names == {"intervals.png", "critical_difference.png", "weights.png", "pareto_price_sold.png"}


def test_who_watched_a_run_makes_no_group(mtl: InProcess, tmp_path: Path) -> None:
    """Nor does it that a run is older than the key."""
    paths = make_groups(tmp_path / "old", {"uniform": [0.3, 0.31]})
    paths += make_groups(
        tmp_path / "told", {"gradnorm": [0.32, 0.33]}, callback={"name": "mlflow", "project": "x"}, device="cpu"
    )
    assert [group["group"] for group in as_json(mtl, *paths)["groups"]] == ["gradnorm", "uniform"]
    again = make_groups(tmp_path / "again", {"uniform": [0.34]}, callback={"name": "none"})
    assert len(as_json(mtl, paths[1], again[0])["groups"]) == 1
