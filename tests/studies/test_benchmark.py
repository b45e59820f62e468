"""`mtl benchmark`: protocols, the choice on validation rows, runs that are resumed, and what a reference is checked for."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mtl_cli.config.assemble import Assembler
from mtl_cli.studies.benchmark import plan
from mtl_cli.studies.overview import overview, sentences
from mtl_cli.studies.protocol import (
    Wanted,
    adapted,
    header,
    names,
    read_protocol,
    reference_file,
    static_weights,
    wanted,
)
from mtl_cli.studies.reference import outside, read_reference
from mtl_cli.studies.results import Result
from mtl_cli.studies.selection import choose
from mtl_cli.studies.standings import records, stand
from tests.conftest import InProcess
from tests.studies.made import make_run

TINY = ["balancer=uniform,uw", "seed=0,1", "optimizer.lr=0.01", "trainer.epochs=1", "dataset.rows=40"]
HEAD = ("Question:", "Data:", "Split:", "Search:", "Budget:")


@pytest.fixture(scope="module")
def assembler() -> Assembler:
    """One for all tests: it keeps what it composed."""
    return Assembler()


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("small", [False, True])
def test_every_protocol_says_what_it_does_and_its_runs_have_right_configs(
    name: str, small: bool, assembler: Assembler
) -> None:
    lines = header(name)
    assert lines[0] == f"mtl benchmark {name}" and lines[1].endswith("?") and len(lines[1]) < 100
    assert [word for word in HEAD if not any(line.startswith(word) for line in lines)] == []
    whole = read_protocol(name, small)
    few = ["balancer=mgda"] if whole.methods == [["balancer=glob(*)"]] else []
    protocol = adapted(replace(whole, weights=whole.weights and 4), [*few, "seed=0", "optimizer.lr=0.01"])
    for problem in protocol.problems:
        if (name, problem) == ("tables", "own"):
            protocol = adapted(protocol, ["dataset=wine"])
        runs, jobs = plan(protocol, problem, assembler)
        settings = [tuple(job.settings.items()) for job in jobs]
        assert len(set(settings)) == len(runs) > 0
        assert all(job.plain["seed"] == 0 for job in jobs)


def test_all_methods_are_searched_alike_and_the_plain_sum_is_one_of_them() -> None:
    protocol = adapted(read_protocol("balancers"), ["seed=0"])
    runs = wanted(protocol, "conflict", 4, Assembler().folders)
    searched: dict[str, set[tuple[tuple[str, str], ...]]] = {}
    for run in runs:
        searched.setdefault(run.method["balancer"], set()).add(tuple(run.search.items()))
    assert len(searched) >= 28 and "uniform" in searched
    assert len(set(map(frozenset, searched.values()))) == 1
    assert len(searched["uniform"]) == 6, "the problem sets dropout itself"


def test_static_weights_are_swept_over_the_simplex() -> None:
    ((balancer, text),) = static_weights(5, 3)
    lists = json.loads(f"[{text.partition('=')[2]}]")
    assert balancer == "balancer=static" and len(lists) == 6
    assert all(sum(weights) == pytest.approx(3) and min(weights) > 0 for weights in lists)
    assert static_weights(None, 3) == []


def test_words_of_the_user_take_the_place_of_those_of_the_protocol() -> None:
    protocol = adapted(
        read_protocol("front", True), ["balancer=uniform", "dataset.rows=50", "trainer.epochs=2", "device=cpu"]
    )
    assert protocol.methods == [["balancer=uniform"]]
    assert "trainer.epochs=2" in protocol.train and "device=cpu" in protocol.train
    assert not any(word.startswith("dataset.rows") for own in protocol.problems.values() for word in own)


def made(folder: Path, scores: dict[tuple[str, str], list[float]]) -> list[tuple[Wanted, Result]]:
    """Runs by balancer and learning rate, a score on validation rows for each seed; on test rows lr=2 is better."""
    found = []
    for (balancer, rate), own in scores.items():
        for seed, score in enumerate(own):
            path = folder / f"{balancer}_{rate}_{seed}"
            tasks: dict[str, Any] = {"y": {"skill": float(rate) / 10 + seed / 100}}
            make_run(path, tasks=tasks, score=score, seed=seed, balancer=balancer)
            metrics = json.loads((path / "metrics.json").read_text())
            metrics["splits"]["test"]["score"] = tasks["y"]["skill"]
            (path / "metrics.json").write_text(json.dumps(metrics))
            settings = {"balancer": balancer, "lr": rate, "seed": str(seed)}
            one = Wanted([], {"balancer": balancer}, {"lr": rate}, {"seed": str(seed)})
            found.append((one, Result(path, settings)))
    return found


def test_the_choice_is_made_on_validation_rows_and_the_figure_is_of_test_rows(tmp_path: Path) -> None:
    runs = made(
        tmp_path,
        {("uniform", "1"): [0.5, 0.4], ("uniform", "2"): [0.6, 0.2], ("uw", "1"): [0.1, 0.1], ("uw", "2"): [0.2, 0.2]},
    )
    uniform, uw = choose(runs)
    assert (uniform.label, uniform.search) == ("uniform", {"lr": "1"}), "though lr=2 is better on test rows"
    assert (uw.label, uw.search) == ("uw", {"lr": "2"})
    protocol = read_protocol("balancers", True)
    found = stand(protocol, "wine", [uniform, uw])
    every = records(found, protocol, "small")
    rows = {row["method"]: row for row in every}
    assert rows["uniform"]["value"] == pytest.approx(0.105) and rows["uw"]["value"] == pytest.approx(0.205)
    assert rows["uw"]["lead"] == pytest.approx(0.1) and rows["uw"]["told"]
    assert overview(every)[0]["wine"].endswith("↑")
    assert sentences(every, "uniform") == ["wine: better than uniform: uw"]


def test_a_point_at_which_a_run_failed_is_out_of_the_search(tmp_path: Path) -> None:
    runs = made(tmp_path, {("uniform", "1"): [0.5, 0.4], ("uniform", "2"): [0.9, 0.9]})
    (tmp_path / "uniform_2_1" / "run.json").write_text('{"status": "failed"}')
    (chosen,) = choose([(one, Result(result.path, result.settings)) for one, result in runs])
    assert chosen.search == {"lr": "1"} and len(chosen.results) == 2


def test_a_benchmark_runs_what_is_missing_and_is_checked_against_a_reference(mtl: InProcess, tmp_path: Path) -> None:
    words = ["balancers", "conflict", "--small", *TINY, "run_dir=bench"]
    status, out, err = mtl("benchmark", *words, "--format", "csv")
    assert status == 0, err
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["problem"] for row in rows] == ["conflict"] * 2 and {row["method"] for row in rows} == {"uniform", "uw"}
    assert (
        "study of 4 jobs in bench/conflict: all to run" in err
        and "conflict: no significant difference from uniform" in err
    )
    assert json.loads((tmp_path / "bench/conflict/0/metrics.json").read_text())["splits"]["test"]["rows"] == 2000

    (tmp_path / "bench/conflict/3/run.json").unlink()  # as if it had been killed there
    (tmp_path / "reference.csv").write_text(out)
    status, again, err = mtl("benchmark", *words, "--format", "csv", "--check", "reference.csv")
    assert (status, again) == (0, out), err
    assert "3 are done, 1 to run" in err and "check: 2 of 2 figures are what the reference says" in err
    status, out, _ = mtl("benchmark", *words, "--format", "md")
    assert status == 0 and out.startswith("| method | rank | conflict |\n| --- |")
    assert "studies" not in out and mtl("list", "runs", "bench")[1].count("benchmark") == 1


def test_a_figure_outside_its_tolerance_is_named() -> None:
    reference = [
        {"problem": "wine", "method": name, "value": 0.5, "tolerance": 0.02} for name in ("uniform", "uw", "mgda")
    ]
    found = outside(
        reference,
        [{"problem": "wine", "method": "uniform", "value": 0.51}, {"problem": "wine", "method": "uw", "value": 0.53}],
    )
    assert [one.method for one in found] == ["uw", "mgda"]
    assert str(found[0]) == "wine, uw: 0.5300, where the reference has 0.5000 ± 0.0200"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["balncers"], "balncers: there is no such benchmark; did you mean balancers?"),
        (["balancers", "wein"], "wein: is not a problem of the benchmark; did you mean wine?"),
        (["balancers", "--check", "--small", "seed=0"], "seed=0: changes the figures, so that they cannot be compared with the reference's"),
        (["balancers", "wine", "--check", "none.csv"], "--check: there is no reference none.csv"),
        (["balancers", "wine", "launcher=procesess"], "launcher: there is no 'procesess'; did you mean launcher=processes?"),
        (["balancers", "conflict", "--small", "balancer=unifrom"], "did you mean balancer=uniform?"),
        (["balancers", "conflict", "--small", "seed=0", "optimizer.lr=0.01", "run_dir=run"], "run: "),
        (["tables", "own", "--small"], "dataset: needs a value"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(mtl: InProcess, tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").touch()
    status, out, err = mtl("benchmark", *words)
    assert (status, out) == (2, "") and len(err.splitlines()) == 1, err
    assert said in err or words[-1] == "run_dir=run"


def test_the_references_are_of_problems_and_methods_that_there_are() -> None:
    for name in names():
        file = reference_file(name)
        for small in (True, False):
            budget, protocol = "small" if small else "full", read_protocol(name, small)
            if file.is_file() and f"\n{budget}," in file.read_text():
                rows = read_reference(file, budget, protocol.problems)
                assert {row["problem"].partition(".")[0] for row in rows} <= set(protocol.problems)
                assert all(0 < row["tolerance"] < 1 for row in rows)


def test_benchmarks_are_listed_and_chosen_by_no_run(mtl: InProcess) -> None:
    status, out, _ = mtl("list", "benchmarks")
    assert status == 0
    assert all(f"\n{name}" in out for name in names()) and "Does a balancer beat the plain sum" in out
    status, _, err = mtl("train", "dataset=wine", "benchmark=balancers")
    assert status == 2 and "benchmark: " in err
    assert mtl("benchmark", "front", "--show")[1].startswith("mtl benchmark front\nDoes a balancer reach")


@pytest.mark.slow
def test_check_exits_3_when_a_figure_has_changed(mtl: InProcess, tmp_path: Path) -> None:
    words = ["front", "bottleneck", "--small", "balancer=uniform,mgda", "seed=0", "run_dir=bench"]
    status, out, err = mtl("benchmark", *words, "--format", "csv")
    assert status == 0, err
    value = {row["method"]: float(row["value"]) for row in csv.DictReader(io.StringIO(out))}
    assert value["mgda"] < value["uniform"] - 0.05 < 0, "in the middle, which sums do not reach"
    (tmp_path / "same.csv").write_text(out)
    assert mtl("benchmark", *words, "--check", "same.csv")[0] == 0
    (tmp_path / "other.csv").write_text(out.replace(f",{value['mgda']}", f",{value['mgda'] + 0.5}", 1))
    status, _, err = mtl("benchmark", *words, "--check", "other.csv")
    assert status == 3 and "outside: bottleneck, mgda: " in err
