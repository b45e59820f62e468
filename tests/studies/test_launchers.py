"""Jobs on a real Ray cluster of this machine, and through submitit's local executor: the same numbers, and lost workers."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import InProcess
from tests.studies.test_sweep import QUICK, linux, start, trains, wait_until

WORDS = ("train", "-m", "dataset=wine", "balancer=uniform,gradnorm", "seed=0,1", *QUICK)
LAUNCHERS = {
    "ray": ("ray", ("launcher=ray", "n_jobs=2"), "ray::work"),
    "slurm": ("submitit", ("launcher=slurm", "slurm={cluster: local}", "n_jobs=2"), "submitit.core._submit"),
}
each = pytest.mark.parametrize("name", LAUNCHERS)


def skip_without(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")


@pytest.mark.slow
@each
def test_a_cluster_makes_the_runs_that_one_process_makes(mtl: InProcess, tmp_path: Path, name: str) -> None:
    package, words, _ = LAUNCHERS[name]
    skip_without(package)
    status, here, _ = mtl(*WORDS, "run_dir=here")
    assert status == 0
    status, there, err = mtl(*WORDS, *words, "run_dir=there")
    assert status == 0, err
    assert there.replace("there/", "here/") == here
    tables = [pd.read_csv(f"{folder}/study.csv").drop(columns="seconds") for folder in ("here", "there")]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert sorted(path.name for path in Path("there").iterdir()) == ["0", "1", "2", "3", "study.csv", "study.yaml"]


@pytest.mark.slow
@linux
@each
def test_a_worker_that_is_killed_costs_its_job_one_try(tmp_path: Path, name: str) -> None:
    package, words, process_name = LAUNCHERS[name]
    skip_without(package)
    epochs = (
        "trainer.epochs=300",
        "trainer.early_stopping=null",
        "plots=false",
        "trainer.folds=none",
        "trainer.baselines=none",
    )
    process = start(tmp_path, "seed=0", own=(*epochs, *words, "run_dir=swept"))
    wait_until(lambda: trains(tmp_path, 0), 300)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            mine = (folder / "cwd").readlink() == tmp_path and process_name.encode() in (
                folder / "cmdline"
            ).read_bytes()
        except OSError:  # it ended, or is not ours
            continue
        if mine:
            os.kill(int(folder.name), signal.SIGKILL)
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    assert json.loads(out)["status"] == "done"
    assert (tmp_path / "swept/0/log.txt").read_text().count("mtl train dataset=wine") == 2


@pytest.mark.parametrize(("launcher", "package"), [("ray", "ray"), ("slurm", "submitit")])
def test_what_is_not_installed_is_named_with_its_pip_line(
    mtl: InProcess, monkeypatch: pytest.MonkeyPatch, launcher: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as Python says that there is none
    status, out, err = mtl("train", "-m", "dataset=wine", "seed=0,1", f"launcher={launcher}")
    assert (status, out) == (2, "")
    line = f"{launcher} needs the package {package}, which is not installed; pip install 'mtl-cli[{launcher}]'"
    assert err == f"mtl train: error: launcher: {line}\n"


def test_no_slurm_here(mtl: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_without("submitit")
    monkeypatch.setenv("PATH", "")
    status, _, err = mtl("train", "-m", "dataset=wine", "seed=0,1", "launcher=slurm")
    assert status == 2 and err.startswith("mtl train: error: launcher: there is no Slurm here: no command sbatch; ")


@linux
def test_a_job_that_needs_more_memory_than_it_may_have_fails_alone(mtl: InProcess) -> None:
    status, out, _ = mtl(*WORDS[:3], "seed=0", *QUICK, "launcher=processes", "memory=50MB", "run_dir=tight")
    assert status == 1
    line = json.loads(out)
    assert line["status"] == "failed" and line["run_dir"] == "tight/0"
    assert line["error"][0].startswith("memory: 47.7 MiB is too little: ")
