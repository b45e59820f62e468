"""What a config starts from: ``train.yaml`` or a file in its place, and what an experiment may still say."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from mtl_cli.config.merge import text_keys
from mtl_cli.config.paths import conf_dir
from mtl_cli.config.registry import SELECTORS
from mtl_cli.config.user_files import GroupFile, read_file, refuse_hydra

NESTED = ("model/sharing",)
"""Groups inside a group."""


def starting_point(file: Path | None, chosen: Collection[str]) -> dict[str, Any]:
    """Return the content of the primary config.

    Groups that a complete config lacks, and those in ``chosen``, come from the files of ``train.yaml``'s defaults. One
    with ``defaults`` of its own is taken as it is.
    """
    train = deepcopy(_read_once(conf_dir() / "train.yaml"))
    if file is None:
        return train
    content = text_keys(read_file(file))
    refuse_hydra(file, content)
    if "defaults" in content:
        return dict(content)
    if "dataset" in chosen:  # a data set brings its tasks
        content.pop("tasks", None)
    content = without(content, chosen)
    usual = [
        entry
        for entry in train["defaults"]
        if not isinstance(entry, dict) or (group := next(iter(entry))) in chosen or not _has(content, group)
    ]
    missing = {key: value for key, value in train.items() if key not in content and key != "defaults"}
    return {**missing, **content, "defaults": usual}


@functools.cache
def _read_once(installed: Path) -> dict[Any, Any]:
    """Return what a file says that stays as it is."""
    return read_file(installed)


def listed_groups(content: Mapping[str, Any]) -> set[str]:
    """Return the groups that a primary config's ``defaults`` list, or that a config it takes in may list."""
    entries = content.get("defaults") or []
    groups = {str(group).split()[-1].strip("/") for entry in entries if isinstance(entry, dict) for group in entry}
    if any(isinstance(entry, str) and entry != "_self_" for entry in entries):
        groups |= listed_groups(_read_once(conf_dir() / "train.yaml"))
    return groups


def overridden(content: Mapping[str, Any]) -> dict[str, str]:
    """Return the files that ``defaults`` choose by ``override /group: name``, by group."""
    entries = [entry for entry in content.get("defaults") or [] if isinstance(entry, dict)]
    pairs = [(str(key), str(name)) for entry in entries for key, name in entry.items()]
    return {key.split()[-1].strip("/"): name for key, name in pairs if key.startswith("override ")}


def still_holding(experiment: GroupFile, choices: Mapping[str, str]) -> tuple[GroupFile, list[str], list[str]]:
    """Return an experiment without its keys for parts that the user replaced, the groups of those parts, and the keys.

    ``experiment=cells balancer=gradnorm``: the keys that the experiment has for its own balancer are not gradnorm's.
    """
    content, own = experiment.content, overridden(experiment.content)
    replaced = [
        group
        for group, name in choices.items()
        if group != "experiment" and (own.get(group) or _selected(content, group) or name) != name
    ]
    left = without(content, [*replaced, *(["tasks"] if "dataset" in replaced else [])])  # a data set brings its tasks
    kept = set(_paths(left))
    return replace(experiment, content=left), replaced, [path for path in _paths(content) if path not in kept]


def kept_heads(content: Mapping[str, Any], composed: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a composed config with what a complete config says of the model beside its trunk, and what it leaves out.

    ``mtl train config.yaml model=tabm`` asks for another trunk: the heads and the adapter stay as they are, but for
    what the chosen file says of them itself. Of that, the keys that differ are left out.
    """
    own, model = content.get("model"), composed.get("model")
    if not isinstance(own, Mapping) or not isinstance(model, Mapping):
        return composed, []
    inner = {nested.partition("/")[2] for nested in NESTED}
    others = {"linear"} - model.keys()  # a trunk of another kind of input has no linear models beside it
    beside = {key: value for key, value in own.items() if key not in {*inner, "trunk", *others}}
    kept = {key: value for key, value in beside.items() if not model.get(key)}
    lost = {key: value for key, value in beside.items() if key not in kept and value}
    said = dict(_leaves(model))
    dropped = [path for path, value in _leaves(lost) if said.get(path) != value]
    return {**composed, "model": {**model, **kept}}, [f"model.{path}" for path in dropped]


def _selected(content: Mapping[str, Any], group: str) -> str | None:
    """Return which component the content itself names for a group: ``balancer: {name: static}``."""
    part: Any = content
    for key in group.split("/"):
        part = part.get(key) if isinstance(part, Mapping) else None
    if group == "model" and isinstance(part, Mapping):
        part = part.get("trunk")
    if isinstance(part, str):
        return part
    return str(part[key]) if isinstance(part, Mapping) and (key := _selector(group)) in part else None


def _selector(group: str) -> str:
    return SELECTORS.get(group, "kind")


def without(content: Mapping[str, Any], groups: Collection[str]) -> dict[str, Any]:
    """Leave out the parts that groups fill: ``model``, but not ``sharing`` in it, which is a group of its own."""
    kept: dict[str, Any] = {}
    for key, value in content.items():
        inner = {group.partition("/")[2]: group for group in NESTED if group.startswith(f"{key}/")}
        if not isinstance(value, Mapping) or not inner:
            if key not in groups:
                kept[key] = value
            continue
        part = {
            name: item
            for name, item in value.items()
            if (inner[name] not in groups if name in inner else key not in groups)
        }
        if part or key not in groups:
            kept[key] = part
    return kept


def _has(content: Any, group: str) -> bool:
    """Whether the content says what a group would fill."""
    key, _, rest = group.partition("/")
    if not isinstance(content, Mapping) or key not in content:
        return False
    part = content[key]
    inner = {nested.partition("/")[2] for nested in NESTED if nested.startswith(f"{key}/")}
    return _has(part, rest) if rest else not isinstance(part, Mapping) or not part or bool(set(part) - inner)


def _paths(content: Mapping[str, Any]) -> Iterator[str]:
    return (path for path, _ in _leaves(content))


def _leaves(content: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{where}{key}.")
        elif key != "defaults":
            yield f"{where}{key}", value
