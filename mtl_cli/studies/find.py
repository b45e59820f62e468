"""Runs and studies below a folder, as a list."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.io import user_path
from mtl_cli.runs.directory import CONFIG, OUTPUTS, RUN, SINGLE, STUDY
from mtl_cli.studies.groups import SELECTING, flat
from mtl_cli.studies.results import Result, results_of
from mtl_cli.studies.study_file import read_study

COLUMNS = ("name", "kind", "began", "data", "balancer", "status", "score", "seconds")
LARGEST_FIRST = ("score", "began")
Row = dict[str, Any]


def list_runs(words: Sequence[str], sort: str | None = None) -> list[Row]:
    """Return a row for each run and study below a folder.

    Parameters
    ----------
    words : sequence of str
        At most one folder, ``outputs`` by default; and ``KEY=VALUE`` that a run must have: a column, or a key of its
        config.
    sort : str, optional
        A column; by default when they began, the newest first. Scores are sorted with the best first.
    """
    folders, wanted = (
        [word for word in words if "=" not in word],
        [word.partition("=") for word in words if "=" in word],
    )
    if len(folders) > 1:
        raise UserError(folders[1], "is a second folder", "mtl list runs takes one")
    folder = user_path(folders[0] if folders else OUTPUTS)
    if not folder.is_dir():
        raise UserError(str(folder), "there is no such folder", None if folders else "give the folder that runs are in")
    column = sort or "began"
    if column not in COLUMNS:
        raise UserError("--sort", f"there is no column '{column}'", did_you_mean(column, COLUMNS))
    rows = [row for row, keys in _rows(folder) if all(keys.get(key) == value for key, _, value in wanted)]
    known = [row for row in rows if row[column] != ""]
    known.sort(key=lambda row: row[column], reverse=column in LARGEST_FIRST)
    return known + [row for row in rows if row[column] == ""]


def _rows(folder: Path) -> Iterator[tuple[Row, dict[str, str]]]:
    """Yield the row of each run and study, and what it may be found by."""
    for place, inner, files in os.walk(folder):
        path = Path(place)
        inner[:] = sorted(name for name in inner if not name.startswith(".") and not (path / name).is_symlink())
        if STUDY in files:
            row = _study(path, folder)
        elif CONFIG in files and RUN in files:
            inner[:] = [name for name in inner if name != SINGLE]
            row = _run(path, folder)
        else:
            continue
        keys = {key: str(value) for key, value in row.items()}
        yield row, {**_config(path), **keys} if row["kind"] == "run" else keys


def _run(path: Path, folder: Path) -> Row:
    result = Result(path)
    dataset = result.config.get("dataset", {})
    data = str(dataset.get("path") or dataset.get("kind", ""))
    score = "" if result.score is None else round(result.score, 4)
    seconds = "" if result.seconds is None else round(result.seconds, 1)
    balancer = str(result.config.get("balancer", {}).get("name", ""))
    values = (
        "run",
        _time(path / CONFIG),
        Path(data.rpartition(":")[2]).name,
        balancer,
        result.status,
        score,
        seconds,
    )
    return {"name": _name(path, folder), **dict(zip(COLUMNS[1:], values, strict=True))}


def _study(path: Path, folder: Path) -> Row:
    found = read_study(path)
    results = results_of(path)
    done = [result for result in results if result.done]
    scores = [result.score for result in done if result.score is not None and found.kind != "nested"]
    spent = sum(result.seconds or 0 for result in done)
    status = f"{len(done)} of {len(results)} done"
    values = (found.kind, _time(path / STUDY), "", "", status, round(max(scores), 4) if scores else "", round(spent, 1))
    return {"name": _name(path, folder), **dict(zip(COLUMNS[1:], values, strict=True))}


def _config(path: Path) -> dict[str, str]:
    """Return the keys of a run's config, those that choose a component also without ``name`` or ``kind``."""
    keys = dict(flat(Result(path).config))
    short = {key.rpartition(".")[0]: value for key, value in keys.items() if key.rpartition(".")[2] in SELECTING}
    return {**short, **keys}


def _time(file: Path) -> str:
    return datetime.fromtimestamp(file.stat().st_mtime).strftime("%Y-%m-%d %H:%M:%S")


def _name(path: Path, folder: Path) -> str:
    return str(path if path == folder else folder / path.relative_to(folder))
