"""Where a key stands in a YAML file: the line to go to."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from mtl_cli.config.user_files import Loader


def lines_of(file: Path) -> dict[str, int]:
    """Return the line, from 1, of each key of a YAML file, by its name with dots; items of lists as ``key[0]``."""
    node = yaml.compose(file.read_text(encoding="utf-8-sig"), Loader=Loader)
    found: dict[str, int] = {}
    if node is not None:
        _collect(node, "", found)
    return found


def line_of(where: str, lines: dict[str, int]) -> int | None:
    """Return the line of a key, or of the nearest one above it that is written; None if there is none."""
    parts = re.split(r"(?=\[)|\.", where)
    while parts:
        name = parts[0] + "".join(part if part.startswith("[") else f".{part}" for part in parts[1:])
        if name in lines:
            return lines[name]
        parts.pop()
    return None


def _collect(node: yaml.Node, name: str, found: dict[str, int]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = f"{name}.{key.value}" if name else str(key.value)
            found.setdefault(inner, key.start_mark.line + 1)
            _collect(value, inner, found)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            found.setdefault(f"{name}[{number}]", item.start_mark.line + 1)
            _collect(item, f"{name}[{number}]", found)
