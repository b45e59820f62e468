"""The model file: a plain dict of tensors, numbers and strings that `torch.load(weights_only=True)` reads."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from mtl_cli import __version__
from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.config.parse import plugins_behind
from mtl_cli.io import user_path
from mtl_cli.runs.checkpoint_file import save
from mtl_cli.runs.directory import MODEL, RunDirectory
from mtl_cli.runs.pack import check_pack, is_pack, packed_model
from mtl_cli.runs.strangers import NotOurs, check_types, read_tensors

FORMAT = 3
"""Raised whenever a file of the old form could not be read any more."""
ONE_NETWORK = 2
"""The form of a file with a single network, which has not changed since."""


def save_model(run: RunDirectory, config: dict[str, Any], data: dict[str, Any], members: list[dict[str, Any]]) -> None:
    """Write the model file.

    Parameters
    ----------
    run : RunDirectory
    config : dict
        The resolved config.
    data : dict
        Fitted encoders, tasks and the split, as plain values.
    members : list of dict
        Of each network ``weights``, its state dict, and ``tasks``, as they were fitted to the rows that it was trained
        on. A single one's tasks are those in ``data``.
    """

    found = [
        {**member, "weights": {name: tensor.detach().cpu() for name, tensor in member["weights"].items()}}
        for member in members
    ]
    one = len(found) == 1
    content = {
        "format": ONE_NETWORK if one else FORMAT,
        "mtl": __version__,
        "plugins": plugins_behind(config),
        "config": config,
        "data": data,
        **({"weights": found[0]["weights"]} if one else {"members": found}),
    }
    run.write(MODEL, lambda file: save(plain_values(content, MODEL), file))


def plain_values(value: Any, where: str) -> Any:
    """Return values with numpy's scalars as Python's.

    Raises
    ------
    TypeError
        For anything that ``torch.load(weights_only=True)`` would not read again, with where it stands.
    """
    import numpy as np
    import torch

    if isinstance(value, dict):
        return {plain_values(key, where): plain_values(item, f"{where}: {key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(plain_values(item, f"{where}[{place}]") for place, item in enumerate(value))
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str | bytes | torch.Tensor):
        return value
    raise TypeError(f"{where} is of the type {type(value).__name__}, which a model file cannot hold")


def load_model(path: str) -> dict[str, Any]:
    """Read the model file of a run, given its folder, the file itself or its zip. ``members`` is always there.

    Raises
    ------
    UserError
        If there is none, or the file is no model of this format.
    """
    file = find_model(path)
    try:
        content = read_tensors(io.BytesIO(packed_model(file)) if is_pack(file) else file)
        version = content.get("format")
        if not isinstance(version, int) or isinstance(version, bool):
            raise NotOurs("has no format")
        if version in (ONE_NETWORK, FORMAT):
            _check_fields(content)
    except NotOurs as error:
        what = "is not a model that mtl wrote" + ("" if str(error) == "is damaged" else f": it {error}")
        raise UserError(path, what, "give the folder of a run, or its mtl_model.pt") from error
    if content["format"] not in (ONE_NETWORK, FORMAT):
        hint = f"that was mtl {content.get('mtl')}; this is mtl {__version__}"
        raise UserError(path, f"is a model of format {content['format']}, not {FORMAT}", hint)
    if "members" not in content:
        content["members"] = [{"weights": content["weights"], "tasks": content["data"]["tasks"]}]
    return content


def _check_fields(content: dict[str, Any]) -> None:
    """Raise NotOurs if the parts of a model file are not what ``save_model`` makes them."""
    import torch

    weights: dict[Any, Any] = {...: torch.Tensor}
    check_types(content, {"config": dict, "mtl": str, "plugins": {...: str}, "data": {"tasks": list, "reader": dict}})
    if not content.keys() >= {"config", "data", "mtl"} or not content["data"].keys() >= {"tasks", "reader"}:
        raise NotOurs("lacks a part")
    members = content.get("members", [{"weights": content.get("weights"), "tasks": content["data"]["tasks"]}])
    if not isinstance(members, list) or not members:
        raise NotOurs("has no network")
    for member in members:
        check_types(member, {"weights": weights, "tasks": list})
        if not member.keys() >= {"weights", "tasks"}:
            raise NotOurs("lacks a part of a network")
        for task in [*member["tasks"], *content["data"]["tasks"]]:
            check_types(task, {"kind": str, "state": dict, "post_hoc": dict})


def find_model(path: str) -> Path:
    """Return the model file of a run, given its folder, the file itself or its zip; without loading torch."""
    given = user_path(path)
    if not given.exists():
        runs = [str(file.parent) for file in sorted(given.parent.glob(f"*/{MODEL}"))] if given.parent.is_dir() else []
        raise UserError(path, "there is no such run", did_you_mean(path, runs) or "give the folder of a run")
    file = given / MODEL if given.is_dir() else given
    if file.is_file() and is_pack(file):
        check_pack(file)
    if given.is_dir() and file.is_symlink() and not file.resolve().is_relative_to(given.resolve()):
        raise UserError(path, f"its {MODEL} is a link out of the folder, to {file.readlink()}", "give that file itself")
    if not file.is_file():
        raise UserError(path, f"holds no {MODEL}", "give the folder of a finished run")
    return file
