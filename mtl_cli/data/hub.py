"""Folders of pretrained models: on this machine, or fetched from the Hugging Face hub when the user names one there."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mtl_cli.config.errors import UserError
from mtl_cli.io import user_path

_NAME = re.compile(r"[\w-]+(\.[\w-]+)*(/[\w-]+(\.[\w-]+)*)?")


def local_folder(name: str) -> Path | None:
    """Return the folder of that name; None if there is none."""
    path = user_path(name)
    return path if path.is_dir() else None


def read_config(folder: Path, where: str, hint: str) -> Any:
    """Return what is in the ``config.json`` of a pretrained model's folder.

    Parameters
    ----------
    folder : Path
    where, hint : str
        What the user called the folder, and which folders there are to give.

    Raises
    ------
    UserError
        If it holds none that can be read.
    """
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        what = f"'{where}' holds no config.json that can be read"
        raise UserError("model.trunk.pretrained", what, hint) from error


def is_hub_name(name: str) -> bool:
    """Whether a text can be the name of a model at the hub, such as ``google-bert/bert-base-cased``."""
    return _NAME.fullmatch(name) is not None


def hub_folder(name: str, files: Sequence[str], needed: str, where: str, install: str) -> Path:
    """Return the folder of a model at the hub, fetched if it is not on this machine.

    Parameters
    ----------
    name : str
    files : sequence of str
        Patterns of the files to fetch.
    needed : str
        A pattern: without such a file, what is on this machine is not enough.
    where : str
        The key that names it.
    install : str
        What installs the package that asks the hub.

    Raises
    ------
    UserError
        If the hub cannot be reached, or has no such model.
    """
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
    except ImportError as error:
        raise UserError(where, "a name at a hub needs the package huggingface_hub", install) from error
    try:
        known = Path(snapshot_download(name, allow_patterns=list(files), local_files_only=True))
        if any(known.glob(needed)):  # another program may have asked for other files alone
            return known
    except LocalEntryNotFoundError:
        pass
    except HFValidationError as error:
        raise UserError(where, f"'{name}' is not the name of a model: {error}") from error
    try:
        return Path(snapshot_download(name, allow_patterns=list(files)))
    except Exception as error:  # of the network, of the hub, of the file system: to the user all mean the same
        what = f"'{name}' is not on this machine and cannot be fetched from huggingface.co ({type(error).__name__})"
        raise UserError(where, what, f"{where}=FOLDER takes a folder that holds its files") from error
