"""Single-task networks: what a run's tasks come to if each is trained by itself, of the same budget on the same split.

Each is the run's trunk and head, of the same width, trained as the run is: the same rows in the same order, folds and
members, steps, stopping and seeds. What joins tasks falls away: the sharing scheme, the balancer, and a regularizer
that ties them. T tasks have T such networks, which together have about T times the run's parameters.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from mtl_cli.config.registry import SELECTORS, components
from mtl_cli.config.schema import Config
from mtl_cli.data.base import Part, Prepared
from mtl_cli.data.look import Look
from mtl_cli.inference.members import Outputs, average
from mtl_cli.inference.members import outputs_of as outputs_of_member
from mtl_cli.runs.directory import SINGLE, RunDirectory, file_names
from mtl_cli.training.build import Ready
from mtl_cli.training.callbacks.base import Epoch
from mtl_cli.training.callbacks.progress import Progress
from mtl_cli.training.members import begin, members_of, train_members


def outputs_alone(ready: Ready, name: str, folder: RunDirectory) -> Outputs:
    """Train a task by itself, below the run's folder, and return what comes of it on the test rows, as outputs.

    Parameters
    ----------
    ready : Ready
        The run.
    name : str
        The task's.
    folder : RunDirectory
        The run's; ``single/TASK`` in it gets the model, its history and its weights.
    """
    own = only(ready, name)
    place = folder.path / SINGLE / file_names(ready.data.tasks)[name]
    place.mkdir(parents=True, exist_ok=True)  # it is there if the run was resumed
    model, _ = train_members(own, begin(own, members_of(own)[0], several=True), RunDirectory(place))
    inputs = ready.data.parts["test"].inputs.to(ready.device)
    return average([outputs_of_member(one.model, inputs, own.data.tasks) for one in model], own.data.tasks)


def only(ready: Ready, name: str) -> Ready:
    """Return what a run of one of the tasks starts from."""
    config = ready.config
    balancer, sharing = components("balancer")["uniform"](), components("sharing")["hard"]()
    tied = config.regularizer is not None and config.regularizer.ties_tasks
    changing = {key: callback for key, callback in config.trainer.callbacks.items() if not callback.watches}
    model = replace(config.model, sharing=sharing, heads=_one(config.model.heads, name))
    own = replace(
        config,
        tasks=_one(config.tasks, name),
        model=model,
        balancer=balancer,
        regularizer=None if tied else config.regularizer,
        callback=None if config.callback is None or config.callback.watches else config.callback,
        trainer=replace(config.trainer, early_stopping=_stopping(config, name), callbacks=changing),
    )
    parts = {
        "sharing": {SELECTORS["sharing"]: "hard", **asdict(sharing)},
        "heads": _one(ready.plain["model"]["heads"], name),
    }
    plain = {
        **ready.plain,
        "tasks": _one(ready.plain["tasks"], name),
        "model": {**ready.plain["model"], **parts},
        "balancer": {SELECTORS["balancer"]: "uniform", **asdict(balancer)},
        "regularizer": None if tied else ready.plain["regularizer"],
    }
    return replace(
        ready, config=own, plain=plain, progress=WithoutNotices(ready.progress), data=_data(ready.data, name)
    )


def _one(entries: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in entries.items() if key == name}


def _stopping(config: Config, name: str) -> Any:
    """Return when to stop: by the score, if the run goes by another task."""
    stopping = config.trainer.early_stopping
    if stopping is None or stopping.monitor.partition(".")[0] in ("score", name):
        return stopping
    return replace(stopping, monitor="score")


def _data(data: Prepared, name: str) -> Prepared:
    """Return the same rows with the labels of one task."""
    held = data.held_out
    if held is not None:
        held = replace(held, tasks=[[_one(tasks, name) for tasks in repeat] for repeat in held.tasks])
    parts = {key: _part(part, name) for key, part in data.parts.items()}
    return replace(data, tasks=_one(data.tasks, name), parts=parts, held_out=held)


def _part(part: Part, name: str) -> Part:
    weights = {key: value for key, value in part.weights.items() if key == name}
    return replace(part, targets=_one(part.targets, name), labels=part.labels[[name]], weights=weights)


class WithoutNotices:
    """Shows the training, but no lines: what they say of the data was said of the run."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def notice(self, line: str) -> None:
        """Pass over a line."""

    def look(self, look: Look) -> None:
        """Pass over the first look."""

    def start(
        self, epochs: int, tasks: list[str], device: str, parameters: int, rows: int, member: tuple[int, int] = (1, 1)
    ) -> None:
        """Show that training begins."""
        self._progress.start(epochs, tasks, device, parameters, rows, member)

    def part(self, epoch: int, share: float) -> None:
        """Show what share of an epoch's batches is done."""
        self._progress.part(epoch, share)

    def epoch(self, epoch: Epoch) -> None:
        """Show an epoch that has ended."""
        self._progress.epoch(epoch)

    def stop(self) -> None:
        """Stop showing."""
        self._progress.stop()
