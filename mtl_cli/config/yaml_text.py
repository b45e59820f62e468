"""A config as YAML text that is read back as it is, and as OmegaConf takes it: text with ``${`` in it stays text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf


def to_yaml(plain: Mapping[str, Any]) -> str:
    """Return resolved values as YAML; ``${`` in them is no interpolation, and written ``\\${``."""
    return OmegaConf.to_yaml(OmegaConf.create(escaped(plain)))


def escaped(value: Any) -> Any:
    r"""Return values with a backslash before each ``${``, and those before it doubled, as OmegaConf reads them."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + r"\${", value)
    if isinstance(value, Mapping):
        return {key: escaped(item) for key, item in value.items()}
    return [escaped(item) for item in value] if isinstance(value, list) else value
