"""`mtl tune`: trials, what a search promises, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mtl_cli.config.assemble import Assembler
from mtl_cli.config.space import Space, read_space
from tests.conftest import MTL, InProcess, houses
from tests.studies.test_sweep import posix, wait_until

optuna = pytest.importorskip("optuna")

SMALL = ("model.trunk.hidden=[8]", "trainer.folds=none", "trainer.baselines=none", "trainer.epochs=5")
SPACE = ("optimizer.lr=log(1e-5,1e-1)", "balancer=choice(uniform,uw)", "tasks.*.weight=log(0.1,10)")
WORDS = ("tune", "dataset=houses.csv", "tasks={price: regression, sold: binary}", *SPACE, *SMALL)


def table(study: str) -> pd.DataFrame:
    return pd.read_csv(Path(study) / "study.csv").drop(columns="seconds")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the houses, and a search of nine trials in ``whole``."""
    from mtl_cli.cli.main import run

    folder = tmp_path_factory.mktemp("searched")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        houses().to_csv("houses.csv", index=False)
        assert run([*WORDS, "trials=9", "run_dir=whole"]) == 0
    return folder


@pytest.fixture
def here(searched: Path, mtl: InProcess, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    """`mtl` in the folder with the houses and the search: a search knows its data by where they are."""
    monkeypatch.chdir(searched)
    return mtl


def test_what_a_search_leaves(here: InProcess) -> None:
    rows = table("whole")
    assert list(rows["trial"]) == list(range(9))
    assert list(rows.columns[1:5]) == ["balancer", "optimizer.lr", "tasks.price.weight", "tasks.sold.weight"]
    first = rows.iloc[0]
    assert (first["balancer"], first["optimizer.lr"], first["tasks.sold.weight"]) == ("uniform", 0.001, 1.0), (
        "the config's own"
    )
    pruned = rows[rows["status"] == "pruned"]
    assert len(pruned) and pruned["score"].isna().all() and set(rows["status"]) == {"done", "pruned"}
    assert pruned["trial"].min() >= 5, "the first are let be"
    for trial, status in zip(rows["trial"], rows["status"], strict=True):
        names = {path.name for path in Path(f"whole/{trial}").iterdir()}
        weights = {name for name in names if name.endswith("_weights.csv")}
        always = {"config.yaml", "log.txt", "mtl_history.csv", "mtl_model.pt", "run.json", "splits.csv"}
        assert names - weights == always | ({"metrics.json"} if status == "done" else set())
        assert json.loads(Path(f"whole/{trial}/run.json").read_text())["status"] == status
    assert not Path("whole/importances.csv").exists(), "too few are done"


def test_the_best_config_trains_to_its_score(here: InProcess) -> None:
    rows = table("whole")
    status, out, err = here("train", "whole/best.yaml", "run_dir=again")
    assert status == 0, err
    assert json.loads(out)["score"] == rows["score"].max(), "to the last digit"
    assert "test" in json.loads(Path("again/metrics.json").read_text())["splits"], "which no trial has"
    assert "test" not in json.loads(Path("whole/0/metrics.json").read_text())["splits"]
    assert Path("again/plots").is_dir(), "as the user would train it"


def test_the_same_command_goes_on(here: InProcess) -> None:
    before = Path("whole/0/mtl_model.pt").stat().st_mtime_ns
    status, out, err = here(*WORDS, "trials=9", "run_dir=whole")
    assert status == 0 and "9 trials, 9 have ended" in err
    assert json.loads(out)["score"] == table("whole")["score"].max()
    assert Path("whole/0/mtl_model.pt").stat().st_mtime_ns == before
    status, _, err = here(*WORDS, "trials=9", "pruner=none", "run_dir=whole")
    assert status == 2 and err.startswith("mtl tune: error: run_dir: whole is the folder of another tune study: ")
    status, _, err = here("train", "-m", "dataset=wine", "seed=0,1", "run_dir=whole")
    assert status == 2 and "whole is the folder of another kind of study, a tune: " in err


@pytest.mark.slow
def test_a_search_that_was_cut_off_comes_to_the_same(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    from mtl_cli.training.trainer import Trainer

    begin, left = Trainer.begin_epoch, [17]

    def counted(self: Trainer, batches: object) -> object:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return begin(self, batches)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "begin_epoch", counted)
        status, out, err = here(*WORDS, "trials=9", "run_dir=cut")
    assert (status, out) == (130, "") and "3 trials have ended; the same command with run_dir=cut goes on" in err
    status, out, err = here(*WORDS, "trials=6", "run_dir=cut")
    assert status == 0, err
    assert "resume: cut/3 goes on after epoch" in Path("cut/3/log.txt").read_text()
    status, out, err = here(*WORDS, "trials=9", "run_dir=cut")
    assert status == 0, err
    pd.testing.assert_frame_equal(table("whole"), table("cut"), check_exact=True)
    assert Path("whole/best.yaml").read_text().replace("whole/", "cut/") == Path("cut/best.yaml").read_text()


def test_test_rows_are_not_looked_at(mtl: InProcess) -> None:
    rows = houses()
    rows["part"] = np.where(rows.index % 4 == 0, "test", np.where(rows.index % 4 == 1, "val", "train"))
    rows.to_csv("houses.csv", index=False)
    garbage, test = rows.copy(), rows["part"] == "test"
    garbage.loc[test, "price"] = np.random.default_rng(0).normal(1e9, 1e9, test.sum()).round()
    garbage.loc[test, "sold"] = np.where(rows.loc[test, "sold"] == "yes", "no", "yes")
    garbage.to_csv("garbage.csv", index=False)
    for name in ("houses", "garbage"):
        words = (
            WORDS[0],
            f"dataset={name}.csv",
            *WORDS[2:],
            "dataset.split.column=part",
            "trials=4",
            f"run_dir={name}",
        )
        status, _, err = mtl(*words)
        assert status == 0, err
    pd.testing.assert_frame_equal(table("houses"), table("garbage"), check_exact=True)
    scores = [json.loads(mtl("train", f"{name}/best.yaml", "plots=false")[1]) for name in ("houses", "garbage")]
    assert scores[0]["score"] == scores[1]["score"] and scores[0]["metrics"] != scores[1]["metrics"]


@pytest.mark.slow
def test_the_front_of_two_tasks(here: InProcess) -> None:
    status, out, err = here(*WORDS, "objective=tasks", "trials=10", "run_dir=front")
    assert status == 0, err
    rows, front = table("front"), pd.read_csv("front/front.csv")
    assert set(rows["status"]) == {"done"}, "nothing is pruned"
    skills = rows[["price.skill", "sold.skill"]].to_numpy()
    beaten = [bool(((skills >= own).all(axis=1) & (skills > own).any(axis=1)).any()) for own in skills]
    assert sorted(front["trial"]) == [i for i, one in enumerate(beaten) if not one]
    line = json.loads(out)
    assert (
        line["score"] == front["score"].max() == json.loads(here("train", "front/best.yaml", "plots=false")[1])["score"]
    )
    assert Path("front/front_price_sold.png").stat().st_size > 10_000
    importances = pd.read_csv("front/importances.csv")
    assert importances.groupby("task")["importance"].sum().to_dict() == pytest.approx({"price": 1, "sold": 1}, abs=1e-4)
    assert "trials that no other beats in every task's skill" in err


def test_values_that_cannot_be_trained_with_cost_their_trial_alone(here: InProcess) -> None:
    words = ("tune", "dataset=houses.csv", "tasks={price: regression}", *SMALL, "optimizer=sgd", "seed=3")
    status, out, err = here(*words, "optimizer.lr=choice(1e-2,1e30)", "trials=5", "run_dir=wild")
    assert status == 0, err
    rows = table("wild")
    failed = rows[rows["status"] == "failed"]
    assert len(failed) and (failed["optimizer.lr"] == 1e30).all() and failed["error"].str.len().min() > 10
    assert json.loads(out)["values"] == {"optimizer.lr": "0.01"}
    status, out, err = here(*words, "optimizer.lr=choice(1e28,1e30)", "trials=9", "run_dir=lost")
    assert (status, out) == (2, "") and "3 trials: 3 failed" in err, "it gives up"


@pytest.mark.slow
def test_launchers(here: InProcess) -> None:
    status, out, err = here(*WORDS, "trials=3", "launcher=processes", "n_jobs=2", "cores=1", "run_dir=two")
    assert status == 0, err
    assert len(table("two")) == 3 and "Traceback" not in err
    assert Path("two/0/run.json").exists() and json.loads(out)["trials"] == 3
    alone = table("whole").iloc[0]
    assert table("two").iloc[0]["score"] == alone["score"], "whichever process trains it"


def test_trials_end_when_the_time_is_over(here: InProcess) -> None:
    status, _, err = here(*WORDS, "budget=0.0001 s", "run_dir=short")
    assert status == 1 and "none has ended" in err


def test_searches_are_listed(here: InProcess) -> None:
    (row,) = json.loads(here("list", "runs", "whole", "kind=tune", "--json")[1])
    done = (table("whole")["status"] == "done").sum()
    assert row["status"] == f"{done} of 9 done" and row["score"] == round(table("whole")["score"].max(), 4)
    assert "weights" in here("list", "spaces")[1]


@pytest.mark.slow
def test_nested_cross_validation(here: InProcess) -> None:
    words = (*WORDS[:3], SPACE[0], *SMALL[:3], "trainer.epochs=2", "outer=3", "trials=2", "run_dir=nested")
    status, out, err = here(*words)
    assert status == 0, err
    line, splits = json.loads(out), [pd.read_csv(f"nested/splits_{k}.csv")["split"] for k in range(3)]
    folds = [set(own.index[own == "test"]) for own in splits]
    own = pd.read_csv("whole/0/splits.csv")["split"]
    assert set.union(*folds) == set(own.index[own != "test"]) and sum(map(len, folds)) == len(set.union(*folds))
    for k in range(3):
        assert set(splits[k].index[splits[k] == "val"]) == folds[(k + 1) % 3]
        searched = pd.read_csv(f"nested/search_{k}/0/splits.csv")["split"]
        assert (searched == splits[k]).all()
        metrics = json.loads(Path(f"nested/search_{k}/0/metrics.json").read_text())
        assert "test" not in metrics["splits"]
        final = json.loads(Path(f"nested/{k}/metrics.json").read_text())
        assert final["splits"]["test"]["score"] == line["folds"][k] and final["splits"]["test"]["rows"] == len(folds[k])
    assert line["low"] < line["score"] < line["high"] and line["score"] == pytest.approx(np.mean(line["folds"]))
    rows = pd.read_csv("nested/study.csv")
    assert list(rows["fold"]) == [1, 2, 3] and {"optimizer.lr", "test_score"} <= set(rows)
    assert here(*words)[1] == out, "again, nothing is trained"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            (),
            "space: is empty: no key is varied; optimizer.lr='log(1e-4,1e-1)', balancer='choice(uniform,gradnorm)', or tune=NAME",
        ),
        (("tune=nope",), "tune: there is no 'nope'; choose from "),
        (("trials=0", SPACE[0]), "trials: must be a whole number from 1 on, not '0'"),
        (("budget=soon", SPACE[0]), "budget: must be a time, not 'soon'; budget='30 minutes', or trials=50"),
        (("outer=2", SPACE[0]), "outer: must be a whole number from 3 on, not '2'"),
        (("objective=both", SPACE[0]), "objective: there is no 'both'; choose from score, tasks"),
        (("-m", SPACE[0]), "-m: is for mtl train: a search has its own trials; leave it out"),
        (("resume=x", SPACE[0]), "resume: is for mtl train; run_dir=STUDY goes on with a study"),
        (
            ("tasks={pH: regression}", "objective=tasks", SPACE[0]),
            "objective: there is one task that counts, pH: a front",
        ),
        (("run_dir=full", SPACE[0]), "run_dir: full already exists; give another folder"),
    ],
)
def test_bad_input_is_one_line(mtl: InProcess, words: tuple[str, ...], line: str) -> None:
    Path("full").mkdir()
    Path("full/x").touch()
    status, out, err = mtl("tune", "dataset=wine", *words)
    assert (status, out, err.count("\n")) == (2, "", 1) and err.startswith(f"mtl tune: error: {line}")
    assert [path.name for path in Path.cwd().iterdir()] == ["full"]


def test_keys_of_a_search_are_for_searches(mtl: InProcess) -> None:
    status, _, err = mtl("train", "dataset=wine", "tune=weights", "trials=3")
    what = "is for a search; mtl tune --help says how to begin one"
    assert status == 2 and err.splitlines() == [f"mtl train: error: {key}: {what}" for key in ("tune", "trials")]


def test_without_optuna(mtl: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)  # as Python says that there is none
    status, out, err = mtl("tune", "dataset=wine", SPACE[0])
    line = "a search needs this package, which is not installed; pip install 'mtl-cli[tune]'"
    assert (status, out, err) == (2, "", f"mtl tune: error: optuna: {line}\n")


def test_completion(mtl: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(line: str) -> list[str]:
        monkeypatch.setenv("COMP_LINE", line)
        return mtl("-sc", "query=bash")[1].split()

    assert answers("mtl tune objective=") == ["objective=score", "objective=tasks"]
    assert answers("mtl tune tune=w") == ["tune=weights"]
    assert answers("mtl tune trials=3 balancer=choice(uniform,gradn") == ["balancer=choice(uniform,gradnorm"]
    assert {"trials=", "tasks="} <= set(answers("mtl tune t")) and "n_jobs=" in answers("mtl tune n")
    assert "tune=" not in answers("mtl train t")


class Folder:
    """The folder of a search, without trials."""

    def __init__(self, path: Path, *more: str) -> None:
        self.path = path
        path.mkdir(exist_ok=True)
        (path / "study.yaml").touch()
        self.space: Space = read_space(["dataset=wine", "optimizer.lr=log(1e-4,1e-1)", *more], Assembler())

    def open(self) -> Any:
        from mtl_cli.studies.journal import Journal

        return Journal(self.path, self.space, 1, "tpe", 0)


def test_a_trial_belongs_to_one_process_until_that_is_gone(tmp_path: Path) -> None:
    from mtl_cli.studies.journal import Journal

    folder = Folder(tmp_path)
    one, other = folder.open(), folder.open()
    assert isinstance(one, Journal) and isinstance(other, Journal)
    first, second = one.claim(3), other.claim(3)
    assert first is not None and second is not None and (first.number, second.number) == (0, 1)
    assert first.values == {"optimizer.lr": "0.001"} != second.values
    other.close()
    taken = one.claim(3)
    assert taken == second, "with the values that it had"
    third = one.claim(3)
    assert third is not None and third.number == 2 and one.claim(3) is None, "so many, and no more"
    one.tell(0, [0.1])
    one.tell_pruned(1, "too bad")
    one.tell_failed(2, "a worker was killed")
    assert [trial.state.name for trial in one.trials] == ["COMPLETE", "PRUNED", "FAIL"] and one.others() == 0
    one.close()


@posix
def test_a_trial_whose_process_ended_between_two_parameters_gets_the_values_that_it_would_have_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optuna.trial import Trial

    from mtl_cli.studies.journal import Journal

    more = ("model.trunk.dropout=uniform(0,0.5)", "optimizer.weight_decay=log(1e-6,1e-2)")
    whole, cut = (Folder(tmp_path / name, *more) for name in ("whole", "cut"))
    journals = whole.open(), cut.open()
    for journal in journals:
        assert isinstance(journal, Journal) and journal.claim(2) is not None
        journal.tell(0, [0.1])
    suggest, drawn = Trial.suggest_float, list[float]()

    def ends(self: Trial, *given: Any, **keys: Any) -> float:
        if len(drawn) == 2:
            raise SystemExit
        drawn.append(suggest(self, *given, **keys))
        return drawn[-1]

    with monkeypatch.context() as patch:
        patch.setattr(Trial, "suggest_float", ends)
        with pytest.raises(SystemExit):
            journals[1].claim(2)
    journals[1].close()
    expected, found = journals[0].claim(2), cut.open().claim(2)
    assert found == expected and found.number == 1 and len(found.values) == 3


def test_a_line_that_was_cut_off_is_mended(tmp_path: Path) -> None:
    from mtl_cli.studies.journal import JOURNAL, Journal

    folder = Folder(tmp_path)
    first = folder.open()
    assert isinstance(first, Journal)
    first.claim(2)
    first.close()
    with (tmp_path / JOURNAL).open("a") as file:
        file.write('{"op_code":4,"worker')
    again = folder.open()
    assert isinstance(again, Journal) and [trial.number for trial in again.trials] == [0]
    claimed = again.claim(2)
    assert claimed is not None and claimed.number == 0
    again.close()


def command(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen([MTL, *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@posix
def test_eight_trials_killed_and_resumed(tmp_path: Path) -> None:
    words = ("tune", "dataset=wine", *SPACE, *SMALL, "trials=8")
    whole = command(tmp_path, *words, "run_dir=whole")
    out, err = whole.communicate(timeout=600)
    assert whole.returncode == 0, err
    for seen in (2, 5):
        process = command(tmp_path, *words, "run_dir=cut")
        wait_until(lambda seen=seen: (tmp_path / f"cut/{seen}/mtl_history.csv").exists(), 300)  # type: ignore[misc]
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    again = command(tmp_path, *words, "run_dir=cut")
    resumed, err = again.communicate(timeout=600)
    assert again.returncode == 0, err
    assert resumed.replace("cut", "whole") == out
    tables = [pd.read_csv(tmp_path / name / "study.csv").drop(columns="seconds") for name in ("whole", "cut")]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert len(tables[0]) == 8


@pytest.mark.slow
@posix
def test_two_processes_on_one_search_and_one_is_killed(tmp_path: Path) -> None:
    words = ("tune", "dataset=wine", *SPACE, *SMALL, "trials=16", "run_dir=shared")
    one, other = (command(tmp_path, *words) for _ in range(2))
    wait_until(lambda: (tmp_path / "shared/6/mtl_history.csv").exists(), 300)
    os.kill(one.pid, signal.SIGKILL)
    one.communicate()
    out, err = other.communicate(timeout=600)
    assert other.returncode == 0, err
    rows = pd.read_csv(tmp_path / "shared/study.csv")
    assert list(rows["trial"]) == list(range(16)) and set(rows["status"]) == {"done", "pruned"}
    assert json.loads(out)["score"] == rows["score"].max()


def test_keys_are_shown_by_the_ends_that_tell_them_apart() -> None:
    from mtl_cli.studies.search import settings_text

    settings = {"optimizer.lr": "0.1", "model.trunk.dropout": "0.2", "tasks.a.weight": "3", "model.head.dropout": "0"}
    assert settings_text(settings) == "lr=0.1 trunk.dropout=0.2 a.weight=3 head.dropout=0"
