"""Executor: where the jobs of a study run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from typing import ClassVar

from mtl_cli.studies.job import Job, Outcome


class Executor(ABC):
    """Runs jobs.

    A job that fails does not stop the others: its outcome says so. Whoever starts an executor prints the outcomes; the
    jobs themselves write to stderr only.
    """

    beside_each_other: ClassVar[bool] = False
    """Whether several jobs may run at once."""

    @abstractmethod
    def run(self, jobs: Sequence[Job]) -> Generator[Outcome, None, None]:
        """Run each job once, and yield its outcome when it is known, in the order of the jobs.

        If the iterator is closed, or the process interrupted, jobs that run are stopped and the rest is not started.
        """
