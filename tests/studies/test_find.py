"""`mtl list runs`: runs and studies below a folder, sorted and filtered."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import InProcess
from tests.studies.made import make_run
from tests.studies.test_sweep import QUICK

TASK = {"price": {"rmse": 1.0}}


def names(mtl: InProcess, *words: str) -> list[str]:
    status, out, err = mtl("list", "runs", *words, "--json")
    assert status == 0, err
    return [row["name"] for row in json.loads(out)]


def test_sorted_and_filtered(mtl: InProcess) -> None:
    make_run(Path("all/a"), tasks=TASK, score=0.1, seconds=9)
    make_run(Path("all/b/c"), tasks=TASK, score=0.3, balancer="gradnorm", seconds=1)
    make_run(Path("all/d"), tasks=TASK, score=None, status="failed", seconds=5)
    assert names(mtl, "all", "--sort", "score") == ["all/b/c", "all/a", "all/d"]
    assert names(mtl, "all", "--sort", "seconds") == ["all/b/c", "all/d", "all/a"]
    assert names(mtl, "all", "status=failed") == ["all/d"]
    assert names(mtl, "all", "balancer=gradnorm") == ["all/b/c"] == names(mtl, "all", "balancer.alpha=1.5")
    assert names(mtl, "all", "seed=7") == []
    assert names(mtl, "all/a") == ["all/a"]
    assert mtl("list", "runs", "all", "seed=7") == (0, "", "no runs or studies there\n")


def test_a_study_is_a_row_of_its_own(mtl: InProcess) -> None:
    assert mtl("train", "-m", "dataset=wine", "seed=0,1", *QUICK)[0] == 0
    status, out, _ = mtl("list", "runs", "--sort", "name")
    head, study, *runs = (line.split() for line in out.splitlines())
    assert status == 0 and head[:3] == ["name", "kind", "began"] and len(runs) == 2
    assert study[1] == "sweep" and study[4:7] == ["2", "of", "2"]


def test_what_cannot_be_listed(mtl: InProcess) -> None:
    for words, line in {
        ("runs",): "outputs: there is no such folder; give the folder that runs are in",
        ("runs", ".", "x"): "x: is a second folder; mtl list runs takes one",
        ("runs", ".", "--sort", "scor"): "--sort: there is no column 'scor'; did you mean score?",
        ("balancers", "gradnorm"): "gradnorm: is for mtl list runs",
    }.items():
        assert mtl("list", *words) == (2, "", f"mtl list: error: {line}\n")
