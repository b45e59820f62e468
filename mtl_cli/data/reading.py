"""Keys that `mtl predict` and `mtl evaluate` take: how a new file is read, where not as the training file was."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from mtl_cli.config.convert import Converter, field_types
from mtl_cli.config.errors import Problem, UserError, did_you_mean

Source = TypeVar("Source")
Given = Mapping[str, Any]
"""Values by key, without the ``dataset.`` in front: ``{"separator": ";", "genes.names": "symbol"}``."""
_KEY = re.compile(r"\bdataset(?:\.datasets\.[^.\s]+)?((?:\.[a-z_]+)*)=?")


def with_keys(source: Source, given: Given, keys: tuple[str, ...], what: str) -> Source:
    """Return a data set's config with other values of its reading keys.

    Parameters
    ----------
    source : dataclass
    given : mapping
    keys : tuple of str
        Those that it may be given.
    what : str
        What is read, for messages.

    Raises
    ------
    UserError
        With a problem for each key that there is not, and each value that it cannot have.
    """
    unknown = [key for key in given if key not in keys]
    if unknown:
        hint = did_you_mean(unknown[0], keys, "dataset.") if keys else None
        raise UserError(f"dataset.{unknown[0]}", f"is not a key for reading {what}", hint)
    converter = Converter()
    changed: Any = source
    for key, value in given.items():
        changed = _with_value(changed, key.split("."), value, f"dataset.{key}", converter)
    if converter.problems:
        raise UserError.of(converter.problems)
    found: Source = changed
    return found


def _with_value(source: Any, key: list[str], value: Any, where: str, converter: Converter) -> Any:
    name, *rest = key
    if rest:
        inner = _with_value(vars(source)[name], rest, value, where, converter)
    else:
        inner = converter.convert(value, field_types(source.__class__)[name], where)
    return source if converter.problems else replace(source, **{name: inner})


@contextlib.contextmanager
def hinting(keys: tuple[str, ...]) -> Iterator[None]:
    """Take from the errors of what is done inside the hints at what cannot be done there.

    Reading tells what would help by the keys of training; where a model reads a new file, only ``keys`` are taken.
    """

    def kept(problem: Problem) -> Problem:
        named = {match[1].removeprefix(".") for match in _KEY.finditer(problem.hint or "")}
        return problem if named <= set(keys) else replace(problem, hint=None)

    try:
        yield
    except UserError as error:
        raise UserError.of([kept(problem) for problem in error.problems]) from error
