"""A study: a folder with the runs of many jobs, what they are, and a row for each that has ended."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from mtl_cli.config.errors import UserError
from mtl_cli.config.overrides import split_word
from mtl_cli.io import atomic, user_path
from mtl_cli.runs import directory
from mtl_cli.runs.lock import take_lock
from mtl_cli.studies.job import Job, Outcome, line_of, rerunnable
from mtl_cli.studies.results import Result, row_of, write_rows
from mtl_cli.studies.study_file import StudyFile, read_study, write_study

LAST = ("seconds", "error")
"""Columns at the end of the table."""


@dataclass
class Study:
    """The folder of a study while its jobs run.

    Parameters
    ----------
    path : Path
    jobs : list of Job
        All of them, each with its folder.
    file : StudyFile
    """

    path: Path
    jobs: list[Job]
    file: StudyFile
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    """What the table holds, by job."""

    def done_before(self) -> dict[int, Outcome]:
        """Return the outcomes of the jobs that are done already, by number, and put them into the table."""
        found = {}
        for job in self.jobs:
            result = Result(Path(str(job.folder)), job.settings)
            if result.done and result.metrics:
                found[job.number] = Outcome(line_of(str(job.folder), result.metrics), 0)
                self.rows[job.number] = {**self._start(job), **row_of(result)}
        if found:
            self.write()
        return found

    def add(self, job: Job, outcome: Outcome) -> None:
        """Put a job that has ended into the table."""
        if outcome.status == 0:
            found = row_of(Result(Path(str(job.folder))))
        else:
            found = {"status": "failed", "error": "; ".join(outcome.line["error"])}
        self.rows[job.number] = {**self._start(job), **found}
        self.write()

    def _start(self, job: Job) -> dict[str, Any]:
        return {"job": job.number, **job.settings}

    def write(self) -> None:
        """Write the table whole: a job whose run has failed may have had a row, and its metrics new columns."""
        rows = [self.rows[number] for number in sorted(self.rows)]
        atomic(self.path / directory.STUDY_TABLE, lambda file: write_rows(file, rows, LAST))


def set_apart(jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs with their numbers, and what sets each apart from the others."""
    words = [[split_word(text) for text in job.overrides] for job in jobs]
    texts = [[word.text for word in own if word is not None] for own in words]
    swept = [place for place, values in enumerate(zip(*texts, strict=True)) if len(set(values)) > 1]
    found = []
    for number, (job, own) in enumerate(zip(jobs, words, strict=True)):
        known = [word for word in own if word is not None]
        settings = {known[place].name: str(known[place].text) for place in swept}
        found.append(replace(job, number=number, settings=settings))
    return found


def open_study(jobs: Sequence[Job], folder: str | None, command: Sequence[str], kind: str = "sweep") -> Study:
    """Make the folder of a study, or take that of the same study.

    Parameters
    ----------
    jobs : sequence of Job
        With their numbers.
    folder : str, optional
        By default a fresh one.
    command : sequence of str
        The user's words.
    kind : str
        What is made of the jobs.

    Raises
    ------
    UserError
        If there is anything else in the folder, such as a study of other jobs.
    """
    file = StudyFile(shlex.join(command), [dict(job.settings) for job in jobs], digest_of(jobs), kind)
    if folder is None:
        path = directory.fresh(kind)
    else:
        path = user_path(folder)
        if not (path / directory.STUDY).is_file():
            try:
                path = directory.claim(folder)
            except UserError:
                if not (path / directory.STUDY).is_file():  # which another process has made meanwhile
                    raise
        if (path / directory.STUDY).is_file():
            _check_same(path, file)
            directory.remember(path)
    if not (path / directory.STUDY).is_file():
        write_study(path, file)
    return Study(path, [replace(job, folder=str(path / str(job.number))) for job in jobs], file)


def _check_same(path: Path, file: StudyFile) -> None:
    before = read_study(path)
    if before.kind == file.kind and before.digest == file.digest:
        return
    if before.kind != file.kind:
        what = f"{path} is the folder of another kind of study, a {before.kind}: {before.command}"
    elif file.kind != "sweep":
        what = f"{path} is the folder of another {file.kind} study: {before.command}"
    elif before.jobs != file.jobs:
        what = f"{path} is the folder of another study, of {len(before.jobs)} jobs: {before.command}"
    else:
        what = f"{path} is the folder of another study, whose jobs have other settings: {before.command}"
    raise UserError("run_dir", what, "give another folder")


def digest_of(jobs: Sequence[Job]) -> str:
    """Return a digest of the jobs' configs; where the study runs, and where its runs go, is not in them."""
    text = json.dumps([_without_place(rerunnable(job.plain)) for job in jobs], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _without_place(plain: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in plain.items() if key not in ("run_dir", "resume")}


def lock(study: Study) -> closing[TextIO]:
    """Take a study for this process alone, until what is returned is closed.

    Raises
    ------
    UserError
        If another process is at work on it.
    """
    file = (study.path / directory.STUDY).open("a", encoding="utf-8")
    if not take_lock(file):
        file.close()
        raise UserError("run_dir", f"another mtl is at work on the study {study.path}", "wait for it, or stop it")
    return closing(file)
