"""The folder of a sweep, which ``run_dir`` names."""

from __future__ import annotations

import pytest

from mtl_cli.config.errors import UserError
from mtl_cli.studies.job import Job
from mtl_cli.studies.sweep import sweep_folder


def jobs(*seeds: int, run_dir: str | None = None) -> list[Job]:
    return [Job({"seed": seed, "epochs": 3, "a": "${b", "run_dir": run_dir}, "a", [], []) for seed in seeds]


@pytest.mark.parametrize(
    ("text", "folder"),
    [(None, None), ("out", "out"), ("out/${epochs}", "out/3"), ("out/\\${epochs}", "out/${epochs}")],
)
def test_one_folder_for_all(text: str | None, folder: str | None) -> None:
    assert sweep_folder(jobs(0, 1), text) == folder


def test_that_of_the_configs() -> None:
    assert sweep_folder(jobs(0, 1, run_dir="x"), None) == "x"


def test_not_one_for_each_job() -> None:
    assert sweep_folder(jobs(4), "out/${seed}") == "out/4"
    with pytest.raises(UserError, match=r"^run_dir: is one folder for the whole sweep, not out/0 and out/1"):
        sweep_folder(jobs(0, 1, 2), "out/${seed}")
    with pytest.raises(UserError, match=r"^run_dir: Interpolation key 'nope' not found"):
        sweep_folder(jobs(0), "out/${nope}")
