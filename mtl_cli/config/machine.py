"""What the machine refuses, as errors for the user: files, memory, the streams of a command."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtl_cli.config.errors import UserError

MEMORY = "memory"
HINTS = {
    errno.ENOSPC: "free some space, or write elsewhere",
    errno.EDQUOT: "free some space, or write elsewhere",
    errno.EROFS: "write elsewhere, such as run_dir=FOLDER",
    errno.EACCES: "its owner can allow it, with chmod",
    errno.EMFILE: "ulimit -n allows more open files",
}
_NO_MEMORY = re.compile(
    r"can't allocate memory|out of memory|Unable to allocate|not enough memory|Cannot allocate memory"
)
_ASKED = re.compile(r"allocate (\d+) bytes|allocate ([\d.]+ [KMGT]iB)")


def user_error(error: BaseException) -> UserError | None:
    """Return an error of the machine as one for the user; None if it is another, which is a fault of ours."""
    if isinstance(error, UserError):
        return error
    if isinstance(error, OSError):
        return _of_file(error)
    if no_memory(error):
        asked = asked_for(error)
        return UserError(MEMORY, "there is not enough" + (f": {asked} more were asked for" if asked else ""), LESS)
    if isinstance(error, RecursionError):
        return UserError("input", "is nested too deeply to be read")
    return None


LESS = "trainer.batch_size, model.trunk.hidden or fewer rows make it less"


def no_memory(error: BaseException) -> bool:
    """Whether an error says that memory is not to be had, in the words of Python, numpy or torch."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error)) is not None
    )


def asked_for(error: BaseException) -> str:
    """Return how much memory was asked for, if the error says so."""
    found = _ASKED.search(str(error))
    if found is None:
        return ""
    return found[2] or in_bytes(int(found[1]))


def in_bytes(size: float) -> str:
    """Return a number of bytes as it is read best: ``1.5 GiB``."""
    power = 0
    while size >= 1000 and power < 4:
        size, power = size / 1024, power + 1
    return f"{size:.3g} {('bytes', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


def free_memory() -> int | None:
    """Return the bytes that this process may still take; None where the system does not say."""
    found = [_free_of_machine(), _free_of_group(), _free_of_process()]
    return min((size for size in found if size is not None), default=None)


def _free_of_machine() -> int | None:
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:  # not Linux
        return None
    found = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    swap = re.search(r"^SwapFree:\s+(\d+) kB", text, re.MULTILINE)
    return None if found is None else 1024 * (int(found[1]) + (0 if swap is None else int(swap[1])))


def _free_of_group() -> int | None:
    """Return what a container may still take."""
    group = Path("/sys/fs/cgroup")
    try:
        most, used = ((group / name).read_text(encoding="ascii").strip() for name in ("memory.max", "memory.current"))
        return int(most) - int(used)
    except (OSError, ValueError):  # no group, or "max"
        return None


def _free_of_process() -> int | None:
    """Return what ``ulimit -v`` leaves."""
    try:
        import resource

        most, _ = resource.getrlimit(resource.RLIMIT_AS)
        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    except (ImportError, OSError, ValueError):  # not Linux
        return None
    return None if most == resource.RLIM_INFINITY else most - used


@contextmanager
def taking_memory(what: str, smaller: str) -> Iterator[None]:
    """Say what took the memory, if there is none left inside, and what makes it less.

    Parameters
    ----------
    what : str
        Such as "a step of training".
    smaller : str
        The hint: keys that make it less.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not no_memory(error):
            raise
        asked = asked_for(error)
        raise UserError(
            MEMORY, f"{what} needs more than there is" + (f" ({asked} at once)" if asked else ""), smaller
        ) from error


def _of_file(error: OSError) -> UserError:
    name = error.filename if isinstance(error.filename, str) else None
    if isinstance(error.filename, bytes):
        name = os.fsdecode(error.filename)
    if name is None and isinstance(error, FileNotFoundError):
        try:
            os.getcwd()  # noqa: PTH109  Path.cwd() is no more than that
        except OSError:
            return UserError("the working folder", "is not there any more", "cd to another folder")
    what = error.strerror or str(error) or type(error).__name__
    return UserError(name or "a file", what[:1].lower() + what[1:], HINTS.get(error.errno or 0))
