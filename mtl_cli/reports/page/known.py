"""What is known of a run: of its files, and of its model and data where these can be read again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from mtl_cli.config.errors import UserError
from mtl_cli.config.parse import parse
from mtl_cli.data.look import Look
from mtl_cli.inference.description import Description, describe
from mtl_cli.inference.trained import Evaluated, TrainedModel
from mtl_cli.reports.figures.base import Course
from mtl_cli.reports.plots import read_course
from mtl_cli.runs.directory import CONFIG, HISTORY, METRICS, MODEL, RUN, weights_name
from mtl_cli.runs.records import read_config, read_record
from mtl_cli.training.build import prepare_data

ENDED = ("failed", "interrupted", "terminated")
"""How a run ends that has no metrics."""


@dataclass(frozen=True)
class Known:
    """What is known of a run.

    Parameters
    ----------
    path : Path
        Its folder.
    record, metrics, config : dict
        What is in ``run.json``, ``metrics.json`` and ``config.yaml``.
    course : Course, optional
        Where an epoch has ended.
    description : Description, optional
        Where there is a model.
    evaluated : Evaluated, optional
        The model on its test rows, where these could be read again.
    look : Look, optional
        At the data, likewise.
    missing : list of str
        What could not be read again, and why.
    example : str
        What new rows are called, as in a command.
    """

    path: Path
    record: dict[str, Any]
    metrics: dict[str, Any]
    config: dict[str, Any]
    course: Course | None = None
    description: Description | None = None
    evaluated: Evaluated | None = None
    look: Look | None = None
    missing: list[str] = field(default_factory=list)
    example: str = "new.csv"

    @property
    def tasks(self) -> dict[str, str]:
        """The kind of each task."""
        found: dict[str, Any] = self.config.get("tasks") or {}
        return {name: str(task.get("kind")) for name, task in found.items()}

    @property
    def status(self) -> str:
        """How the run ended."""
        return str(self.record.get("status", "unfinished"))

    @property
    def part(self) -> str | None:
        """The part of the split that the tasks are measured on; None if the run has no metrics."""
        return next((name for name in ("test", "val") if name in self.metrics.get("splits", {})), None)

    @property
    def began(self) -> str:
        """When the training began."""
        return datetime.fromtimestamp((self.path / CONFIG).stat().st_mtime).strftime("%Y-%m-%d %H:%M")

    @property
    def data(self) -> str:
        """What the training data are called, without where they lay: that is nobody's business."""
        dataset: dict[str, Any] = self.config.get("dataset", {})
        if "datasets" in dataset:
            return ", ".join(map(str, dataset["datasets"]))
        place = str(dataset.get("path") or dataset.get("images") or dataset.get("kind", ""))
        return Path(place.rpartition(":")[2]).name


def read_run(path: Path, name: str) -> Known:
    """Read the files of a run alone.

    Parameters
    ----------
    path : Path
        Its folder.
    name : str
        What the user called it.

    Raises
    ------
    UserError
        If there is nothing to report: it has neither metrics nor come to an end, nor is there an epoch that has ended.
    """
    found = Known(path, read_record(path / RUN), read_record(path / METRICS), read_config(path))
    balancer = weights_name(str(found.config.get("balancer", {}).get("name")))
    course = None
    if (path / HISTORY).is_file() and (path / balancer).is_file():
        best = found.metrics.get("epoch", 0)
        course = read_course(path, balancer, list(found.tasks), found.metrics, int(best))
        course = course if course.history or course.members else None
    if not found.metrics and course is None and found.status not in ENDED:
        what = f"is a run without metrics, and no epoch of it has ended: it is {found.status}"
        raise UserError(name, what, f"mtl train resume={name} goes on with it")
    return replace(found, course=course)


def read_again(known: Known, notice: Callable[[str], None]) -> Known:
    """Add what the run's model and its data say, as far as they are there and are what they were.

    Parameters
    ----------
    known : Known
    notice : callable
        Takes a line that the user should see.
    """
    if not (known.path / MODEL).is_file() or not known.metrics:
        return known
    missing: list[str] = []
    description = evaluated = look = None
    example = known.example
    try:
        description = describe(str(known.path))
        model = TrainedModel.load(str(known.path))
        example = model.config.dataset.example
        evaluated = model.evaluate_test(_quiet)
    except UserError as error:
        why = str(error).removeprefix(f"{known.path}: ")  # of a zip, a folder that is gone at once
        missing.append(f"predictions of the test rows were not made again: {why}")
    try:
        prepared = prepare_data(parse(known.config), _quiet)
        if description is not None and prepared.reader.fingerprints == description.fingerprints:
            look = prepared.look()
        else:
            missing.append("the data were not looked at again: they are no longer those of the training")
    except UserError as error:
        missing.append(f"the data were not looked at again: {error}")
    for line in missing:
        notice(line)
    return replace(known, description=description, evaluated=evaluated, look=look, missing=missing, example=example)


def _quiet(line: str) -> None:
    """Pass over what was said when the run was trained."""
