"""Short forms of a config, written out: ``price: regression`` is ``price: {kind: regression}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtl_cli.config.registry import kind_of_file


def write_out(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Write out ``price: regression``, ``sharing: mmoe`` and ``homes: houses.csv``.

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
    model = plain.get("model")
    if isinstance(model, Mapping) and isinstance(model.get("sharing"), str):
        plain["model"] = {**model, "sharing": {"kind": model["sharing"]}}
    return plain


def _member(text: str) -> dict[str, str]:
    kind = kind_of_file(text)
    return {"kind": text} if kind is None else {"kind": kind, "path": text}
