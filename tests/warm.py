"""`mtl` in a new process that need not import what is not ours: a server imports that once, and forks for each command.

Nothing of `mtl_cli` is imported before the fork, so that a command finds the packages on its own path, and no others.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SECONDS = 120
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["torch", "pandas", "sklearn.metrics", "sklearn.model_selection", "hydra", "rich.table"])


def mtl(where: Path, *arguments: str, path: tuple[Path, ...] = (), line: str = "") -> subprocess.CompletedProcess[str]:
    """Run ``mtl`` in a folder, with others at the front of Python's path; ``line`` is what a shell would complete."""
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder) / name for name in ("out", "err")]
        process = SERVER.Process(target=_run, args=(where, arguments, path, line, *streams))
        process.start()
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(list(arguments), SECONDS)
        out, err = (stream.read_text(encoding="utf-8") for stream in streams)
    return subprocess.CompletedProcess(["mtl", *arguments], process.exitcode, out, err)


def _run(where: Path, arguments: tuple[str, ...], path: tuple[Path, ...], line: str, out: Path, err: Path) -> None:
    for stream, descriptor in ((out, 1), (err, 2)):
        with stream.open("wb") as file:
            os.dup2(file.fileno(), descriptor)
    assert "mtl_cli" not in sys.modules
    sys.path[:0] = map(str, path)
    os.environ["COMP_LINE"] = line
    os.chdir(where)
    from mtl_cli.cli.main import run

    sys.exit(run(list(arguments)))
