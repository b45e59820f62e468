"""Kills runs and resumes them: `python -m tests.fuzz.kills 50 SEED [CASE…]` kills each kind of run so often.

A run is killed by SIGKILL at a random moment, or just before or after it writes something, and resumed, and perhaps
killed again, until it ends. It must end bit-equal to one that was never killed: the tensors of its model, the rows of
its history and weights files, its predictions. What is found wrong is printed with the number of the case.
"""

from __future__ import annotations

import csv
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import houses
from tests.proteins import proteins
from tests.warm import SERVER

LONGEST = 300
"""Seconds after which a run is taken to hang."""
COMMON = ("device=cpu", "plots=false", "trainer.baselines=none")
WINE = ("dataset=wine", "model.trunk.dropout=0.2")
PRELOAD = (
    "mtl_cli.cli.train", "mtl_cli.studies.executors", "mtl_cli.studies.job", "mtl_cli.studies.sweep",
    "mtl_cli.reports.console", "mtl_cli.reports.progress", "mtl_cli.reports.plots", "mtl_cli.training.run",
    "mtl_cli.config.assemble", "sklearn.metrics", "sklearn.model_selection", "rich.table",
)  # fmt: skip
EVERY = ("epoch", "1 steps", "7 steps")
"""When checkpoints are written, each as often."""
KILLS = 3
"""The most times that a run is killed."""


@dataclass(frozen=True)
class Case:
    """A kind of run.

    Parameters
    ----------
    words
        What follows ``mtl train``.
    make
        Writes its data into a folder.
    """

    words: tuple[str, ...]
    make: Callable[[Path], object] = lambda folder: None


def _houses(folder: Path) -> None:
    houses(240).to_csv(folder / "houses.csv", index=False)


def _proteins(folder: Path) -> None:
    proteins(120, shortest=24, longest=40).to_csv(folder / "proteins.csv", index=False)


CASES = {
    "wine": Case((*WINE, "balancer=gradnorm", "trainer.epochs=6", "trainer.folds=none", "scheduler=plateau")),
    "cells": Case(("dataset=pbmc", "balancer=uw", "trainer.epochs=5", "trainer.log_balance=4")),
    "joint": Case(
        (
            "dataset=joint", "balancer=famo", "trainer.epochs=5", "model.trunk.dropout=0.1", "trainer.batch_size=32",
            "dataset.datasets={houses: {kind: csv, path: houses.csv, id: house}, "
            "wines: {kind: csv, path: builtin:winequality-red.csv}}",
            "tasks={price: {kind: regression, dataset: houses}, quality: {kind: regression, dataset: wines}}",
        ),
        _houses,
    ),
    "digits": Case(
        (
            "dataset=digits", "model=cnn", "model.trunk.channels=[8,16]", "balancer=upgrad", "trainer.epochs=4",
            "trainer.accumulate=2", "trainer.precision=bfloat16", "balancer.update_every=3",
        )
    ),
    "sequences": Case(
        (
            "dataset=proteins.csv", "dataset.sequence=sequence", "dataset.id=id", "model=sequence_cnn",
            "model.trunk.width=16", "trainer.epochs=4", "trainer.batch_size=16", "balancer=graddrop",
            "tasks={family: multiclass, stability: regression, structure: residue}",
        ),
        _proteins,
    ),
    "folds": Case((*WINE, "balancer=db_mtl", "trainer.epochs=5", "trainer.folds=3", "trainer.batch_size=128")),
    "in_turn": Case(
        (*WINE, "balancer=gradnorm", "trainer.epochs=3", "trainer.folds=2", "trainer.refit=true",
         "trainer.batch_size=128", "model.trunk.freeze=1")
    ),
    "single": Case(
        (*WINE, "balancer=dwa", "trainer.epochs=3", "trainer.folds=none", "trainer.compare_single=true",
         "scheduler=cosine", "regularizer=prior", "trainer.early_stopping=null")
    ),
}  # fmt: skip
"""By name."""


@dataclass(frozen=True)
class Kill:
    """When a run is killed: after so many seconds, or before or after its event of this number.

    An event is a file that is put in place or synchronised, a row that is written, a step of the optimizer.
    """

    seconds: float | None = None
    event: int | None = None
    before: bool = True


def run(words: tuple[str, ...], folder: Path, kill: Kill | None = None) -> int:
    """Run ``mtl train`` in a folder, in a process of its own, and return its status; −9 if it was killed."""
    process = SERVER.Process(target=_run, args=(words, folder, kill))
    process.start()
    process.join(LONGEST if kill is None or kill.seconds is None else kill.seconds)
    if process.exitcode is None and kill is not None and kill.seconds is not None:
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
    if process.exitcode is None:
        process.kill()
        raise AssertionError("hangs")
    return process.exitcode


def _run(words: tuple[str, ...], folder: Path, kill: Kill | None) -> None:
    for stream, descriptor in (("out", 1), ("err", 2)):
        with (folder / stream).open("ab") as file:
            os.dup2(file.fileno(), descriptor)
    os.chdir(folder)
    if kill is not None and kill.event is not None:
        _count_events(kill)
    from mtl_cli.cli.main import run

    os._exit(run(["train", *words]))


def _count_events(kill: Kill) -> None:
    """Kill this process at one of its events."""
    from mtl_cli import io
    from mtl_cli.runs.history import CSVLog
    from mtl_cli.training.checkpoints import KeepOnDisk

    left = [kill.event or 0]

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **keys: Any) -> Any:
            left[0] -= 1
            if left[0] == 0 and kill.before:
                os.kill(os.getpid(), signal.SIGKILL)
            found = function(*arguments, **keys)
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        return wrapped

    io._sync = counted(io._sync)
    for owner, name in ((Path, "replace"), (CSVLog, "append"), (KeepOnDisk, "after_step")):
        setattr(owner, name, counted(getattr(owner, name)))


def killed(case: Case, folder: Path, draw: random.Random, seconds: float, most: int = KILLS) -> str:
    """Make a run that is killed and resumed until it ends; return how often it was killed, and where."""
    case.make(folder)
    every = f"trainer.checkpoint.every={draw.choice(EVERY)}"
    told, words = [every], (*case.words, *COMMON, every, "run_dir=run")
    for _ in range(most):
        kill = Kill(event=draw.randrange(1, 200), before=draw.random() < 0.5)
        if draw.random() < 0.5:
            kill = Kill(seconds=draw.uniform(0, seconds))
        status = run(words, folder, kill)
        if status == 0:
            break
        assert status == -signal.SIGKILL, f"status {status} of {words[-2:]}: {(folder / 'err').read_text()[-900:]}"
        told.append(str(kill))
        if (folder / "run" / "config.yaml").exists():
            words = ("resume=run",)
        else:  # nothing was begun
            shutil.rmtree(folder / "run", ignore_errors=True)
    else:
        status = run(words, folder)
    assert status == 0, f"status {status} of {words} after {told}: {(folder / 'err').read_text()[-900:]}"
    assert not [path for path in (folder / "run").rglob(".*") if path.is_file()], "a file is left half written"
    return ", ".join(told)


def differences(one: Path, other: Path) -> list[str]:
    """Return in what two runs' files differ, but for seconds."""
    import torch

    found = []
    for file in sorted(path.relative_to(one) for path in one.rglob("mtl_model.pt")):
        first, second = (torch.load(run / file, weights_only=True) for run in (one, other))
        for content in (first, second):
            content.pop("config")
        found += [f"{file}{where}" for where, a, b in _beside(first, second) if not _equal(a, b)]
    for file in sorted(path.relative_to(one) for path in one.rglob("*.csv")):
        if not (other / file).exists() or _rows(one / file) != _rows(other / file):
            found.append(str(file))
    return found


def _beside(one: Any, other: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one:
            yield from _beside(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        for i, pair in enumerate(zip(one, other, strict=True)):
            yield from _beside(*pair, f"{where}[{i}]")
    else:
        yield where, one, other


def _equal(one: Any, other: Any) -> bool:
    import torch

    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and bool(torch.equal(one, other))
    return bool(one == other) or (isinstance(one, float) and math.isnan(one) and math.isnan(other))


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def whole(case: Case, folder: Path, warm: bool = True) -> float:
    """Make a run that is not killed, or with ``warm`` two, and return how long it took."""
    case.make(folder)
    if warm:
        run((*case.words, *COMMON, "run_dir=warm"), folder)
    began = time.monotonic()
    status = run((*case.words, *COMMON, "run_dir=run"), folder)
    assert status == 0, (folder / "err").read_text()
    return time.monotonic() - began


def main(times: int, seed: int, names: list[str]) -> int:
    """Kill so many runs of each case, and return 1 if any of them ended otherwise."""
    SERVER.set_forkserver_preload(["torch", "pandas", *PRELOAD])
    faults = 0
    for name in names or CASES:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            (folder / "whole").mkdir()
            seconds, kills = whole(CASES[name], folder / "whole"), 0
            for number in range(times):
                own = folder / str(number)
                own.mkdir()
                try:
                    told = killed(CASES[name], own, random.Random(f"{name} {seed} {number}"), seconds)
                    kills += told.count("Kill(")
                    wrong = differences(folder / "whole" / "run", own / "run")
                    assert not wrong, f"{', '.join(wrong[:5])} differ after {told}"
                except AssertionError as error:
                    faults += 1
                    print(f"{name} {number}: {error}")
                shutil.rmtree(own)
            print(f"{name}: {times} runs, killed {kills} times; one takes {seconds:.1f} s", flush=True)
    print(f"{faults} faults")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
