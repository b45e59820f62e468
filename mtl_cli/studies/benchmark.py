"""A benchmark: a study for each problem of a protocol, and how the methods stand in it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mtl_cli.config.assemble import Assembler
from mtl_cli.config.check import Checked, check_runs
from mtl_cli.config.errors import UserError
from mtl_cli.runs import directory
from mtl_cli.studies.executors.base import Executor
from mtl_cli.studies.job import Job, make_job
from mtl_cli.studies.protocol import Protocol, Wanted, first_words, wanted
from mtl_cli.studies.results import Result
from mtl_cli.studies.selection import choose
from mtl_cli.studies.standings import Problem, stand
from mtl_cli.studies.study import open_study
from mtl_cli.studies.sweep import run_jobs

KIND = "benchmark"


def run_benchmark(
    protocol: Protocol, names: Sequence[str], folder: Path, executor: Executor, command: Sequence[str]
) -> tuple[list[Problem], int]:
    """Run what is missing of a benchmark, a study in a folder of its own for each problem.

    Parameters
    ----------
    protocol : Protocol
    names : sequence of str
        The problems.
    folder : Path
    executor : Executor
    command : sequence of str
        The user's words.

    Returns
    -------
    list of Problem
    int
        1 if a run failed by a bug of ours; a run whose losses ran away is a point of the search that is out.
    """
    assembler = Assembler()
    plans = {name: plan(protocol, name, assembler) for name in names}  # all of them are checked before the first run
    problems, status = list[Problem](), 0
    for name, (runs, jobs) in plans.items():
        print(f"{name}:", file=sys.stderr)
        study = open_study(jobs, str(folder / name), command, KIND)
        ran = run_jobs(study, executor, as_json=False, run_dir=folder)
        if ran.failed:
            print(f"{name}: {ran.failed} of {len(jobs)} runs failed, and are out of the search", file=sys.stderr)
        status = max(status, int(ran.status == 1))
        results = [Result(study.path / str(job.number), job.settings) for job in study.jobs]
        if not any(result.done for result in results):
            raise UserError(name, f"all {len(jobs)} runs failed", f"{study.path}/0/{directory.LOG} says why")
        problems += stand(protocol, name, choose(list(zip(runs, results, strict=True))))
    directory.remember(folder)
    return problems, status


def plan(protocol: Protocol, name: str, assembler: Assembler) -> tuple[list[Wanted], list[Job]]:
    """Return the runs of a problem, and their jobs, checked."""
    tasks = _checked_alone(protocol, name, assembler).assembled.plain["tasks"]
    runs = wanted(protocol, name, len(tasks), assembler.folders)
    checked = check_runs([one.words for one in runs], assembler)
    pairs = enumerate(zip(checked, runs, strict=True))
    return runs, [replace(make_job(one, []), number=i, settings=run.settings) for i, (one, run) in pairs]


def _checked_alone(protocol: Protocol, name: str, assembler: Assembler) -> Checked:
    return check_runs([first_words(protocol, name)], assembler)[0]


def why_not(protocol: Protocol, name: str) -> str | None:
    """Return why a problem cannot be run here, such as data that are to be downloaded; None if it can."""
    from mtl_cli.training.build import prepare_data

    try:
        prepare_data(_checked_alone(protocol, name, Assembler()).config, lambda line: None)
    except UserError as error:
        return str(error.problems[0])
    return None
