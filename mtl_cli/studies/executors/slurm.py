"""`launcher=slurm`: each job as a job of Slurm, through submitit; `slurm={cluster: local}` tries it without Slurm."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtl_cli.config.errors import UserError
from mtl_cli.studies.executors.limits import GB, Limits
from mtl_cli.studies.executors.remote import Remote, here, work
from mtl_cli.studies.job import Job, Outcome

FOLDER = "slurm"
"""In the study's: submitit's files while jobs run, and what it has to say of those that were lost."""
MINUTES = 24 * 60.0
SECONDS = 1.0
"""Between looks at whether jobs have ended; submitit asks Slurm itself much less often."""


@dataclass
class Slurm(Remote[Any]):
    """Runs each job as a job of Slurm.

    Parameters
    ----------
    n_jobs : int, optional
        How many are handed out at once; by default all of them, and without Slurm as many as there are cores.
    limits : Limits
        What each asks Slurm for.
    minutes : float, optional
        The longest that one may take.
    keys : mapping
        Further ones of ``sbatch``, as submitit has them: ``partition``, ``account``, ``qos``, ``constraint``, …; and
        ``cluster``, which is ``slurm`` or ``local``.
    """

    n_jobs: int | None = None
    limits: Limits = field(default_factory=Limits)
    minutes: float | None = None
    keys: Mapping[str, object] = field(default_factory=dict)
    _executor: Any = field(default=None, init=False)
    _folder: Path = field(default=Path(FOLDER), init=False)

    def __post_init__(self) -> None:
        cluster = self.keys.get("cluster", "slurm")
        if cluster not in ("slurm", "local"):
            raise UserError("slurm.cluster", f"there is no '{cluster}'", "slurm or local")
        if cluster == "slurm" and shutil.which("sbatch") is None:
            hint = "run mtl on a machine of the cluster; slurm='{cluster: local}' tries it on this one"
            raise UserError("launcher", "there is no Slurm here: no command sbatch", hint)

    def open(self, first: Job) -> int:
        """Set up what submits."""
        import submitit

        local = self.keys.get("cluster") == "local"
        self._folder = Path(str(first.folder)).absolute().parent / FOLDER
        self._executor = submitit.AutoExecutor(self._folder, cluster="local" if local else "slurm")
        asked = {
            "name": "mtl",
            "timeout_min": int(self.minutes or MINUTES),
            "cpus_per_task": self.limits.cores or 1,
            "gpus_per_node": int(self.limits.gpus) or None,
            "mem_gb": None if self.limits.memory is None else self.limits.memory / GB,
            **{f"slurm_{key}": value for key, value in self.keys.items() if key != "cluster"},
        }
        try:
            self._executor.update_parameters(**{key: value for key, value in asked.items() if value is not None})
        except NameError as error:  # of a key that sbatch has not
            raise UserError("slurm", str(error).splitlines()[0]) from error
        return self.n_jobs or ((os.cpu_count() or 1) if local else sys.maxsize)

    def start(self, job: Job) -> Any:
        """Hand out a job."""
        import submitit

        try:
            return self._executor.submit(work, job, self.limits, here())
        except submitit.core.utils.FailedJobError as error:
            raise UserError("launcher", f"Slurm does not take the job: {str(error).splitlines()[-1]}") from error

    def wait(self, running: list[Any]) -> list[int]:
        """Wait until at least one has ended, or a second."""
        time.sleep(SECONDS)
        return [place for place, handle in enumerate(running) if handle.done()]

    def outcome(self, handle: Any) -> Outcome | str:
        """Return what became of a job, or why it was lost."""
        import submitit

        try:
            found: Outcome = handle.result()
        except submitit.core.utils.FailedJobError:  # what run_job lets pass is a bug of ours
            raise
        except submitit.core.utils.UncompletedJobError:
            return f"it was lost (job {handle.job_id}, {handle.state.lower()})"
        return found

    def close(self, running: list[Any], done: bool) -> None:
        """Cancel what still runs; submitit's files are of no use once all jobs have ended."""
        for handle in running:
            handle.cancel(check=False)
        if done:
            shutil.rmtree(self._folder, ignore_errors=True)
