"""Sweeps as a user starts them: folders, lines, exit codes, processes, signals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import MTL, InProcess

QUICK = ("trainer.epochs=1", "plots=false", "model.trunk.hidden=[8]", "trainer.folds=none", "trainer.baselines=none")


@pytest.mark.slow
def test_processes_make_the_runs_that_one_process_makes(mtl: InProcess, tmp_path: Path) -> None:
    words = ("train", "-m", "dataset=wine", "balancer=uniform,gradnorm", "seed=0,1", *QUICK)
    status, here, _ = mtl(*words, "run_dir=here")
    assert status == 0
    status, there, told = mtl(*words, "run_dir=there", "launcher=processes", "n_jobs=2")
    assert status == 0, told
    assert here.replace("here/", "there/") == there, "the lines, and their order"
    tables = [pd.read_csv(f"{name}/study.csv").drop(columns="seconds") for name in ("here", "there")]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert "Traceback" not in told
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
    status, out, err = mtl(*words)
    assert status == 2, "all failures are the user's"
    failed, done = (json.loads(line) for line in out.splitlines())
    assert (failed["status"], failed["run_dir"]) == ("failed", "swept/0")
    assert failed["error"] == ["tasks.sold: has one class only, 'yes'; a task needs at least two"]
    assert failed["overrides"][0] == "dataset=bad.csv"
    assert (done["status"], done["run_dir"]) == ("done", "swept/1")
    assert [path.name for path in Path("swept/0").iterdir()] == ["log.txt"]
    assert "error: tasks.sold: has one class only" in Path("swept/0/log.txt").read_text()
    assert "training 1 task" in Path("swept/1/log.txt").read_text(), "all that the job told"
    assert "training" not in err
    assert re.search("[12]/2  dataset=bad.csv  failed: tasks.sold: has one class only", err)
    rows = pd.read_csv("swept/study.csv")
    assert list(rows["status"]) == ["failed", "done"] and list(rows["dataset"]) == ["bad.csv", "good.csv"]
    assert rows["error"][0].startswith("tasks.sold: has one class only") and rows["sold.accuracy"][1] > 0


def test_the_folder_of_a_sweep_may_stand_in_a_file_or_have_a_space(mtl: InProcess) -> None:
    Path("mine.yaml").write_text(
        "dataset: {kind: csv, path: builtin:winequality-red.csv, separator: ;}\ntasks: {pH: regression}\nrun_dir: swept\n"
    )
    assert mtl("train", "-m", "mine.yaml", "seed=0,1", *QUICK)[0] == 0
    assert sorted(path.name for path in Path("swept").iterdir()) == ["0", "1", "study.csv", "study.yaml"]
    assert mtl("train", "-m", "mine.yaml", "seed=range(2)", *QUICK, "run_dir='a b'")[0] == 0
    assert sorted(path.name for path in Path("a b").iterdir()) == ["0", "1", "study.csv", "study.yaml"]


WRONG = {
    "the last job": (["seed=0,1,x"], ["seed: must be a whole number, not 'x'"]),
    "a combination of two keys": (
        ["balancer=gradnorm,uniform", "model.trunk.hidden=[8],[]"],
        ["model.trunk.hidden: is empty: balancer=gradnorm needs a shared layer (with balancer=gradnorm model.trunk.hidden=[]);"],
    ),
    "a value whatever the others are": (["seed=0,1", "balancer=uniform,gradnorm", "trainer.epochs=1,0"], ["trainer.epochs: must be above 0, not 0"]),
    "one key of several for its own value": (["seed=0,1", "balancer=gradnorm,rlw", "+balancer.alpha=2"], ["balancer.alpha: unknown key (with balancer=rlw)"]),
    "each problem once": (["seed=0,1", "trainer.lrr=1", "device=gpu"], ["device: cannot be 'gpu'", "trainer.lrr: unknown key"]),
    "a name in a list": (["balancer=uniform,nope"], ["balancer: there is no 'nope'"]),
    "a launcher": (["seed=0,1", "launcher=rya"], ["launcher: there is no 'rya'; did you mean launcher=ray?"]),
    "a size": (["seed=0,1", "n_jobs=2", "memory=4XB"], ["memory: must be a size, not '4XB'; such as 4GB or 500MB"]),
    "minutes of a process": (["seed=0,1", "n_jobs=2", "minutes=3"], ["minutes: is for jobs in processes of their own; launcher=slurm"]),
    "one value twice": (["seed=0,1,0"], ["seed: has the value 0 twice"]),
    "a number of jobs": (["seed=0,1", "n_jobs=two"], ["n_jobs: must be a whole number above 0, not 'two'"]),
    "jobs of one process": (["seed=0,1", "launcher=here", "n_jobs=2"], ["n_jobs: is for jobs in processes of their own"]),
    "a launcher twice": (["launcher=here", "launcher=processes"], ["launcher: is set twice, to here and to processes"]),
    "a folder in use": (["seed=0,1", "run_dir=full"], ["run_dir: full already exists"]),
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


LONG = ("trainer.epochs=100000", "trainer.early_stopping=null", "plots=false", "run_dir=swept", "n_jobs=2")
posix = pytest.mark.skipif(os.name != "posix", reason="signals")
linux = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds workers in /proc")


def start(
    folder: Path, *words: str, own: tuple[str, ...] = LONG, before: tuple[str, ...] = ()
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*before, MTL, "train", "-m", "dataset=wine", *words, *own],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_until(true: Callable[[], bool], seconds: float = 100) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def trains(folder: Path, job: int) -> bool:
    file = folder / "swept" / str(job) / "mtl_history.csv"
    return file.exists() and file.read_text().count("\n") > 3


def statuses(folder: Path) -> dict[str, str]:
    return {file.parent.name: json.loads(file.read_text())["status"] for file in folder.glob("swept/*/run.json")}


def workers(folder: Path) -> list[int]:
    """Return the processes that run jobs in this folder: those forked from one that bears the same command."""
    parents = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder and b"forkserver" in (process / "cmdline").read_bytes():
                parents[int(process.name)] = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it ended, or is not ours
            continue
    return sorted(process for process, parent in parents.items() if parent in parents)


@posix
@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGHUP, 143, "terminated")],
)
def test_signals_end_the_jobs_in_processes(tmp_path: Path, number: signal.Signals, status: int, word: str) -> None:
    """``test_nohup_is_heeded`` has SIGTERM."""
    process = start(tmp_path, "seed=0,1,2,3")
    wait_until(lambda: trains(tmp_path, 0) and trains(tmp_path, 1))
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (status, "")
    assert "Traceback" not in err and "0 of 4 jobs have ended" in err
    assert statuses(tmp_path) == {"0": word, "1": word}, "no other job began"


@pytest.mark.slow
@linux
def test_a_process_that_is_killed_costs_its_own_job_one_try(tmp_path: Path) -> None:
    process = start(tmp_path, "trainer.epochs=100000,3", own=LONG[1:])
    wait_until(lambda: trains(tmp_path, 0))
    wait_until(lambda: statuses(tmp_path).get("1") == "done")
    for _ in range(2):
        wait_until(lambda: len(workers(tmp_path)) == 1 and trains(tmp_path, 0))
        os.kill(workers(tmp_path)[0], signal.SIGKILL)
        (tmp_path / "swept/0/mtl_history.csv").unlink()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    failed, done = (json.loads(line) for line in out.splitlines())
    assert (done["status"], done["run_dir"], failed["run_dir"]) == ("done", "swept/1", "swept/0")
    killed = "its process was killed by SIGKILL; perhaps memory ran out"
    assert failed["error"] == [f"{killed}, and when it was tried again, {killed}"]
    assert (tmp_path / "swept/0/log.txt").read_text().count("mtl train dataset=wine") == 2
    assert "Traceback" not in err


@pytest.mark.slow
@linux
def test_jobs_end_with_a_command_that_is_killed(tmp_path: Path) -> None:
    process = start(tmp_path, "seed=0,1,2")
    wait_until(lambda: trains(tmp_path, 0) and trains(tmp_path, 1))
    assert len(workers(tmp_path)) == 2
    process.kill()
    process.wait()
    wait_until(lambda: not workers(tmp_path), 30)
    assert statuses(tmp_path) == {"0": "terminated", "1": "terminated"}
    process.communicate()


@pytest.mark.slow
@posix
def test_nohup_is_heeded(tmp_path: Path) -> None:
    """And SIGTERM ends the jobs."""
    process = start(tmp_path, "seed=0,1,2,3", before=("nohup",))
    wait_until(lambda: trains(tmp_path, 0) and trains(tmp_path, 1))
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=2)
    process.terminate()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (143, "")
    assert "Traceback" not in err and "0 of 4 jobs have ended" in err
    assert statuses(tmp_path) == {"0": "terminated", "1": "terminated"}, "no other job began"


@pytest.mark.slow
def test_a_study_that_was_killed_goes_on(mtl: InProcess, tmp_path: Path) -> None:
    words = ("train", "-m", "dataset=wine", "balancer=uniform,gradnorm", "seed=0,1", *QUICK)
    status, whole, _ = mtl(*words, "run_dir=whole")
    assert status == 0
    process = subprocess.Popen(
        [MTL, *words, "run_dir=cut"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_until(lambda: (tmp_path / "cut/2/config.yaml").exists())
    process.kill()
    process.wait()
    assert not (tmp_path / "cut/3").exists()
    first = (tmp_path / "cut/0/mtl_model.pt").stat().st_mtime_ns
    status, out, err = mtl(*words, "run_dir=cut")
    assert status == 0, err
    assert "of 4 jobs in cut: " in err and " are done, " in err
    assert out.replace("cut/", "whole/") == whole, "a line of every job, whichever command ran it"
    tables = [pd.read_csv(f"{name}/study.csv").drop(columns="seconds") for name in ("whole", "cut")]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert (tmp_path / "cut/0/mtl_model.pt").stat().st_mtime_ns == first, "what is done is left alone"

    status, out, err = mtl(*words, "seed=0,1,2", "run_dir=cut")
    assert (status, out) == (2, "") and err.count("\n") == 1
    status, out, err = mtl(*words[:-1], "trainer.baselines=[ridge]", "run_dir=cut")
    assert (status, out) == (2, "")
    assert err.startswith(
        "mtl train: error: run_dir: cut is the folder of another study, whose jobs have other settings:"
    )


def test_a_job_that_was_cut_off_is_resumed(mtl: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    from mtl_cli.training.checkpoints import KeepOnDisk

    every = ("trainer.epochs=4", "trainer.checkpoint.every=5 steps", "plots=false", "trainer.baselines=none")
    words = ("train", "-m", "dataset=wine", "balancer=gradnorm", "seed=0,1", "trainer.folds=none", *every)
    assert mtl(*words, "run_dir=whole")[0] == 0
    after_step, left = KeepOnDisk.after_step, [40]

    def counted(self: KeepOnDisk, number: int) -> None:
        after_step(self, number)
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(KeepOnDisk, "after_step", counted)
        status, out, err = mtl(*words, "run_dir=cut")
    assert (status, out) == (130, "") and "0 of 2 jobs have ended; the same command with run_dir=cut" in err
    assert mtl(*words, "run_dir=cut")[0] == 0
    assert "resume: cut/0 goes on after epoch" in Path("cut/0/log.txt").read_text()
    for number in ("0", "1"):
        one, other = (Path(name) / number / "predictions.csv" for name in ("whole", "cut"))
        assert one.read_bytes() == other.read_bytes()


def test_the_newest_run_or_study_is_the_latest(mtl: InProcess) -> None:
    one = json.loads(mtl("train", "dataset=wine", *QUICK)[1])["run_dir"]
    assert Path("outputs/latest").resolve() == Path(one).resolve()
    assert mtl("train", "-m", "dataset=wine", "seed=0,1", *QUICK, "run_dir=mine")[0] == 0
    assert Path("outputs/latest").resolve() == Path("mine").resolve()
    status, out, _ = mtl("compare", "outputs/latest")
    assert status == 0 and out.splitlines()[1].startswith("all runs,2,")


# In a process of its own: what the tests before it have left behind makes the memory of a shared one jump.
GROWTH = """
import gc, os, sys
from pathlib import Path
from mtl_cli.cli.main import run

def held():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

def study(seeds, folder):
    assert run([*sys.argv[1:], "balancer=uniform,gradnorm", f"seed=range({seeds})", f"run_dir={folder}"]) == 0
    return held()

first = study(10, "first")
second = study(20, "second")
print("grown by", second - first)
"""


@pytest.mark.slow
@linux
def test_forty_jobs_in_one_process_leave_no_memory_behind(tmp_path: Path) -> None:
    words = ("train", "-m", "dataset=wine", *QUICK)
    done = subprocess.run(
        [sys.executable, "-c", GROWTH, *words], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True
    )
    assert float(done.stdout.split()[-1]) < 8
