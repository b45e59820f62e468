"""From plain YAML values to dataclasses, strictly, noting every problem before giving up."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from mtl_cli.config.errors import LONGEST, Problem, did_you_mean, shortened
from mtl_cli.config.hints import UNKNOWN_KEY, value_meant
from mtl_cli.config.registry import SELECTORS, components


@dataclass(frozen=True)
class Bound:
    """The range a number must lie in."""

    above: float | None = None
    below: float | None = None
    at_least: float | None = None
    at_most: float | None = None

    def fault(self, value: float) -> str | None:
        """Say what is wrong with ``value``, or return None."""
        if self.above is not None and not value > self.above:
            return f"must be above {self.above:g}"
        if self.at_least is not None and not value >= self.at_least:
            return f"must be at least {self.at_least:g}"
        if self.below is not None and not value < self.below:
            return f"must be below {self.below:g}"
        if self.at_most is not None and not value <= self.at_most:
            return f"must be at most {self.at_most}"
        return None


@dataclass(frozen=True)
class Component:
    """Marks a field whose class is chosen by name from a registry group."""

    group: str


PositiveInt = Annotated[int, Bound(above=0)]
PositiveFloat = Annotated[float, Bound(above=0)]
NonNegativeFloat = Annotated[float, Bound(at_least=0)]
NonNegativeInt = Annotated[int, Bound(at_least=0)]
Seed = Annotated[int, Bound(at_least=0, at_most=2**32 - 1)]
Probability = Annotated[float, Bound(at_least=0, below=1)]

MISSING = "???"
YES_OR_NO = {"yes": True, "on": True, "no": False, "off": False}
"""Text elsewhere, true and false where that is asked for."""
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}


class Converter:
    """Converts values and keeps every problem it meets in ``problems``, every component in ``components``."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.components: list[tuple[str, str]] = []
        """The group and the name of each."""

    def convert(self, value: Any, annotation: Any, where: str) -> Any:
        """Return ``value`` as ``annotation`` asks; on a problem note it and return None."""
        if isinstance(value, str) and value == MISSING:
            return self._note(where, "needs a value", f"give {where}=…")
        origin, args = get_origin(annotation), get_args(annotation)
        if annotation is Any:
            return value
        if origin is Annotated:
            return self._annotated(value, args, where)
        if origin in (Union, types.UnionType):
            return self._union(value, args, where)
        if origin is Literal:
            return self._literal(value, args, where)
        if origin is list:
            items = value if isinstance(value, list) else [value]
            return [self.convert(item, args[0], f"{where}[{i}]") for i, item in enumerate(items)]
        if origin is tuple:
            if not isinstance(value, list | tuple) or len(value) != len(args):
                return self._note(where, f"must be a list of {len(args)}, not {_show(value)}")
            pairs = zip(value, args, strict=True)
            return tuple(self.convert(item, arg, f"{where}[{i}]") for i, (item, arg) in enumerate(pairs))
        if origin is dict:
            if not isinstance(value, Mapping):
                return self._note(where, f"must be a mapping, not {_show(value)}")
            return {str(key): self.convert(item, args[1], f"{where}.{key}") for key, item in value.items()}
        if dataclasses.is_dataclass(annotation):
            return self.build(typing.cast(type, annotation), value, where)
        return self._scalar(value, annotation, where)

    def build(self, cls: type, value: Any, where: str) -> Any:
        """Build the dataclass ``cls`` from a mapping; None if any of its keys is wrong."""
        before = len(self.problems)
        found = self.fields(cls, value, where)
        return cls(**found) if len(self.problems) == before else None

    def fields(self, cls: type, value: Any, where: str) -> dict[str, Any]:
        """Convert the keys of a mapping to the fields of ``cls``; a field that is wrong becomes None."""
        if not isinstance(value, Mapping):
            self._note(where, f"must be a mapping, not {_show(value)}")
            return {}
        known = field_types(cls)
        dot = f"{where}." if where else ""
        names = known if where else [*known, "experiment"]  # which is there before the others are composed
        for key in value:
            if str(key) not in known:
                self._note(f"{dot}{key}", UNKNOWN_KEY, did_you_mean(str(key), names, dot))
        fields = {field.name: field for field in dataclasses.fields(cls)}
        found = {name: self.convert(value[name], known[name], f"{dot}{name}") for name in fields if name in value}
        for name, field in fields.items():
            required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            if required and name not in value:
                self._note(f"{dot}{name}", "needs a value", f"give {dot}{name}=…")
        return found

    def component(self, group: str, value: Any, where: str) -> Any:
        """Build the component of ``group`` that ``value`` names."""
        selector = SELECTORS[group]
        if not isinstance(value, Mapping):
            return self._note(where, f"must be a mapping with '{selector}', not {_show(value)}")
        known = components(group)
        name = value.get(selector)
        if name is None or name == MISSING:
            return self._note(f"{where}.{selector}", "needs a value", f"choose from {', '.join(known)}")
        if str(name) not in known:
            return self._note(
                f"{where}.{selector}",
                f"'{name}' is not a known {group} {selector}",
                value_meant(str(name), known) or did_you_mean(str(name), known),
            )
        self.components.append((group, str(name)))
        rest = {key: item for key, item in value.items() if key != selector}
        return self.build(known[str(name)], rest, where)

    def _note(self, where: str, what: str, hint: str | None = None) -> None:
        self.problems.append(Problem(where, what, hint))

    def _annotated(self, value: Any, args: tuple[Any, ...], where: str) -> Any:
        if isinstance(args[1], Component):
            return self.component(args[1].group, value, where)
        before = len(self.problems)
        converted = self.convert(value, args[0], where)
        if len(self.problems) == before and (fault := args[1].fault(converted)):
            return self._note(where, f"{fault}, not {_show(value)}")
        return converted

    def _union(self, value: Any, options: tuple[Any, ...], where: str) -> Any:
        if value is None and type(None) in options:
            return None
        options = tuple(option for option in options if option is not type(None))
        if type(value) in options:  # before anything that would convert it: 1 stays 1 where text may stand too
            options = (type(value),)
        attempts = []
        for option in options:
            attempt = Converter()
            converted = attempt.convert(value, option, where)
            if not attempt.problems:
                self.components += attempt.components
                return converted
            attempts.append(attempt.problems)
        bounds = ("must be at", "must be above", "must be below")
        deepest = [problems for problems in attempts if len(options) == 1 or problems[0].what.startswith(bounds)]
        if deepest:
            self.problems.extend(deepest[0])
        else:
            names = dict.fromkeys(_name(option) for option in options if not (option is int and float in options))
            self._note(where, f"must be {' or '.join(names)}, not {_show(value)}")
        return None

    def _literal(self, value: Any, options: tuple[Any, ...], where: str) -> Any:
        if value is None and "none" in options:  # `norm=null` and `norm=none` mean the same
            return "none"
        if value in options:
            return value
        words = [str(option) for option in options]
        hint = value_meant(str(value), words) or did_you_mean(str(value), words)
        return self._note(where, f"cannot be {_show(value)}", hint)

    def _scalar(self, value: Any, annotation: Any, where: str) -> Any:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if annotation is float and is_number:
            if math.isfinite(value):
                return float(value)
            return self._note(where, f"must be finite, not {value}")
        if annotation is str and is_number:  # a column may be called 2019
            return str(value)
        if type(value) is annotation:
            return value
        if annotation is bool and isinstance(value, str) and value.lower() in YES_OR_NO:
            return YES_OR_NO[value.lower()]
        hint = f'''quote it: "'{str(value).lower()}'"''' if annotation is str and isinstance(value, bool) else None
        return self._note(where, f"must be {_name(annotation)}, not {_show(value)}", hint)


@functools.cache
def field_types(cls: type) -> dict[str, Any]:
    """Return the types of a dataclass's fields."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def _show(value: Any) -> str:
    if value is None:
        return "null"
    return f"'{shortened(value, LONGEST)}'" if isinstance(value, str) else shortened(str(value), LONGEST)


def _name(annotation: Any) -> str:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _name(args[0])
    if origin is Literal:
        return " or ".join(f"'{option}'" for option in args)
    if origin in (list, tuple):
        return "a list"
    if origin is dict or dataclasses.is_dataclass(annotation):
        return "a mapping"
    return _WORDS.get(annotation, str(annotation))
