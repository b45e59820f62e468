"""`launcher=ray`: jobs on the machines of a Ray cluster, or on this one as if it were a cluster.

A running cluster is found by the environment's ``RAY_ADDRESS``, or where ``ray start`` was called on this machine.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass, field
from typing import Any

from mtl_cli.studies.executors.limits import Limits
from mtl_cli.studies.executors.remote import Remote, here, work
from mtl_cli.studies.job import Job, Outcome

SECONDS = 1.0
"""How long to wait for news at once, so that Ctrl-C is heeded."""


@dataclass
class Ray(Remote[Any]):
    """Runs each job as a task of Ray.

    Parameters
    ----------
    n_jobs : int, optional
        How many are handed out at once; by default all of them, and Ray runs as many as there is room for.
    limits : Limits
        What Ray keeps free for each; one core if none is said.
    """

    n_jobs: int | None = None
    limits: Limits = field(default_factory=Limits)
    _task: Any = field(default=None, init=False)
    _stdout: Any = field(default=None, init=False)

    def open(self, first: Job) -> int:
        """Connect to the cluster, or begin one on this machine."""
        import ray

        self._stdout, sys.stdout = sys.stdout, _WithoutRay(sys.stdout)
        ray.init(log_to_driver=False, configure_logging=False, include_dashboard=False, ignore_reinit_error=True)
        asked = {"num_cpus": self.limits.cores or 1, "num_gpus": self.limits.gpus, "memory": self.limits.memory}
        self._task = ray.remote(max_retries=0, **{key: value for key, value in asked.items() if value})(work)
        return self.n_jobs or sys.maxsize

    def start(self, job: Job) -> Any:
        """Hand out a job."""
        return self._task.remote(job, self.limits, here())

    def wait(self, running: list[Any]) -> list[int]:
        """Wait a second, or until one ends."""
        import ray

        ended, _ = ray.wait(running, num_returns=1, timeout=SECONDS)
        return [place for place, reference in enumerate(running) if reference in ended]

    def outcome(self, handle: Any) -> Outcome | str:
        """Return what became of a job, or why its worker was lost."""
        import ray

        try:
            found: Outcome = ray.get(handle)
        except ray.exceptions.RayTaskError:  # what run_job lets pass is a bug of ours
            raise
        except ray.exceptions.RayError as error:
            kind = type(error).__name__
            reason = {
                "WorkerCrashedError": "its worker was killed",
                "OutOfMemoryError": "memory ran out on its machine",
            }
            return reason.get(kind, f"its worker was lost ({kind})")
        return found

    def close(self, running: list[Any], done: bool) -> None:
        """Stop what still runs, and leave the cluster."""
        import ray

        for reference in running:
            ray.cancel(reference, force=True)
        ray.shutdown()
        sys.stdout = self._stdout


class _WithoutRay:
    """The stream of a command's data; what Ray's own threads print there, such as of lost workers, goes to stderr."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write some text."""
        stream = sys.stderr if threading.current_thread().name.startswith("ray_") else self._stream
        return int(stream.write(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
