"""A JSON Schema of configs (draft 2020-12), made from the dataclasses that they become, for editors to go by."""

from __future__ import annotations

import dataclasses
import re
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from mtl_cli.config.convert import Bound, Component, field_types
from mtl_cli.config.registry import SELECTORS, components
from mtl_cli.config.schema import Config

Schema = dict[str, Any]
DRAFT = "https://json-schema.org/draft/2020-12/schema"
SCALARS: dict[Any, Schema] = {
    bool: {"enum": [True, False, "yes", "no", "on", "off"]},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": ["string", "number"]},
    type(None): {"type": "null"},
}
LIMITS = {"above": "exclusiveMinimum", "below": "exclusiveMaximum", "at_least": "minimum", "at_most": "maximum"}
NEEDED = ("dataset", "tasks")
"""Keys that a file of one's own must have; all others have defaults."""
SHORT = {"tasks": "task", "sharing": "sharing"}
"""Keys whose component may be given by its name alone."""


def config_schema() -> Schema:
    """Return the schema of a whole config; plugins' parts are in it."""
    schema = _of_dataclass(Config)
    schema["properties"]["defaults"] = {"type": "array"}
    schema["properties"]["tasks"] = {
        "type": "object",
        "additionalProperties": {"anyOf": [{"enum": list(components("task"))}, _of(Annotated[Any, Component("task")])]},
    }
    schema.pop("required", None)
    schema["anyOf"] = [{"required": list(NEEDED)}, {"required": ["defaults"]}]
    return {"$schema": DRAFT, "title": "A config of mtl", **schema, "$defs": _definitions()}


def _definitions() -> dict[str, Schema]:
    """Return the components by ``group.name``, each with the key that names it."""
    return {
        f"{group}.{name}": _of_component(group, name, cls)
        for group in SELECTORS
        for name, cls in components(group).items()
    }


def _of_component(group: str, name: str, cls: type) -> Schema:
    schema, selector = _of_dataclass(cls), SELECTORS[group]
    schema["properties"] = {selector: {"const": name}, **schema["properties"]}
    schema["required"] = [selector, *schema.get("required", [])]
    return schema


def _of_dataclass(cls: type) -> Schema:
    known = field_types(cls)
    texts = {name: text for base in reversed(cls.__mro__) for name, text in _descriptions(base).items()}
    properties, required = {}, []
    for field in dataclasses.fields(cls):
        own = _of(known[field.name])
        if field.name in SHORT and field.name != "tasks":
            own = {"anyOf": [{"enum": list(components(SHORT[field.name]))}, own]}
        if field.name in texts:
            own = {**own, "description": texts[field.name]}
        if isinstance(field.default, str | int | float | bool | None):
            own = {**own, "default": field.default}
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            required.append(field.name)
        properties[field.name] = own
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if cls.__doc__ and not cls.__doc__.startswith(f"{cls.__name__}("):
        schema["description"] = " ".join(cls.__doc__.strip().partition("\n\n")[0].split())
    return schema | ({"required": required} if required else {})


def _of(annotation: Any) -> Schema:
    """Return the schema of a field's type."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _of_annotated(args)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_of(option) for option in args]}
    if origin is Literal:
        return {"enum": [*args, *([None] if "none" in args else [])]}
    if origin is list:
        return {"anyOf": [{"type": "array", "items": _of(args[0])}, _of(args[0])]}
    if origin is tuple:
        return {"type": "array", "prefixItems": [_of(arg) for arg in args], "minItems": len(args), "items": False}
    if origin is dict:
        return {"type": "object", "additionalProperties": _of(args[1])}
    if dataclasses.is_dataclass(annotation):
        return _of_dataclass(annotation)  # type: ignore[arg-type]
    return dict(SCALARS.get(annotation, {}))


def _of_annotated(args: tuple[Any, ...]) -> Schema:
    mark = args[1]
    if isinstance(mark, Component):
        refs = [{"$ref": f"#/$defs/{mark.group}.{name}"} for name in components(mark.group)]
        return {"anyOf": refs} if refs else {}
    assert isinstance(mark, Bound)
    return {**_of(args[0]), **{LIMITS[name]: value for name, value in vars(mark).items() if value is not None}}


def _descriptions(cls: type) -> dict[str, str]:
    """Return what a numpydoc docstring says of each parameter."""
    _, _, rest = (cls.__doc__ or "").partition("Parameters\n")
    found: dict[str, str] = {}
    names: list[str] = []
    for line in rest.splitlines()[1:]:
        text = line.strip()
        if re.match(r"    \S.* : \S", line) and not line.startswith("     "):
            names = [name.strip() for name in text.partition(" : ")[0].split(",")]
        elif text and re.fullmatch(r"-+", text):
            break
        elif text and line.startswith("        "):
            for name in names:
                found[name] = f"{found[name]} {text}" if name in found else text
    return found
