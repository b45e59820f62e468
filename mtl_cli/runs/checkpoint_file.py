"""The checkpoint: a plain dict of tensors, numbers and strings that `torch.load(weights_only=True)` reads.

It holds what a run needs to go on as if it had not been cut off. It is written beside the one before, which is replaced
once the new one is whole and on the disk.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl_cli import __version__
from mtl_cli.config.errors import UserError
from mtl_cli.io import atomic
from mtl_cli.runs.forms import Form, Many, check_form
from mtl_cli.runs.strangers import NotOurs, read_tensors

if TYPE_CHECKING:
    import torch

FORMAT = 1
"""Raised whenever a file of the old form could not be read any more."""
FORM: Form = {
    "checkpoint": 0,
    "mtl": "",
    "config": {...: ...},
    "data": "",
    "members": Many({"member": {...: ...}, "training": {...: ...}, "order": {...: ...}, "generator": ...}),
    "finished": True,
    "files": {...: 0},
    "generators": {...: ...},
}
"""What a checkpoint holds, as ``training/checkpoints.py`` makes it; a training is looked at when it is gone on with."""


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint; raises OSError if the disk does not take it."""

    whole = {"checkpoint": FORMAT, "mtl": __version__, **compact(content)}
    atomic(path, lambda file: save(whole, file), durable=True)


def save(content: dict[str, Any], path: Path) -> None:
    """Write tensors, numbers and strings; a full disk raises OSError here, not torch's own RuntimeError."""
    import torch

    try:
        with path.open("wb") as file:
            torch.save(content, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise


def load_checkpoint(path: Path, device: torch.device | str = "cpu", lazy: bool = False) -> dict[str, Any]:
    """Read a checkpoint.

    Parameters
    ----------
    path : Path
    device : torch.device or str
        Where its tensors are wanted.
    lazy : bool, default False
        Read tensors only when they are looked at.

    Raises
    ------
    UserError
        If it is none, is damaged, or is of another format.
    """
    hint = "start the run anew, in another folder"
    try:
        content = read_tensors(path, device, lazy)
    except NotOurs as error:
        raise UserError(str(path), f"is not a checkpoint that mtl wrote: it {error}", hint) from error
    if not isinstance(content.get("checkpoint"), int):
        raise UserError(str(path), "is not a checkpoint that mtl wrote", hint)
    if content["checkpoint"] != FORMAT:
        what = f"is a checkpoint of format {content['checkpoint']}, not {FORMAT}"
        raise UserError(str(path), what, f"that was mtl {content.get('mtl')}; this is mtl {__version__}")
    try:
        check_form(content, FORM)
        for place, member in enumerate(content["members"]):
            steps = {key: member["training"].get(key) for key in ("epoch", "steps")}
            check_form(steps, {"epoch": 0, "steps": 0}, f"members[{place}].training")
        if not content["members"]:
            raise NotOurs("has no members")
    except NotOurs as error:
        raise UserError(str(path), f"was changed: it {error}", hint) from error
    return content


def compact(value: Any, everything: bool = False) -> Any:
    """Return dicts and lists with their tensors detached, and those that are a small part of a larger memory copied.

    Parameters
    ----------
    value
    everything : bool, default False
        Copy every tensor.
    """
    import torch

    if isinstance(value, torch.Tensor):
        own = value.detach()
        part = own.untyped_storage().nbytes() > own.numel() * own.element_size()
        return own.clone() if everything or part else own
    if isinstance(value, dict):
        return {key: compact(item, everything) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(compact(item, everything) for item in value)
    return value
