"""Executor: where the jobs of a study run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable

from mtl_cli.studies.job import Job, Outcome

Ended = tuple[Job, Outcome]
TRIES = 2
"""How often a job is begun whose worker is killed: memory may have run out, or a machine gone, for once."""


class Executor(ABC):
    """Runs jobs.

    A job that fails does not stop the others: its outcome says so. Jobs write to their logs only; whoever starts an
    executor tells of the outcomes.
    """

    @abstractmethod
    def run(self, jobs: Iterable[Job]) -> Generator[Ended, None, None]:
        """Run each job, and yield it with its outcome as it ends.

        A job is taken when there is room for it, after the outcomes so far were yielded: what has ended may decide what
        comes next.

        If the iterator is closed, or the process interrupted, jobs that run are stopped and the rest is not started.
        """
