"""A search for settings: trials are begun as the journal proposes them, run as the jobs of any study, and told of."""

from __future__ import annotations

import math
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl_cli import signals
from mtl_cli.config.errors import UserError
from mtl_cli.config.space import check_values
from mtl_cli.reports.study import StudyProgress, duration
from mtl_cli.runs.directory import LOG, RunDirectory
from mtl_cli.studies.executors.base import Executor
from mtl_cli.studies.job import Job, Outcome, make_job
from mtl_cli.studies.journal import JOURNAL, Claimed, Journal, error_of, values_of
from mtl_cli.studies.pruning import TrialOf
from mtl_cli.studies.results import SEARCH, Result, row_of
from mtl_cli.studies.search import Search, settings_text
from mtl_cli.studies.study import Study, open_study

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

HOPELESS = 3
"""Trials that have failed, none having ended otherwise, after which no other begins."""
SECONDS = 1.0
"""Between looks at the trials of other processes."""


def open_search(search: Search, folder: str | None, command: Sequence[str]) -> Study:
    """Make the folder of a search, or take that of the same search."""
    return replace(open_study([search.identity()], folder, command, SEARCH), jobs=[])


def run_search(search: Search, study: Study, executor: Executor) -> tuple[int, dict[str, Any] | None]:
    """Run trials until there are enough of them, those that other processes run too, and sum up.

    Parameters
    ----------
    search : Search
    study : Study
        Its folder.
    executor : Executor

    Returns
    -------
    int
        0 if the best is known; 2 if no trial has come to an end by the user's input; 1 if a trial failed otherwise.
    dict, optional
        The JSON line of the best trial; None if no trial is done.
    """
    seed = int(search.base.plain["seed"])
    journal = Journal(study.path, search.space, len(search.names), search.sampler, seed)
    tuning = Tuning(search, study, journal)
    try:
        tuning.run(executor)
    finally:
        tuning.progress.stop()
        journal.close()
    from mtl_cli.studies.tune_summary import print_search  # its tables need pandas

    best = print_search(tuning.progress.console, search, study, journal)
    return tuning.status(best is not None), best


class Tuning:
    """A search as it goes on in this process.

    Parameters
    ----------
    search : Search
    study : Study
    journal : Journal
    """

    def __init__(self, search: Search, study: Study, journal: Journal) -> None:
        self._search, self._study, self._journal = search, study, journal
        self._running: dict[int, Job] = {}
        self._until = math.inf if search.minutes is None else time.monotonic() + 60 * search.minutes
        self._statuses: list[int] = []
        self._best: int | None = None
        ended = self._refresh()
        self.progress = StudyProgress(search.trials, ended, lambda: len(self._running))

    def run(self, executor: Executor) -> None:
        """Run trials as long as there is one to run, and wait for those of other processes."""
        search, study = self._search, self._study
        before, told = len(study.rows), False
        asked = "as many as time allows" if search.trials is None else f"{search.trials}"
        print(f"search in {study.path}: {asked} trials, {before} have ended", file=sys.stderr)
        try:
            while True:
                with closing(executor.run(self._claims())) as ended:
                    for job, outcome in ended:
                        self._ended(job, outcome)
                others = self._journal.others()
                self._refresh()
                if self._is_over() or not others:
                    return
                if not told:
                    print(f"waiting for {others} of other processes", file=sys.stderr)
                told = True
                time.sleep(SECONDS)
        except (KeyboardInterrupt, SystemExit):
            self.progress.stop()
            again = f"the same command with run_dir={shlex.quote(str(study.path))} goes on"
            print(f"{self._refresh()} trials have ended; {again}", file=sys.stderr)
            raise

    def status(self, found: bool) -> int:
        """Return the exit status, given whether a best trial was found."""
        if 1 in self._statuses or (not found and 2 not in self._statuses):
            return 1
        return 0 if found else 2

    def _is_over(self) -> bool:
        failed = [row for row in self._study.rows.values() if row["status"] == "failed"]
        hopeless = len(failed) >= HOPELESS and len(failed) == len(self._study.rows)
        return hopeless or time.monotonic() >= self._until

    def _claims(self) -> Iterator[Job]:
        """Yield the jobs of this process's trials, each when there is room for it."""
        while not self._is_over():
            claimed = self._journal.claim(self._search.trials)
            if claimed is None:
                return
            try:
                job = self._job(claimed)
            except UserError as error:  # these values do not go together
                job = replace(self._search.base, number=claimed.number, settings=claimed.values)
                line = {"error": [str(problem) for problem in error.problems]}
                self._ended(job, Outcome(line, 2))
                continue
            self._running[job.number] = job
            yield job

    def _job(self, claimed: Claimed) -> Job:
        search = self._search
        checked = check_values(search.space, claimed.values, search.assembler)
        job = make_job(checked, search.start)
        trial = TrialOf(self._study.path.absolute() / JOURNAL, claimed.number, self._prunes)
        return replace(
            job, plain={**job.plain, "plots": False, "run_dir": None}, trial=trial, number=claimed.number,
            folder=str(self._study.path / str(claimed.number)), settings=claimed.values,
        )  # fmt: skip

    @property
    def _prunes(self) -> bool:
        return self._search.pruner != "none" and self._search.objective == "score"

    def _ended(self, job: Job, outcome: Outcome) -> None:
        """Tell the journal of a trial that has ended, and the user."""
        with signals.waiting():
            self._running.pop(job.number, None)
            self._tell(job, outcome)
            if job.folder is not None:
                RunDirectory(Path(job.folder)).remove_checkpoints()
            count = self._refresh()
        row = self._study.rows[job.number]
        self._statuses.append(outcome.status)
        self.progress.ended(self._line(job, row, outcome.status), row["status"] == "failed", count)

    def _tell(self, job: Job, outcome: Outcome) -> None:
        if outcome.status == 1:
            self._journal.tell_failed(job.number, "; ".join(outcome.line["error"]))
        elif outcome.status == 2:
            self._journal.tell_pruned(job.number, "; ".join(outcome.line["error"]))
        elif outcome.line["status"] == "pruned":
            self._journal.tell_pruned(job.number)
        else:
            values = judged(Result(Path(str(job.folder))), self._search)
            if any(math.isnan(value) for value in values):
                self._journal.tell_pruned(job.number, "its score is not a number")
            else:
                self._journal.tell(job.number, values)

    def _refresh(self) -> int:
        """Put all trials that have ended into the table, also those of other processes; return how many there are."""
        from mtl_cli.studies.tune_summary import write_best

        new = False
        for trial in self._journal.trials:
            if trial.state.is_finished() and trial.number not in self._study.rows:
                self._study.rows[trial.number] = self._row(trial)
                new = True
        if new:
            self._study.write()
            self._best = write_best(self._search, self._study, self._journal, self._best)
        return len(self._study.rows)

    def _row(self, trial: FrozenTrial) -> dict[str, Any]:
        start = {"trial": trial.number, **values_of(trial)}
        result = Result(self._study.path / str(trial.number))
        if (error := error_of(trial)) is not None:
            return {**start, "status": "failed", "score": None, "error": error}
        if trial.state.name != "COMPLETE":
            about = f"after epoch {trial.last_step}"
            return {**start, "status": "pruned", "score": None, "seconds": result.seconds, "error": about}
        return {**start, **{key: value for key, value in row_of(result).items() if key != "val_score"}}

    def _line(self, job: Job, row: Mapping[str, Any], status: int) -> str:
        """Return the line of a trial that has ended."""
        label = f"trial {job.number}  {settings_text(job.settings)}"
        if row["status"] == "failed":
            where = f"; its log is {job.folder}/{LOG}" if status == 1 else ""
            return f"{label}  failed: {row['error']}{where}"
        if row["status"] == "pruned":
            return f"{label}  pruned {row['error']}"
        better = [other["score"] for other in self._study.rows.values() if other["score"] is not None]
        best = "  best so far" if row["score"] == max(better) and len(better) > 1 else ""
        return f"{label}  score {row['score']:.4f}  {duration(row['seconds'])}{best}"


def judged(result: Result, search: Search) -> list[float]:
    """Return what a trial that is done is judged by, NaN for what is not known."""
    if search.objective == "score":
        found = [result.score]
    else:
        tasks = result.splits.get("val", {}).get("tasks", {})
        found = [tasks.get(name, {}).get("skill") for name in search.tasks]
    return [math.nan if value is None else float(value) for value in found]
