"""A config as YAML text that is read back as it is, and as OmegaConf takes it: text with ``${`` in it stays text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from mtl_cli.config.errors import UserError
from mtl_cli.config.user_files import read_file


def to_yaml(plain: Mapping[str, Any]) -> str:
    """Return resolved values as YAML; ``${`` in them is no interpolation, and written ``\\${``."""
    return OmegaConf.to_yaml(OmegaConf.create(escaped(plain)))


def read_written(file: Path) -> dict[str, Any]:
    """Return what ``to_yaml`` wrote to a file. Raises UserError if it cannot be read, or as ``literal`` does."""
    found: dict[str, Any] = literal(read_file(file), file)
    return found


def literal(value: Any, file: Path) -> Any:
    r"""Return what ``to_yaml`` wrote as it was, every key as text.

    Raises
    ------
    UserError
        If there is a ``${`` that it does not write: an interpolation would read what is outside of the config.
    """
    if isinstance(value, Mapping):
        return {str(key): literal(item, file) for key, item in value.items()}
    if isinstance(value, list):
        return [literal(item, file) for item in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    for slashes in re.findall(r"(\\*)\$\{", value):
        if len(slashes) % 2 == 0:
            what = f"has an interpolation, {value}, which no run's config has"
            raise UserError(str(file), what, f"mtl train {file} starts a run of its own")
    return re.sub(r"(\\*)\\\$\{", lambda match: match[1][: len(match[1]) // 2] + "${", value)


def escaped(value: Any) -> Any:
    r"""Return values with a backslash before each ``${``, and those before it doubled, as OmegaConf reads them."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + r"\${", value)
    if isinstance(value, Mapping):
        return {key: escaped(item) for key, item in value.items()}
    return [escaped(item) for item in value] if isinstance(value, list) else value
