"""Where the jobs of a study run, by the name that `launcher=` gives, and what each of them may use."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping

from mtl_cli.config.errors import Problem, UserError, did_you_mean
from mtl_cli.config.values import read_value
from mtl_cli.studies.executors.base import Executor
from mtl_cli.studies.executors.here import Here
from mtl_cli.studies.executors.limits import Limits
from mtl_cli.studies.executors.processes import Processes
from mtl_cli.studies.executors.ray import Ray
from mtl_cli.studies.executors.slurm import Slurm

LAUNCHERS = ("here", "processes", "ray", "slurm")
OPTIONS = {
    "n_jobs": ("processes", "ray", "slurm"),
    "cores": ("processes", "ray", "slurm"),
    "memory": ("processes", "ray", "slurm"),
    "gpus": ("ray", "slurm"),
    "minutes": ("slurm",),
    "slurm": ("slurm",),
}
"""What may be said beside ``launcher``, and with which launchers."""
NEEDS = {"ray": "ray", "slurm": "submitit"}
"""The package behind a launcher; the extra has the launcher's name."""
UNITS = {"": 10**9, "GB": 10**9, "G": 10**9, "MB": 10**6, "M": 10**6, "GIB": 2**30, "MIB": 2**20}
"""Bytes; a number alone is of gigabytes."""


def make_executor(options: Mapping[str, str]) -> Executor:
    """Return the executor that ``launcher=processes n_jobs=2`` asks for; by default jobs run in this process.

    Raises
    ------
    UserError
        With each option that is wrong, or if the launcher is not installed.
    """
    launcher = options.get("launcher", "processes" if "n_jobs" in options else "here")
    if launcher not in LAUNCHERS:
        raise UserError("launcher", f"there is no '{launcher}'", did_you_mean(launcher, LAUNCHERS, "launcher="))
    problems = [
        Problem(key, "is for jobs in processes of their own", f"launcher={OPTIONS[key][0]}")
        for key in options
        if key in OPTIONS and launcher not in OPTIONS[key]
    ]
    numbers: dict[str, float | None] = {}
    for key in ("n_jobs", "cores", "gpus", "minutes", "memory"):
        try:
            numbers[key] = _number(key, options[key]) if key in options else None
        except UserError as error:
            problems += error.problems
    if problems:
        raise UserError.of(problems)
    if launcher in NEEDS and importlib.util.find_spec(NEEDS[launcher]) is None:
        what = f"{launcher} needs the package {NEEDS[launcher]}, which is not installed"
        raise UserError("launcher", what, f"pip install 'mtl-cli[{launcher}]'")
    cores, memory = (None if numbers[key] is None else int(numbers[key] or 0) for key in ("cores", "memory"))
    limits = Limits(cores, memory, numbers["gpus"] or 0)
    n_jobs = None if numbers["n_jobs"] is None else int(numbers["n_jobs"])
    if launcher == "here":
        return Here()
    if launcher == "processes":
        return _processes(n_jobs, limits)
    if launcher == "ray":
        return Ray(n_jobs, limits)
    return Slurm(n_jobs, limits, numbers["minutes"], _mapping(options.get("slurm", "{}")))


def _processes(n_jobs: int | None, limits: Limits) -> Processes:
    """Return as many processes as there are cores and memory for, unless told, each with its part of the cores."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if n_jobs is None:
        n_jobs = max(1, here // (limits.cores or 1))
        if limits.memory is not None:
            n_jobs = max(1, min(n_jobs, _all_memory() // limits.memory))
    if limits.cores is None and "OMP_NUM_THREADS" not in os.environ:
        limits = Limits(max(1, here // n_jobs), limits.memory)
    return Processes(n_jobs, limits)


def _all_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _number(key: str, text: str) -> float:
    """Return a count, a number or a size. Raises UserError if it is none above 0."""
    if key == "memory":
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]*)", text)
        if match is None or match[2].upper() not in UNITS or float(match[1]) <= 0:
            raise UserError(key, f"must be a size, not '{text}'", "such as 4GB or 500MB")
        return float(match[1]) * UNITS[match[2].upper()]
    whole = key in ("n_jobs", "cores")
    fits = text.isdecimal() if whole else re.fullmatch(r"\d+(\.\d+)?", text) is not None
    if not fits or float(text) <= 0:
        raise UserError(key, f"must be a {'whole ' if whole else ''}number above 0, not '{text}'")
    return float(text)


def _mapping(text: str) -> dict[str, object]:
    """Return what ``slurm={partition: gpu}`` says."""
    found = read_value(text)
    if not isinstance(found, dict):
        raise UserError("slurm", f"must be keys and values, not '{text}'", "slurm='{partition: gpu, account: mine}'")
    return {str(key): value for key, value in found.items()}
