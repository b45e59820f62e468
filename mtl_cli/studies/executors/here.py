"""`launcher=here`: one job after the other, in this process."""

from __future__ import annotations

from collections.abc import Generator, Iterable

from mtl_cli.studies.executors.base import Ended, Executor
from mtl_cli.studies.job import Job, run_job


class Here(Executor):
    """Runs jobs one after the other in this process. A run sets its seed and its number of threads itself."""

    def run(self, jobs: Iterable[Job]) -> Generator[Ended, None, None]:
        """Run the jobs."""
        for job in jobs:
            yield job, run_job(job)
