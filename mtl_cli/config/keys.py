"""Every key that a config can have, for the parts that it chooses."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from mtl_cli.config.convert import Component, field_types
from mtl_cli.config.registry import SELECTORS, components
from mtl_cli.config.schema import Config


def known_keys(plain: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the keys, such as ``trainer.epochs``, each with the words that it may be, if only some are allowed.

    Parameters
    ----------
    plain : mapping
        A config as plain values; it says which components are chosen, and what the tasks are called.
    """
    found: dict[str, list[str]] = {}
    for key, words in _inside(Config, plain, ""):
        found[key] = found.get(key, []) + words
    return found


def _inside(annotation: Any, value: Any, where: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the keys in a value of this type, and itself."""
    origin, args = get_origin(annotation), get_args(annotation)
    if where:
        yield where, _words(annotation)
    if origin is Annotated and isinstance(args[1], Component):
        group = args[1].group
        selector, value = SELECTORS[group], {SELECTORS[group]: value} if isinstance(value, str) else value
        cls = components(group).get(str(value.get(selector))) if isinstance(value, Mapping) else None
        yield f"{where}.{selector}", list(components(group))
        if cls is not None:
            yield from _inside(cls, value, where)
    elif origin is Annotated:
        yield from _inside(args[0], value, where)
    elif origin in (Union, types.UnionType):
        for option in args:
            yield from _inside(option, value, where)
    elif origin is dict and isinstance(value, Mapping):
        for name, item in value.items():
            yield from _inside(args[1], item, f"{where}.{name}")
    elif dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        for name, inner in field_types(annotation).items():
            item = value.get(name) if isinstance(value, Mapping) else None
            yield from _inside(inner, item, f"{where}.{name}" if where else name)


def _words(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [str(option) for option in get_args(annotation)]
    return ["true", "false"] if annotation is bool else []
