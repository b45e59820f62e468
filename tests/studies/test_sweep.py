"""Sweeps as a user starts them: folders, lines, exit codes, processes, signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import MTL, Command, InProcess

QUICK = ("trainer.epochs=1", "plots=false", "model.trunk.hidden=[8]")


def test_processes_make_the_runs_that_one_process_makes(command: Command, tmp_path: Path) -> None:
    words = ("train", "-m", "dataset=wine", "balancer=uniform,gradnorm", "seed=0,1", *QUICK)
    here = command(*words, "run_dir=here")
    there = command(*words, "run_dir=there", "launcher=processes", "n_jobs=2")
    assert (here.returncode, there.returncode) == (0, 0), there.stderr
    assert here.stdout.replace("here/", "there/") == there.stdout, "the lines, and their order"
    assert "Traceback" not in there.stderr
    for i in range(4):
        one, other = (tmp_path / name / str(i) for name in ("here", "there"))
        assert sorted(p.name for p in one.iterdir()) == sorted(p.name for p in other.iterdir())
        assert (one / "predictions.csv").read_bytes() == (other / "predictions.csv").read_bytes()
    record = json.loads((tmp_path / "there" / "3" / "run.json").read_text())
    assert record["command"] == ["mtl", "train", "dataset=wine", "balancer=gradnorm", "seed=1", *QUICK]


@pytest.mark.parametrize("launcher", [(), ("launcher=processes", "n_jobs=2")])
def test_a_failed_job_stops_no_other(mtl: InProcess, launcher: tuple[str, ...]) -> None:
    Path("bad.csv").write_text("sold,x\n" + "".join(f"yes,{i}\n" for i in range(30)))
    pd.DataFrame({"sold": ["yes", "no"] * 30, "x": range(60)}).to_csv("good.csv", index=False)
    words = ("train", "-m", "dataset=bad.csv,good.csv", "tasks={sold: binary}", *QUICK, *launcher, "run_dir=swept")
    status, out, _ = mtl(*words)
    assert status == 2, "all failures are the user's"
    failed, done = (json.loads(line) for line in out.splitlines())
    assert (failed["status"], failed["run_dir"]) == ("failed", None)
    assert failed["error"] == ["tasks.sold: has one class only, 'yes'; a task needs at least two"]
    assert failed["overrides"][0] == "dataset=bad.csv"
    assert (done["status"], done["run_dir"]) == ("done", "swept/1")
    assert [path.name for path in Path("swept").iterdir()] == ["1"]


def test_a_sweep_of_which_nothing_is_left_leaves_no_folder(mtl: InProcess) -> None:
    Path("bad.csv").write_text("sold,x\n" + "".join(f"yes,{i}\n" for i in range(30)))
    status, out, _ = mtl("train", "-m", "dataset=bad.csv", "tasks={sold: binary}", "seed=0,1", *QUICK, "run_dir=swept")
    assert (status, out.count("\n")) == (2, 2)
    assert [path.name for path in Path.cwd().iterdir()] == ["bad.csv"]


def test_the_folder_of_a_sweep_may_stand_in_a_file_or_have_a_space(mtl: InProcess) -> None:
    Path("mine.yaml").write_text(
        "dataset: {kind: csv, path: builtin:winequality-red.csv, separator: ;}\ntasks: {pH: regression}\nrun_dir: swept\n"
    )
    assert mtl("train", "-m", "mine.yaml", "seed=0,1", *QUICK)[0] == 0
    assert sorted(path.name for path in Path("swept").iterdir()) == ["0", "1"]
    assert mtl("train", "-m", "mine.yaml", "seed=range(2)", *QUICK, "run_dir='a b'")[0] == 0
    assert sorted(path.name for path in Path("a b").iterdir()) == ["0", "1"]


WRONG = {
    "the last job": (["seed=0,1,x"], ["seed: must be a whole number, not 'x'"]),
    "a combination of two keys": (
        ["balancer=gradnorm,uniform", "model.trunk.hidden=[8],[]"],
        ["model.trunk.hidden: is empty: balancer=gradnorm needs a shared layer"],
    ),
    "each problem once": (["seed=0,1", "trainer.lrr=1", "device=gpu"], ["device: cannot be 'gpu'", "trainer.lrr: unknown key"]),
    "a name in a list": (["balancer=uniform,nope"], ["balancer: there is no 'nope'"]),
    "a launcher": (["seed=0,1", "launcher=ray"], ["launcher: there is no 'ray'; choose from here, processes"]),
    "a number of jobs": (["seed=0,1", "n_jobs=two"], ["n_jobs: must be a whole number above 0, not 'two'"]),
    "jobs of one process": (["seed=0,1", "launcher=here", "n_jobs=2"], ["n_jobs: is for jobs in processes of their own"]),
    "a launcher twice": (["launcher=here", "launcher=processes"], ["launcher: is set twice, to here and to processes"]),
    "a folder in use": (["seed=0,1", "run_dir=full"], ["run_dir: full is there already"]),
}  # fmt: skip


@pytest.mark.parametrize(("words", "lines"), WRONG.values(), ids=WRONG)
def test_nothing_starts_if_any_job_is_wrong(mtl: InProcess, words: list[str], lines: list[str]) -> None:
    Path("full").mkdir()
    Path("full/x").touch()
    status, out, err = mtl("train", "-m", "dataset=wine", *words, "plots=false")
    assert (status, out) == (2, "")
    found = sorted(line.removeprefix("mtl train: error: ") for line in err.splitlines())
    assert len(found) == len(lines), err
    assert all(line.startswith(start) for line, start in zip(found, lines, strict=True)), err
    assert [path.name for path in Path.cwd().iterdir()] == ["full"]


def test_words_for_sweeps_are_for_sweeps(mtl: InProcess) -> None:
    status, _, err = mtl("train", "dataset=wine", "launcher=processes", "n_jobs=2")
    assert status == 2
    what = "is for a sweep; add -m to run every combination of values"
    assert err.splitlines() == [f"mtl train: error: {key}: {what}" for key in ("launcher", "n_jobs")]


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(
    ("number", "status", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_signals_end_the_jobs_in_processes(tmp_path: Path, number: signal.Signals, status: int, word: str) -> None:
    words = [
        "train", "-m", "dataset=wine", "seed=0,1,2,3", "trainer.epochs=100000", "trainer.early_stopping=null",
        "plots=false", "run_dir=swept", "n_jobs=2",
    ]  # fmt: skip
    process = subprocess.Popen([MTL, *words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 100
    histories = [tmp_path / "swept" / str(i) / "mtl_history.csv" for i in range(2)]
    while not all(file.exists() and file.read_text().count("\n") > 3 for file in histories):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (status, "")
    assert "Traceback" not in err
    records = {file.parent.name: json.loads(file.read_text())["status"] for file in tmp_path.glob("swept/*/run.json")}
    assert records == {"0": word, "1": word}, "no other job began"
