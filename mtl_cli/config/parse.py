"""From a composed config to a ``Config``: short forms written out, values converted, parts checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from mtl_cli.config.compatibility import problems_between
from mtl_cli.config.convert import Converter
from mtl_cli.config.errors import Problem, UserError, did_you_mean
from mtl_cli.config.registry import kind_of_file, names, plugin_of
from mtl_cli.config.schema import Config, TrainedConfig

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
    config = Config(**_required(Config) | converter.fields(Config, raw, ""))
    problems = converter.problems + (list(problems_between(config)) if check else [])
    if problems:
        raise UserError.of(problems)
    return config


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
    """Take out tasks without a kind whose names are near another's: a key of that one was meant."""
    tasks = raw.get("tasks")
    if not isinstance(tasks, Mapping):
        return raw, []
    whole = [name for name, task in tasks.items() if not isinstance(task, Mapping) or "kind" in task]
    kept, problems = {}, []
    for name, task in tasks.items():
        hint = None if name in whole or not whole else did_you_mean(str(name), whole)
        if hint is not None and hint.startswith("did"):
            problems.append(Problem(f"tasks.{name}", f"no task is called '{name}'", hint))
        else:
            kept[name] = task
    return {**raw, "tasks": kept}, problems


def normalise(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Write the short forms out: ``price: regression``, ``sharing: mmoe``, heads that inherit from ``model.head``.

    One of joined data sets, ``homes: houses.csv``, is a file by its ending, else a kind.
    """
    plain = dict(raw)
    dataset = plain.get("dataset")
    if isinstance(dataset, Mapping) and isinstance(dataset.get("datasets"), Mapping):
        members = {
            name: _member(member) if isinstance(member, str) else member for name, member in dataset["datasets"].items()
        }
        plain["dataset"] = {**dataset, "datasets": members}
    tasks = plain.get("tasks")
    if isinstance(tasks, Mapping):
        plain["tasks"] = {str(name): {"kind": task} if isinstance(task, str) else task for name, task in tasks.items()}
    trainer = plain.get("trainer")
    if isinstance(trainer, Mapping) and isinstance(trainer.get("callbacks"), Mapping):
        named = {
            name: {"name": name, **(keys or {})} if isinstance(keys, Mapping | None) else keys
            for name, keys in trainer["callbacks"].items()
        }
        plain["trainer"] = {**trainer, "callbacks": named}
    model = plain.get("model")
    if isinstance(model, Mapping) and isinstance(model.get("sharing"), str):
        model = plain["model"] = {**model, "sharing": {"kind": model["sharing"]}}
    if isinstance(model, Mapping) and isinstance(model.get("heads"), Mapping):
        shared = model.get("head") or {}
        heads = {
            name: {**shared, **head} if isinstance(head, Mapping) else head for name, head in model["heads"].items()
        }
        plain["model"] = {**model, "heads": heads}
    return plain


def _member(text: str) -> dict[str, str]:
    kind = kind_of_file(text)
    return {"kind": text} if kind is None else {"kind": kind, "path": text}
