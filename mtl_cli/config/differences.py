"""In which settings two configs differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mtl_cli.config.errors import UserError
from mtl_cli.config.user_files import read_file
from mtl_cli.io import user_path

NOT_THERE = "—"
PLACES = ("run_dir",)
"""Settings that differ between any two runs."""


def config_of(path: str) -> dict[str, Any]:
    """Return the config of a run, given its folder or a YAML file. Raises UserError if there is none."""
    file = user_path(path)
    if file.is_dir():
        if not (file / "config.yaml").is_file():
            raise UserError(path, "holds no config.yaml", "give the folder of a run, or a YAML file")
        file = file / "config.yaml"
    if not file.is_file():
        raise UserError(path, "there is no such run or file")
    return {str(key): value for key, value in read_file(file).items()}


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return each key, with dots, in which two configs differ, and both values."""
    first, second = dict(_flat(one)), dict(_flat(other))
    keys = [key for key in dict.fromkeys([*first, *second]) if key not in PLACES]
    pairs = [(key, first.get(key, NOT_THERE), second.get(key, NOT_THERE)) for key in keys]
    return [pair for pair in pairs if pair[1] != pair[2] or type(pair[1]) is not type(pair[2])]


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{name}.")
        else:
            yield name, value
