"""What ``run.json`` and ``metrics.json`` say, read as what they should be: a run's folder may come from anybody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mtl_cli.config.errors import UserError
from mtl_cli.config.user_files import read_file
from mtl_cli.runs.directory import CONFIG, METRICS, RUN
from mtl_cli.runs.strangers import NotOurs, check_types

_NUMBERS = {...: float}
_TASK = {
    "rows": float, "loss": float, "skill": float, "constant": dict, "single": _NUMBERS, "classes": {...: dict},
}  # fmt: skip
_PART = {"rows": float, "score": float, "tasks": {...: _TASK}}
TYPES: dict[str, dict[Any, Any]] = {
    RUN: {
        "command": [str], "resumed": [[str]], "mtl": str, "python": str, "torch": str, "platform": str, "device": str,
        "threads": float, "seed": float, "members": float, "rows": _NUMBERS, "inputs": list, "parameters": float,
        "status": str, "seconds": float, "seconds_training": float, "seconds_waiting": float, "gradients": str,
        "peak_memory_bytes": float, "process": float, "host": str, "error": str,
    },
    METRICS: {
        "score": float, "epoch": float, "splits": {...: _PART}, "primary": {...: str},
        "members": [{"fold": float, "repeat": float, "score": float, "epoch": float}],
        "cross_validation": {
            "folds": float, "repeats": float, "score": (dict, float), "tasks": {...: {...: (dict, float)}},
        },
        "baselines": {
            "names": [str], "rows": str, "tasks": {...: {"metric": str, "best": str, "differences": {...: _NUMBERS}}},
        },
        "single": {"rows": str, "tasks": {...: {"metric": str, "difference": float, "high": float, "verdict": str}}},
    },
}  # fmt: skip
"""What stands where, as ``check_types`` takes it; what is not here is not asked."""
NEEDED = {RUN: (), METRICS: ("score", "splits")}
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
    return read_file(file) if file.is_file() else {}


def parse_record(data: bytes, name: str, where: str) -> dict[str, Any]:
    """Return what is in the bytes of a file of that name. Raises UserError as ``read_record`` does."""
    try:
        found = json.loads(data)
        check_types(found, TYPES[name])
        if missing := [key for key in NEEDED[name] if key not in found]:
            raise NotOurs(f"has no {missing[0]}")
    except NotOurs as error:
        raise UserError(where, f"is not what mtl wrote: it {error}", "it was changed") from error
    except (ValueError, RecursionError) as error:
        raise UserError(where, f"is damaged: {error}", "it was changed, or cut off") from error
    return dict(found)
