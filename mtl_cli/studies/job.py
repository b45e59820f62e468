"""One run of a study, or a run alone: from its checked config to its JSON line."""

from __future__ import annotations

import re
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl_cli.config.check import Checked
from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.machine import user_error
from mtl_cli.config.parse import parse
from mtl_cli.data.files import SHIPPED
from mtl_cli.io import user_path
from mtl_cli.runs import directory
from mtl_cli.runs.lock import take_lock
from mtl_cli.runs.records import read_record
from mtl_cli.studies.unfinished import make_way, resumable

if TYPE_CHECKING:
    from rich.console import Console

    from mtl_cli.training.callbacks.progress import Progress
    from mtl_cli.training.run import Finished
    from mtl_cli.training.trial import Trial

PATIENCE = 10.0
"""Seconds to wait for a process that still writes in the folder of a job: one whose command was killed ends soon."""


@dataclass(frozen=True)
class Job:
    """What a run needs, in a form that another process can be sent.

    Parameters
    ----------
    plain : dict
        The whole config as plain values.
    name : str
        What to call the run: its data set and its balancer.
    overrides : list of str
        The words that made the config.
    command : list of str
        The command that would run this job alone.
    folder : str, optional
        The run's folder in a study; by default that of the config's ``run_dir``, or a fresh one.
    number : int
        Its place in the study, from 0.
    settings : dict of str to str
        What sets it apart from the other jobs of the study: keys and their values, as written.
    trial : Trial, optional
        What its run is told if it is a trial of `mtl tune`.
    """

    plain: dict[str, Any]
    name: str
    overrides: list[str]
    command: list[str]
    folder: str | None = None
    number: int = 0
    settings: dict[str, str] = field(default_factory=dict)
    trial: Trial | None = None

    @property
    def label(self) -> str:
        """What sets it apart, in a line."""
        return " ".join(f"{key}={value}" for key, value in self.settings.items()) or self.name


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Parameters
    ----------
    line : dict
        Its JSON line.
    status : int
        0 done, 2 the user's input, 1 a bug, or a process that was killed.
    """

    line: dict[str, Any]
    status: int


def make_job(checked: Checked, start: list[str]) -> Job:
    """Return the job of a checked config; ``start`` are further words that made it, such as a config file."""
    plain, choices = checked.assembled.plain, checked.assembled.choices
    stem = _stem(plain["dataset"].get("path"), choices.get("dataset") or plain["dataset"]["kind"])
    command = ["mtl", "train", *start, *checked.overrides]
    return Job(plain, f"{stem}_{plain['balancer']['name']}", checked.overrides, command)


def run_training(job: Job, progress: Progress) -> Finished | None:
    """Train and draw, telling ``progress``, and return what came out; its folder is whole then.

    None says that the run which was to be resumed was done already.
    """
    config = parse(job.plain)
    if config.resume is not None and (job.folder or config.run_dir) is not None:
        raise UserError("run_dir", "is another folder: a resumed run goes on in its own", "leave it out")
    if job.folder is None and config.run_dir is not None:
        directory.check_free(config.run_dir)

    from mtl_cli.reports.plots import Form, write_plots
    from mtl_cli.training.run import resume, train

    def make_directory() -> Path:
        if job.folder is not None:
            return Path(job.folder)
        return directory.fresh(job.name) if config.run_dir is None else directory.claim(config.run_dir)

    form: Form = "svg" if config.plots == "svg" else "png"
    draw = partial(write_plots, notice=progress.notice, form=form) if config.plots else None
    plain = rerunnable(job.plain)
    if config.resume is not None:
        return resume(config.resume, config, plain, job.command, progress, draw, job.trial)
    return train(config, plain, job.command, make_directory, progress, draw, job.trial)


def train_job(job: Job, console: Console) -> dict[str, Any]:
    """Train, tell on the console how it goes and what came out, and return the run's JSON line."""
    from mtl_cli.reports.console import print_summary
    from mtl_cli.reports.progress import TrainingProgress

    progress = TrainingProgress(console)
    finished = run_training(job, progress)
    if finished is None:
        folder = str(job.plain["resume"])
        progress.notice(f"{folder} is done: there is nothing to resume; trainer.epochs=N resume={folder} extends it")
        path = user_path(folder)
        metrics = read_record(path / directory.METRICS)
        if not metrics:
            raise UserError(str(path / directory.METRICS), "is not there, though the run is done", "it was taken away")
        return line_of(str(path), metrics)
    print_summary(console, finished)
    return line_of(str(finished.run.path), finished.metrics)


def line_of(run_dir: str, metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON line of a run that is done; ``metrics`` are what ``metrics.json`` holds."""
    tasks = metrics["splits"]["test"]["tasks"] if "test" in metrics["splits"] else {}
    return {"run_dir": run_dir, "status": "done", "score": metrics["score"], "metrics": tasks}


def run_job(job: Job) -> Outcome:
    """Train in the job's folder, and turn a failure into an outcome, told in the log there: the other jobs go on."""
    assert job.folder is not None
    folder = Path(job.folder)
    folder.mkdir(exist_ok=True)
    with _logged(folder / directory.LOG, job) as mine:
        if not mine:
            return failed(job, ["another process is still at work in this folder"], 2)
        from mtl_cli.training.trial import Pruned

        try:
            return Outcome(train_job(_begun(job, folder), _plain_console()), 0)
        except Pruned as pruned:
            print(f"pruned: {pruned}", file=sys.stderr)
            return Outcome({"run_dir": job.folder, "status": "pruned"}, 0)
        except UserError as error:
            problems, status = [str(problem) for problem in error.problems], 2
            for problem in problems:
                print(f"mtl train: error: {problem}", file=sys.stderr)
        except Exception as error:  # noqa: BLE001 - told in the log; the other jobs go on
            found = user_error(error)
            problems = [str(p) for p in found.problems] if found else [str(Problem(type(error).__name__, str(error)))]
            status = 1 if found is None else 2
            traceback.print_exception(error, file=sys.stderr)
    return failed(job, problems, status)


def _begun(job: Job, folder: Path) -> Job:
    """Return the job as it is to be run: from its last checkpoint if it was cut off, else in a folder without a run."""
    if resumable(folder):
        return replace(job, folder=None, plain={**rerunnable(job.plain), "resume": str(folder)})
    make_way(folder)
    return job


def failed(job: Job, problems: list[str], status: int) -> Outcome:
    """Return the outcome of a job that failed."""
    return Outcome({"run_dir": job.folder, "status": "failed", "error": problems, "overrides": job.overrides}, status)


@contextmanager
def _logged(path: Path, job: Job) -> Iterator[bool]:
    """Send what is printed inside to a job's log, which nobody else writes to meanwhile; tell whether that is so."""
    with path.open("a", buffering=1, encoding="utf-8", errors="backslashreplace") as log:
        mine = take_lock(log, PATIENCE)
        if mine:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {' '.join(job.command)}\n")
            with redirect_stdout(log), redirect_stderr(log):
                yield True
        else:
            yield False


def _plain_console() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False, width=120, force_terminal=False)


def _stem(path: str | None, choice: str) -> str:
    """Return what to call the data set in a run's name: its file, or what was chosen if it has none of its own."""
    if path is None or path.startswith(SHIPPED):
        return choice
    return re.sub(r"[*?\[\]]", "", Path(path).name.split(".")[0]).strip("-_ ") or "table"  # a pattern has no name


def rerunnable(plain: dict[str, Any]) -> dict[str, Any]:
    """Return the config as it is kept: its data found from any folder, its run in a fresh one."""
    trunk = dict(plain["model"]["trunk"])
    for key in ("pretrained", "cache"):  # a folder's name may be a hub's too: it is a folder only if it is there
        if isinstance(trunk.get(key), str) and (folder := user_path(trunk[key])).is_dir():
            trunk[key] = str(folder.absolute())
    model = {**plain["model"], "trunk": trunk}
    found = {**plain, "dataset": _from_anywhere(plain["dataset"]), "model": model, "run_dir": None, "resume": None}
    if plain.get("init_from") is not None:
        found["init_from"] = str(user_path(str(plain["init_from"])).absolute())
    return found


def _from_anywhere(dataset: dict[str, Any]) -> dict[str, Any]:
    """Make the paths in a data set's config absolute, those of data sets inside it too."""
    found = dict(dataset)
    for key, value in dataset.items():
        if isinstance(value, dict):
            found[key] = _from_anywhere(value)
        elif key in ("path", "root", "labels") and value and value != "-" and not str(value).startswith(SHIPPED):
            found[key] = str(user_path(str(value)).absolute())
    return found
