"""Where the jobs of a study run, by the name that `launcher=` gives."""

from __future__ import annotations

import os
from collections.abc import Mapping

from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.studies.executors.base import Executor
from mtl_cli.studies.executors.here import Here
from mtl_cli.studies.executors.processes import Processes

LAUNCHERS = ("here", "processes")


def make_executor(options: Mapping[str, str]) -> Executor:
    """Return the executor that ``launcher=processes n_jobs=2`` asks for; by default jobs run in this process."""
    n_jobs = options.get("n_jobs")
    launcher = options.get("launcher", "here" if n_jobs is None else "processes")
    if launcher not in LAUNCHERS:
        raise UserError("launcher", f"there is no '{launcher}'", did_you_mean(launcher, LAUNCHERS, "launcher="))
    if launcher == "here":
        if n_jobs is not None:
            raise UserError("n_jobs", "is for jobs in processes of their own", "launcher=processes")
        return Here()
    if n_jobs is not None and not (n_jobs.isdecimal() and int(n_jobs) > 0):
        raise UserError("n_jobs", f"must be a whole number above 0, not '{n_jobs}'")
    return Processes(os.cpu_count() or 1 if n_jobs is None else int(n_jobs))
