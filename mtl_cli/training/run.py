"""One run from a checked config to its folder, in steps: prepare, build, train, fit what follows, measure, write."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from mtl_cli import __version__
from mtl_cli.config.schema import Config
from mtl_cli.config.yaml_text import to_yaml
from mtl_cli.data.base import Part
from mtl_cli.inference.trained import Answer
from mtl_cli.runs import directory
from mtl_cli.runs.directory import RunDirectory
from mtl_cli.tasks.task import Task
from mtl_cli.training.build import Ready, Run, prepare
from mtl_cli.training.callbacks.base import Best
from mtl_cli.training.callbacks.progress import Progress
from mtl_cli.training.comparison import compare_with_baselines, compare_with_single
from mtl_cli.training.measure import Measured, measure
from mtl_cli.training.members import begin, members_of, save_members, train_members
from mtl_cli.training.post_hoc import check_rows, fit_steps

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

    Raises
    ------
    UserError
        If the data or the device are not as the config says, or a loss is no longer finite.
    """
    started = time.perf_counter()
    ready = prepare(config, plain, progress)
    check_rows(ready)
    members = members_of(ready)
    first = begin(ready, members[0], len(members) > 1)
    progress.look(ready.data.look())
    tell_members(ready, len(members))
    folder = RunDirectory(make_directory())
    with _recorded(folder, {"command": command, **_record(ready, first, len(members))}, started, first):
        write_start(ready, folder)
        model, trained = train_members(ready, first, folder)
        tasks = fit_steps(ready, model, trained)
        if tasks is not ready.data.tasks:
            save_members(ready, first, model, folder, tasks)
        measured = measure(ready, model, trained, tasks)
        epochs = int(first.ready.config.trainer.epochs)  # where the config says auto, what that came to
        compare_with_baselines(ready, measured.answer, measured.metrics, epochs * len(first.batches))
        compare_with_single(ready, measured.answer, measured.metrics, folder)
        finished = write(ready, folder, measured, tasks, epochs)
        if finish is not None:
            finish(finished)
    return finished


def tell_members(ready: Ready, members: int) -> None:
    """Say that members were made where the config left it open."""
    if ready.data.held_out is not None and ready.config.trainer.folds == "auto" and members > 1:
        rows = len(ready.data.parts["train"])
        ready.progress.notice(
            f"trainer.folds=auto: few rows would be left for validation, so {members} members are trained, each with"
            f" another part of the {rows:,} rows held out, and predict their mean; trainer.folds=none trains one"
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


@contextmanager
def _recorded(folder: RunDirectory, record: dict[str, Any], started: float, run: Run) -> Iterator[None]:
    """Write ``run.json`` when what is done inside has ended, with how it ended."""
    status = "failed"
    try:
        yield
        status = "done"
    except KeyboardInterrupt:
        status = "interrupted"
        run.ready.progress.notice(f"what was reached so far is in {folder.path}")
        raise
    except SystemExit:
        status = "terminated"
        raise
    finally:
        record |= {
            "status": status,
            "gradients": run.step.backend,  # as used in the last step: the way may change with the size of a batch
            "seconds": time.perf_counter() - started,
            "peak_memory_bytes": _peak_memory(run.ready.device),
        }
        folder.write_json(directory.RUN, record)


def _record(ready: Ready, run: Run, members: int) -> dict[str, Any]:
    """Return what ``run.json`` says about a run from its start; ``run`` is the first of its members."""
    data = ready.data
    return {
        "mtl": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "device": str(ready.device),
        "threads": torch.get_num_threads(),
        "seed": ready.config.seed,
        "members": members,
        "rows": {name: len(part) for name, part in data.parts.items()},
        "inputs": data.reader.spec.names or list(data.reader.spec.shape),
        "parameters": sum(p.numel() for p in run.network.parameters()),
    }


def _peak_memory(device: torch.device) -> int | None:
    """Return the most memory the process has held, or on CUDA the most that torch has."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
