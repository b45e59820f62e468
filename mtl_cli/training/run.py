"""One run from a checked config to its folder, in steps: prepare, build, train, fit what follows, measure, write."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mtl_cli.config.machine import taking_memory
from mtl_cli.config.schema import Config
from mtl_cli.config.yaml_text import to_yaml
from mtl_cli.data.base import Part
from mtl_cli.inference.answer import Answer
from mtl_cli.models.linear import mean_shares
from mtl_cli.runs import directory
from mtl_cli.runs.directory import RunDirectory
from mtl_cli.runs.lock import locked
from mtl_cli.tasks.task import Task
from mtl_cli.training.build import Ready, Run, prepare
from mtl_cli.training.callbacks.base import Best, RunInfo, chosen
from mtl_cli.training.callbacks.progress import Progress
from mtl_cli.training.comparison import compare_with_baselines, compare_with_single
from mtl_cli.training.measure import Measured, measure
from mtl_cli.training.members import Trained, begin, members_of, save_members, train_members
from mtl_cli.training.post_hoc import check_rows, fit_steps
from mtl_cli.training.record import recorded
from mtl_cli.training.resume import clean, open_run
from mtl_cli.training.trial import Trial

SMALLER = "a smaller trainer.batch_size, or a smaller network, such as model.trunk.hidden=[128,64], take less"
FEWER = "fewer rows or columns (dataset.features.exclude) take less, and a backed file is not read whole"
RERUN = """\
# mtl train THIS_FILE
# The config of a run, complete; `mtl train THIS_FILE KEY=VALUE` changes a key of it.
"""


@dataclass(frozen=True)
class Finished:
    """A run that is done.

    Parameters
    ----------
    run : RunDirectory
    config : Config
    tasks : dict of str to Task
    metrics : dict
        What ``metrics.json`` holds.
    best : Best
        The epoch whose weights were kept.
    part : Part, optional
        The test rows.
    answer : Answer, optional
        What the model says of them.
    predictions : DataFrame, optional
        What ``predictions.csv`` holds.
    weights_name : str
        The name of the file with the balancer's weights.
    epochs : int
        The most that a member was to have.
    """

    run: RunDirectory
    config: Config
    tasks: dict[str, Task]
    metrics: dict[str, Any]
    best: Best
    part: Part | None
    answer: Answer | None
    predictions: pd.DataFrame | None
    weights_name: str
    epochs: int


def train(
    config: Config,
    plain: dict[str, Any],
    command: list[str],
    make_directory: Callable[[], Path],
    progress: Progress,
    finish: Callable[[Finished], object] | None = None,
    trial: Trial | None = None,
) -> Finished:
    """Train a model and write its run folder.

    Parameters
    ----------
    config : Config
    plain : dict
        The same config as plain values, to be kept with the run.
    command : list of str
        What the user wrote, to be kept too.
    make_directory : callable
        Makes the run's folder; called once the data are known to be right, so that wrong input leaves none.
    progress : Progress
    finish : callable, optional
        Adds to the folder what rooms above make of a run, such as figures; the run is done only after it.
    trial : Trial, optional
        What the run is told if it is a trial; its test rows are left alone then.

    Raises
    ------
    UserError
        If the data or the device are not as the config says, or a loss is no longer finite.
    Pruned
        If the trial says so.
    """
    started = time.perf_counter()
    ready, first = _begin(config, plain, progress, trial)
    folder = RunDirectory(make_directory())
    with locked(folder.path):
        return _train_in(folder, ready, first, command, started, finish)


def resume(
    path: str,
    config: Config,
    plain: dict[str, Any],
    command: list[str],
    progress: Progress,
    finish: Callable[[Finished], object] | None = None,
    trial: Trial | None = None,
) -> Finished | None:
    """Go on with a run in its folder, from its last checkpoint, or from the start if there is none yet.

    It ends with the files that it would have if it had not been interrupted. More epochs extend a run that was done.

    Parameters
    ----------
    path : str
        The run's folder.
    config, plain, command, progress, finish, trial
        As ``train`` takes them; the config is the run's, but for keys that may change.

    Returns
    -------
    Finished, optional
        None if there is nothing left to do.

    Raises
    ------
    UserError
        If there is no run, another process is writing it, or the config or the data are not those it was begun with.
    """
    started = time.perf_counter()
    before = open_run(path, config)
    if before.done:
        return None
    with locked(before.folder.path):
        ready, first = _begin(config, plain, progress, trial)
        clean(before.folder)
        there = (
            "has no checkpoint, and begins anew" if before.epochs is None else f"goes on after epoch {before.epochs}"
        )
        progress.notice(f"resume: {path} {there}")
        return _train_in(before.folder, ready, first, command, started, finish)


def _begin(config: Config, plain: dict[str, Any], progress: Progress, trial: Trial | None) -> tuple[Ready, Run]:
    """Read the data and build the first member."""
    with taking_memory("reading the data", FEWER):
        ready = prepare(config, plain, progress, trial)
    check_rows(ready)
    members = members_of(ready)
    first = begin(ready, members[0], len(members) > 1)
    progress.look(ready.data.look())
    tell_members(ready, len(members))
    return ready, first


def _train_in(
    folder: RunDirectory,
    ready: Ready,
    first: Run,
    command: list[str],
    started: float,
    finish: Callable[[Finished], object] | None,
) -> Finished:
    """Train in a folder, measure, and write what came of it."""
    write_start(ready, folder)  # first of all: a run that has its config can be resumed
    with recorded(folder, command, started, first, len(members_of(ready))):
        with taking_memory("training", SMALLER):
            model, trained = train_members(ready, first, folder)
        if (line := ready.spent.line(first.batches.inputs.remedy)) is not None:
            ready.progress.notice(line)
        tell_linear(ready, model)
        tasks, kept = fit_steps(ready, model, trained)
        if tasks is not ready.data.tasks or kept is not None:
            save_members(ready, first, model, folder, tasks, kept)
        measured = measure(ready, model, trained, tasks)
        epochs = int(first.ready.config.trainer.epochs)  # where the config says auto, what that came to
        compare_with_baselines(ready, measured.answer, measured.metrics, epochs * len(first.batches))
        compare_with_single(ready, measured.answer, measured.metrics, folder)
        finished = write(ready, folder, measured, tasks, epochs)
        if finish is not None:
            finish(finished)
        tell_callbacks(ready, folder)
        if not ready.config.trainer.checkpoint.keep:
            folder.remove_checkpoints()
    return finished


def tell_callbacks(ready: Ready, folder: RunDirectory) -> None:
    """Let the callbacks do what they do once a run is done; one that fails costs a line, as a picture does."""
    info = RunInfo(folder.path, ready.plain, ready.notice)
    for key, callback in chosen(ready.config).items():
        try:
            callback.finish(info)
        except Exception as error:  # noqa: BLE001  # a tracker, or a plugin's callback, may raise anything
            what = " ".join(f"{type(error).__name__}: {error}".split())
            ready.progress.notice(f"{key}: what it does after a run failed: {what}")


def tell_linear(ready: Ready, model: Sequence[Trained]) -> None:
    """Say how much linear models make up of the predictions, if there are any."""
    shares = mean_shares([trained.model.network.linear for trained in model])
    if any(shares.values()):
        parts = ", ".join(f"{share:.0%} of {name}" for name, share in shares.items())
        ready.progress.notice(f"model.linear: linear models beside the network make up {parts}")


def tell_members(ready: Ready, members: int) -> None:
    """Say that members were made where the config left it open."""
    if ready.data.held_out is not None and ready.config.trainer.folds == "auto" and members > 1:
        rows = len(ready.data.parts["train"])
        ready.progress.notice(
            f"trainer.folds=auto: few rows would be left for validation, so {members} members are trained, each with"
            f" another part of the {rows:,} rows held out, and their mean is predicted; trainer.folds=none trains one"
        )


def write_start(ready: Ready, folder: RunDirectory) -> None:
    """Write what is known before training: the config, and which row is in which part and fold."""
    folder.write(directory.CONFIG, lambda file: file.write_text(RERUN + to_yaml(ready.plain), encoding="utf-8"))
    splits = ready.data.splits if ready.data.held_out is None else ready.data.held_out.table(ready.data.splits)
    folder.write(directory.SPLITS, lambda file: splits.to_csv(file, index=False))


def write(ready: Ready, folder: RunDirectory, measured: Measured, tasks: dict[str, Task], epochs: int) -> Finished:
    """Write the metrics, and the predictions of the test rows and of those held out; ``epochs`` as ``Finished`` has."""
    tables = {directory.PREDICTIONS: measured.predictions, directory.OUT_OF_FOLD: measured.held_out}
    folder.write_json(directory.METRICS, measured.metrics)
    for name, table in tables.items():
        if table is not None:
            folder.write(name, lambda file, table=table: table.to_csv(file, index=False))  # type: ignore[misc]
    return Finished(
        folder,
        ready.config,
        tasks,
        measured.metrics,
        measured.best,
        ready.data.parts.get("test"),
        measured.answer,
        measured.predictions,
        ready.weights_name,
        epochs,
    )
