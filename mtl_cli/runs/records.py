"""What ``run.json`` and ``metrics.json`` say, read as what they should be: a run's folder may come from anybody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mtl_cli.config.errors import UserError
from mtl_cli.config.user_files import read_file
from mtl_cli.runs.directory import CONFIG, METRICS, RUN
from mtl_cli.runs.strangers import Needed, NotOurs, check_types

_NUMBERS = {...: float}
_TASK = {
    Needed("rows"): float, "loss": float, "skill": float, "constant": dict, "single": _NUMBERS, "classes": {...: dict},
}  # fmt: skip
_PART = {Needed("rows"): float, "score": float, Needed("tasks"): {...: _TASK}}
TYPES: dict[str, dict[Any, Any]] = {
    RUN: {
        "command": [str], "resumed": [[str]], "mtl": str, "python": str, "torch": str, "platform": str, "device": str,
        "threads": float, "seed": float, "members": float, "rows": _NUMBERS, "inputs": list, "parameters": float,
        "status": str, "seconds": float, "seconds_training": float, "seconds_waiting": float, "gradients": str,
        "peak_memory_bytes": float, "process": float, "host": str, "error": str,
    },
    METRICS: {
        Needed("score"): float, "epoch": int, Needed("splits"): {...: _PART}, "primary": {...: str},
        "members": [{"fold": float, "repeat": float, "score": float, "epoch": float}],
        "cross_validation": {
            "folds": float, "repeats": float, "score": (dict, float), "tasks": {...: {...: (dict, float)}},
        },
        "baselines": {
            Needed("names"): [str], Needed("rows"): str,
            Needed("tasks"): {...: {"metric": str, "best": str, "differences": {...: _NUMBERS}}},
        },
        "single": {"rows": str, "tasks": {...: {"metric": str, "difference": float, "high": float, "verdict": str}}},
    },
}  # fmt: skip
"""What stands where, as ``check_types`` takes it; what is not here is not asked."""
SECTIONS = dict.fromkeys(("balancer", "dataset", "model", "optimizer", "trainer"), dict) | {"tasks": {...: dict}}
"""Of a run's config, what is looked into."""
LARGEST = 100 * 2**20
"""Bytes of such a file."""


def read_record(file: Path) -> dict[str, Any]:
    """Read one of the files, by its name; empty if it is not there.

    Raises
    ------
    UserError
        If it is damaged, or not what mtl writes.
    """
    if not file.is_file():
        return {}
    if file.stat().st_size > LARGEST:
        raise UserError(str(file), f"is larger than {LARGEST // 2**20} MiB, and not what mtl wrote")
    return parse_record(file.read_bytes(), file.name, str(file))


def read_config(folder: Path) -> dict[str, Any]:
    """Return the config of the run in a folder as plain values; empty if it is not there. Raises UserError likewise."""
    file = folder / CONFIG
    found = read_file(file) if file.is_file() else {}
    try:
        check_types(found, SECTIONS)
    except NotOurs as error:
        raise UserError(str(file), f"is not what mtl wrote: it {error}", "it was changed") from error
    return found


def parse_record(data: bytes, name: str, where: str) -> dict[str, Any]:
    """Return what is in the bytes of a file of that name. Raises UserError as ``read_record`` does."""
    try:
        found = json.loads(data)
        check_types(found, TYPES[name])
    except NotOurs as error:
        raise UserError(where, f"is not what mtl wrote: it {error}", "it was changed") from error
    except (ValueError, RecursionError) as error:
        raise UserError(where, f"is damaged: {error}", "it was changed, or cut off") from error
    return dict(found)
