"""What the text behind a key's ``=`` means."""

from __future__ import annotations

import json
from typing import Any

import yaml

from mtl_cli.config.compose import Unreadable, read_element, read_sweep
from mtl_cli.config.errors import UserError
from mtl_cli.config.user_files import DEEPEST, read_yaml

_OPENING, _CLOSING = "([{", ")]}"


def read_value(text: str) -> Any:
    """Return the value that the text means.

    A list or a mapping in JSON (``{"größe":"regression"}``) is what JSON says, escapes and all: so the Python interface
    writes them. Then Hydra's grammar is asked. It knows letters from a to z only, so a list, a mapping or quoted text
    that it refuses (``[größe,価格]``) is read as YAML; anything else (``data(1).csv``) is taken literally.
    """
    check_depth(text)
    found = _json(text)
    if found is not None:
        return found
    try:
        return read_element(text)
    except Unreadable:
        pass
    if text.strip()[:1] in ("[", "{", "'", '"'):
        try:
            return read_yaml(text)
        except yaml.YAMLError:
            pass
    return text


def check_depth(text: str) -> None:
    """Raise UserError if brackets lie in one another more deeply than any value needs, which takes long to read."""
    depth = deepest = 0
    for letter in text:
        depth += (letter in _OPENING) - (letter in _CLOSING)
        deepest = max(deepest, depth)
    if deepest > DEEPEST:
        raise UserError(text[:20] + "…", f"is nested {deepest:,} deep", f"at most {DEEPEST} can be read")


def _json(text: str) -> list[Any] | dict[str, Any] | None:
    """Return the list or the mapping that the text is in JSON; None if it is none."""
    if text[:1] not in ("[", "{"):
        return None
    try:
        found: list[Any] | dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found


def as_text(text: str) -> str:
    """Return the literal text, without the quotes around it."""
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return str(read_value(text)) if quoted else text


def as_written(value: str) -> str:
    """Return one of several values without the backslashes that Hydra's grammar puts before a space or a comma."""
    if "\\" not in value or value[0] in "'\"":
        return value
    try:
        return str(read_element(value))
    except Unreadable:
        return value


def values_of(text: str, names: list[str]) -> list[str]:
    """Return the values of a sweep, each as text: ``0,1``, ``choice(a,b)``, ``range(5)``, ``glob(*)``; or the only one.

    ``names`` are what ``glob`` chooses from. Text that Hydra's grammar refuses is cut at its commas.
    """
    check_depth(text)
    if _json(text) is not None:
        return [text]
    try:
        return read_sweep(text, names) or [text]
    except Unreadable:
        return _at_commas(text)


def is_sweep(text: str) -> bool:
    """Whether the text is several values in Hydra's grammar."""
    check_depth(text)
    if _json(text) is not None:
        return False
    try:
        return read_sweep(text, ["*"]) is not None
    except Unreadable:
        return False


def _at_commas(text: str) -> list[str]:
    """Cut text at the commas outside quotes and brackets."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in _OPENING:
            depth += 1
        elif letter in _CLOSING:
            depth -= 1
        elif letter == "," and depth <= 0:
            parts.append("")
            continue
        parts[-1] += letter
    return [text] if quote or depth else [part.strip() for part in parts]
