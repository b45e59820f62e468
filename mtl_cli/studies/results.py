"""What a run left, as it is compared with others: its config, its metrics, and which rows they are of."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mtl_cli.config.errors import UserError
from mtl_cli.io import user_path
from mtl_cli.runs import directory
from mtl_cli.runs.records import read_config, read_record
from mtl_cli.studies.study_file import read_study

PARTS = ("test", "val")
"""On which tasks are compared: test rows, or validation rows where there are none."""
SEARCH = "tune"
"""The kind of study that is a search: its jobs are not known beforehand."""


@dataclass(frozen=True)
class Result:
    """The folder of a run, whose files are read when they are asked for.

    Parameters
    ----------
    path : Path
    settings : dict of str to str
        What sets it apart from the other jobs of its study; empty outside a study.
    """

    path: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def record(self) -> dict[str, Any]:
        """``run.json``; empty as long as the run has not ended."""
        return read_record(self.path / directory.RUN)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """``metrics.json``."""
        return read_record(self.path / directory.METRICS)

    @cached_property
    def config(self) -> dict[str, Any]:
        """``config.yaml``."""
        return read_config(self.path)

    @property
    def done(self) -> bool:
        """Whether the run has ended well."""
        return self.status == "done"

    @property
    def status(self) -> str:
        """How it ended: done, failed, interrupted or terminated; ``unfinished`` if it did not."""
        return str(self.record.get("status", "unfinished"))

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        return self.record.get("seconds")

    @property
    def score(self) -> float | None:
        """The mean skill on the validation rows."""
        return self.metrics.get("score")

    @property
    def part(self) -> str:
        """The part of the split that its tasks are measured on."""
        return next((name for name in PARTS if name in self.splits), PARTS[0])

    @property
    def splits(self) -> dict[str, Any]:
        """Its metrics by part of the split."""
        found: dict[str, Any] = self.metrics.get("splits", {})
        return found

    @cached_property
    def tasks(self) -> dict[str, dict[str, float]]:
        """Each task's metrics on the test rows, skill first; only numbers that are the better or worse the larger."""
        from mtl_cli.inference.evaluate import NO_METRICS

        found = {}
        for name, report in self.splits.get(self.part, {}).get("tasks", {}).items():
            numbers = {key: value for key, value in report.items() if isinstance(value, int | float)}
            found[name] = {key: value for key, value in numbers.items() if key not in NO_METRICS}
        return found

    @cached_property
    def single(self) -> dict[str, dict[str, float]]:
        """What ``trainer.compare_single`` measured on the same rows: each task's network of its own."""
        reports = self.splits.get(self.part, {}).get("tasks", {})
        return {name: report["single"] for name, report in reports.items() if "single" in report}

    def primary(self, task: str) -> str:
        """Return the metric that a task is usually judged by; its skill, if the run is older than the record of it."""
        found: dict[str, str] = self.metrics.get("primary", {})
        return found.get(task, "skill")

    @cached_property
    def split(self) -> str:
        """A digest of which row is in which part; two runs on the same rows have the same."""
        file = self.path / directory.SPLITS
        return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def find_results(path: str) -> list[Result]:
    """Return the run in a folder, or those of the jobs of a study that are done.

    Raises
    ------
    UserError
        If it is neither, or nothing in it is done.
    """
    folder = user_path(path)
    if (folder / directory.STUDY).is_file():
        done = [result for result in results_of(folder) if result.done]
        if not done:
            raise UserError(path, "is a study of which no job is done", "run it first")
        return done
    result = Result(folder)
    if not result.record:
        raise UserError(
            path, "is neither the folder of a run that has ended nor of a study", "mtl list runs finds them"
        )
    if not result.metrics:
        raise UserError(path, f"is a run without metrics: it is {result.status}")
    return [result]


def results_of(folder: Path) -> list[Result]:
    """Return the jobs of a study, whether or not they have ended; of a search, the trials that have."""
    found = read_study(folder)
    if found.kind != SEARCH:
        return [Result(folder / str(number), settings) for number, settings in enumerate(found.jobs)]
    table, keys = folder / directory.STUDY_TABLE, found.jobs[0]
    if not table.is_file():
        return []
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [Result(folder / row["trial"], {key: row[key] for key in keys if row.get(key)}) for row in rows]


def row_of(result: Result) -> dict[str, Any]:
    """Return what a table of runs says of a run that is done: score, metrics of each task, seconds."""
    row: dict[str, Any] = {"status": result.status, "score": result.score}
    row[f"{result.part}_score"] = result.splits.get(result.part, {}).get("score")
    row |= {f"{task}.{metric}": value for task, own in result.tasks.items() for metric, value in own.items()}
    return {**row, "seconds": result.seconds}


def write_rows(path: Path, rows: list[dict[str, Any]], last: tuple[str, ...] = ()) -> None:
    """Write rows as CSV under every column that one of them has, the ``last`` ones at the end."""
    columns = list(dict.fromkeys(key for row in rows for key in row if key not in last))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*columns, *last], lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
