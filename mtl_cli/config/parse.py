"""From a composed config to a ``Config``: short forms written out, values converted, parts checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from typing import Any

from mtl_cli.config.compatibility import problems_between
from mtl_cli.config.convert import Converter
from mtl_cli.config.errors import Problem, UserError, did_you_mean
from mtl_cli.config.registry import names, plugin_of
from mtl_cli.config.schema import Config, TrainedConfig
from mtl_cli.config.short_forms import write_out

NEEDED_TO_PREDICT = ("dataset", "task", "trunk", "sharing")
"""The groups whose components a trained model is read with; the others have done their work."""


def parse(raw: Mapping[str, Any], check: bool = True) -> Config:
    """Turn a composed config into a ``Config``.

    Parameters
    ----------
    raw : mapping
        Plain values, as ``OmegaConf.to_container(resolve=True)`` gives them.
    check : bool, default True
        Also check parts against each other and against the files they name, as training needs.

    Raises
    ------
    UserError
        With every problem found, not only the first.
    """
    raw = normalise(raw)
    if isinstance(raw.get("tasks"), str):
        hint = "quote it, with a space after each colon: tasks='{price: {kind: regression, target: \"a b\"}}'"
        raise UserError("tasks", f"cannot be read: {raw['tasks']}", hint)
    converter = Converter()
    raw, converter.problems = _without_misspelt_tasks(raw)
    config = _with_pieces(Config(**_required(Config) | converter.fields(Config, raw, "")))
    problems = converter.problems + (list(problems_between(config)) if check else [])
    if problems:
        raise UserError.of(problems)
    return config


def _with_pieces(config: Config) -> Config:
    """Let the data set cut texts into the pieces of words that the trunk reads."""
    pieces = None if config.model is None or config.model.trunk is None else config.model.trunk.pieces
    if pieces is None or config.dataset is None:
        return config
    return replace(config, dataset=config.dataset.with_pieces(pieces))


def parse_trained(raw: Mapping[str, Any], plugins: Mapping[str, str]) -> TrainedConfig:
    """Turn the config that a model file keeps into what predicting needs of it; the rest may name what is gone.

    Parameters
    ----------
    raw : mapping
        Plain values.
    plugins : mapping of str to str
        What ``plugins_behind`` said when the file was written.

    Raises
    ------
    UserError
        If a plugin is missing that predicting needs, or a part is not as this version knows it.
    """
    for key, package in plugins.items():
        group, _, name = key.partition(".")
        if group in NEEDED_TO_PREDICT and name not in names(group):
            where, _, version = package.partition(" ")
            what = f"'{name}' comes with the package {where}, version {version}, which is not installed or was left out"
            raise UserError(group, what, f"install {where}; `mtl list plugins` shows what there is")
    converter = Converter()
    known = {field.name for field in fields(TrainedConfig)}
    found = converter.fields(TrainedConfig, {key: value for key, value in normalise(raw).items() if key in known}, "")
    if converter.problems:
        raise UserError.of(converter.problems)
    return TrainedConfig(**found)


def plugins_behind(raw: Mapping[str, Any]) -> dict[str, str]:
    """Return the package and version of each part of a config that a plugin adds, by ``group.name``."""
    converter = Converter()
    converter.fields(Config, normalise(raw), "")
    found = {f"{group}.{name}": plugin_of(group, name) for group, name in converter.components}
    return {key: str(plugin) for key, plugin in found.items() if plugin is not None}


def _required(cls: type) -> dict[str, None]:
    """Return None for each key without a default: what a part that cannot be converted is."""
    return {f.name: None for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING}


def _without_misspelt_tasks(raw: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Take out tasks without a kind where others have one: a key of one of those was meant, most likely."""
    tasks = raw.get("tasks")
    if not isinstance(tasks, Mapping):
        return raw, []
    whole = [name for name, task in tasks.items() if not isinstance(task, Mapping) or "kind" in task]
    kept, problems = {}, []
    for name, task in tasks.items():
        if name in whole or not whole:
            kept[name] = task
            continue
        hint = did_you_mean(str(name), whole) or ""
        hint += "" if hint.startswith("did") else f"; tasks.{name}.kind=… would add it"
        problems.append(Problem(f"tasks.{name}", f"no task is called '{name}'", hint))
    return {**raw, "tasks": kept}, problems


def normalise(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Write the short forms out, and let heads inherit from ``model.head``."""
    plain = write_out(raw)
    model = plain.get("model")
    if isinstance(model, Mapping) and isinstance(model.get("heads"), Mapping):
        shared = model.get("head") or {}
        heads = {
            name: {**shared, **head} if isinstance(head, Mapping) else head for name, head in model["heads"].items()
        }
        plain["model"] = {**model, "heads": heads}
    return plain
