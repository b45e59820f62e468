"""`study.yaml`: what the jobs of a study are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mtl_cli import __version__
from mtl_cli.config.errors import UserError
from mtl_cli.config.user_files import read_yaml
from mtl_cli.config.yaml_text import to_yaml
from mtl_cli.io import atomic
from mtl_cli.runs.directory import STUDY

HEADER = """\
# mtl compare THIS_FOLDER
# The jobs of a study: job N runs in the folder N. The command below, with run_dir=THIS_FOLDER, runs what is missing or
# has failed; mtl compare says what the study shows.
"""


@dataclass(frozen=True)
class StudyFile:
    """What ``study.yaml`` holds.

    Parameters
    ----------
    command : str
        The command that made the study.
    jobs : list of dict of str to str
        What sets each job apart.
    digest : str
        Of all jobs' configs.
    kind : str
        Such as ``sweep``.
    mtl : str
        The version that made it.
    """

    command: str
    jobs: list[dict[str, str]]
    digest: str
    kind: str = "sweep"
    mtl: str = __version__


def read_study(folder: Path) -> StudyFile:
    """Read a study's ``study.yaml``.

    Raises
    ------
    UserError
        If it is none that mtl wrote.
    """
    file = folder / STUDY
    try:
        content = read_yaml(file.read_text(encoding="utf-8"))
        jobs = [{str(key): str(value) for key, value in job.items()} for job in content["jobs"]]
        return StudyFile(content["command"], jobs, content["digest"], content["kind"], content["mtl"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(str(file), "does not describe a study", "mtl train -m writes such a file") from error


def write_study(folder: Path, file: StudyFile) -> None:
    """Write a study's ``study.yaml``."""
    content = {"kind": file.kind, "command": file.command, "mtl": file.mtl, "digest": file.digest, "jobs": file.jobs}
    atomic(folder / STUDY, lambda place: place.write_text(HEADER + to_yaml(content), encoding="utf-8"))
