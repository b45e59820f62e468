"""Finding a data file and reading its bytes."""

from __future__ import annotations

import importlib.util
import sys
from importlib import resources
from pathlib import Path

from mtl_cli.config.errors import UserError, did_you_mean

BUILTIN = "builtin:"
SCANPY = "scanpy:"
SHIPPED = (BUILTIN, SCANPY)
"""How the paths of files begin that lie in a package, the same from any folder."""
STDIN = "-"


def read_bytes(path: str) -> bytes:
    """Return a file's bytes; ``-`` is standard input, ``builtin:NAME`` and ``scanpy:NAME`` files of a package."""
    if path == STDIN:
        return sys.stdin.buffer.read()
    file = resolve(path)
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(path, f"cannot be read: {error.strerror}") from error


def resolve(path: str) -> Path:
    """Return the path of a data file. Raises UserError, with the nearest name, if there is none."""
    if path.startswith(BUILTIN):
        folder = Path(str(resources.files("mtl_cli"))) / "data" / "builtin"
        file = folder / path.removeprefix(BUILTIN)
    elif path.startswith(SCANPY):
        folder = _scanpy() / "datasets"
        file = folder / path.removeprefix(SCANPY)
    else:
        file = Path(path).expanduser()
        folder = file.parent
    if file.is_dir():
        raise UserError(path, "is a folder, not a file")
    if not file.exists():
        beside = [other.name for other in folder.iterdir() if other.is_file()] if folder.is_dir() else []
        hint = did_you_mean(file.name, beside) if beside else None
        raise UserError(path, "there is no such file", hint if hint and hint.startswith("did") else None)
    return file


def _scanpy() -> Path:
    """Return where scanpy is installed, without importing it."""
    found = importlib.util.find_spec("scanpy")
    if found is None or found.origin is None:
        raise UserError("dataset.path", "this data set comes with scanpy", "pip install 'mtl-cli[singlecell]'")
    return Path(found.origin).parent
