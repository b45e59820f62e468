"""Laying the keys of the command line over a composed config, in an order that does not depend on how they stand there.

Whole values come before the keys inside them: ``tasks.price.weight=7 tasks='{price: regression}'`` sets both. A mapping
is merged into what is there, but ``tasks={…}`` takes the place of the data set's own tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtl_cli.config.errors import Problem
from mtl_cli.config.overrides import Key, Settings
from mtl_cli.config.short_forms import write_out

MISSING = "???"


def merge(composed: Mapping[str, Any], settings: Settings) -> tuple[dict[str, Any], list[Problem]]:
    """Return the config with the settings in it, and what could not be set."""
    plain: dict[str, Any] = write_out(text_keys(composed))
    problems = []
    for key in sorted(settings.values, key=lambda key: (len(key), key)):
        if above := _contradiction(key, settings):
            problems.append(Problem(".".join(key), f"cannot be set together with {above}", "leave one of them out"))
        elif fault := _set(plain, key, settings.values[key]):
            problems.append(Problem(".".join(key), fault))
        else:
            plain = write_out(plain)
    for key in settings.deleted:
        if not _delete(plain, key):
            problems.append(Problem(f"~{'.'.join(key)}", "there is no such key"))
    return plain, problems


def text_keys(value: Any) -> Any:
    """Return plain values with every key as text: a task may be called 4."""
    if isinstance(value, Mapping):
        return {str(key): text_keys(item) for key, item in value.items()}
    return [text_keys(item) for item in value] if isinstance(value, list) else value


def _contradiction(key: Key, settings: Settings) -> str | None:
    """Return what the user set one of the keys above to, if nothing can lie in it."""
    for length in range(1, len(key)):
        above = settings.values.get(key[:length], {})
        if above is None or isinstance(above, bool | int | float):
            return f"{'.'.join(key[:length])}={'null' if above is None else above}"
    return None


def _set(plain: dict[str, Any], key: Key, value: Any) -> str | None:
    """Set a key, making the mappings above it; return what is in the way, if anything is."""
    where: Any = plain
    for i, name in enumerate(key[:-1]):
        found = _get(where, name)
        if found in (None, MISSING):
            found = where[name] = {}
        if not isinstance(found, dict | list):
            return f"{'.'.join(key[: i + 1])} is {found}, and has no keys"
        where = found
    if isinstance(where, list):
        if not (key[-1].isdecimal() and int(key[-1]) < len(where)):
            return f"{'.'.join(key[:-1])} is a list of {len(where)}"
        where[int(key[-1])] = text_keys(value)
        return None
    before = where.get(key[-1])
    merged = isinstance(before, dict) and isinstance(value, Mapping) and key != ("tasks",)
    where[key[-1]] = laid_over(before, text_keys(value)) if merged else text_keys(value)
    return None


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two mappings; where both say something that is no mapping, the second holds."""
    merged = dict(below)
    for key, value in above.items():
        inner = merged.get(key)
        if isinstance(inner, Mapping) and isinstance(value, Mapping):
            merged[key] = laid_over(inner, value)
        else:
            merged[key] = value
    return merged


def _get(where: Any, name: str) -> Any:
    if isinstance(where, list):
        return where[int(name)] if name.isdecimal() and int(name) < len(where) else "a list"
    return where.get(name)


def _delete(plain: dict[str, Any], key: Key) -> bool:
    where: Any = plain
    for name in key[:-1]:
        where = where.get(name) if isinstance(where, dict) else None
    if not isinstance(where, dict) or key[-1] not in where:
        return False
    del where[key[-1]]
    return True
