"""Finding data files, and opening or reading their bytes."""

from __future__ import annotations

import glob
import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast

from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.io import DamagedFile, unpacked, user_path

BUILTIN = "builtin:"
SCANPY = "scanpy:"
SHIPPED = (BUILTIN, SCANPY)
"""How the paths of files begin that lie in a package, the same from any folder."""
STDIN = "-"
SPOOL = 64 * 2**20
"""Bytes of standard input that are held in memory; more of them go to a temporary file."""

Opener = Callable[[], BinaryIO]
"""Opens a file's bytes at their beginning, unpacked if they are compressed; it can be called again."""


def opener(path: str) -> Opener:
    """Return what opens a file; standard input (``-``) is kept, so that it can be read more than once.

    What it opens raises UserError where the bytes cannot be read or unpacked.
    """
    if path == STDIN:
        return _keep(sys.stdin.buffer, "stdin")
    file = resolve(path)

    def open_file() -> BinaryIO:
        try:
            return file.open("rb")
        except OSError as error:
            raise damaged(error, path) from error

    if not file.is_file():  # a pipe with a name
        return _keep(open_file(), path)
    return lambda: unpacked(open_file(), lambda error: damaged(error, path))


def _keep(stream: BinaryIO, where: str) -> Opener:
    """Return what opens the bytes of a pipe, again and again."""
    kept = tempfile.SpooledTemporaryFile(SPOOL)  # noqa: SIM115  it lives as long as what is returned
    shutil.copyfileobj(stream, kept)

    return lambda: unpacked(cast(BinaryIO, kept), lambda error: damaged(error, where), keep_open=True)


def opener_of(data: bytes, where: str) -> Opener:
    """Return what opens bytes that are in memory."""
    return lambda: unpacked(BytesIO(data), lambda error: damaged(error, where))


def damaged(error: DamagedFile | OSError, where: str) -> UserError:
    """Return the error to raise for a file that cannot be read or unpacked."""
    if isinstance(error, DamagedFile):
        return UserError(where, error.what, error.hint)
    return UserError(where, f"cannot be read: {error.strerror or error}")


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
        file = user_path(path)
        folder = file.parent
    if file.is_dir():
        raise UserError(path, "is a folder, not a file")
    if not file.exists():
        beside = [other.name for other in folder.iterdir() if other.is_file()] if folder.is_dir() else []
        hint = did_you_mean(file.name, beside) if beside else None
        raise UserError(path, "there is no such file", hint if hint and hint.startswith("did") else None)
    return file


def matching_files(path: str) -> list[str]:
    """Return the files that a pattern such as ``part-*.csv`` fits, in order; a path that is no pattern as it is.

    Raises UserError if there is none.
    """
    if path == STDIN or path.startswith(SHIPPED) or not glob.has_magic(path) or user_path(path).exists():
        return [path]
    names = glob.glob(str(user_path(path)), recursive=True)  # noqa: PTH207  a Path takes no absolute pattern
    found = sorted(name for name in names if Path(name).is_file())
    if not found:
        raise UserError(path, "no file's name fits the pattern")
    return found


def _scanpy() -> Path:
    """Return where scanpy is installed, without importing it."""
    found = importlib.util.find_spec("scanpy")
    if found is None or found.origin is None:
        raise UserError("dataset.path", "this data set comes with scanpy", "pip install 'mtl-cli[singlecell]'")
    return Path(found.origin).parent
