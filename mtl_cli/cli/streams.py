"""stdout and stderr of a command that were closed, or are files on a full disk.

What is written to stdout is what was asked for: if it cannot be written the command fails, in a line that names it.
What is written to stderr is for people: if it cannot be written the command goes on, as if nobody were reading.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any

STDOUT = "stdout"
"""What errors call it."""


class Stream(io.RawIOBase):
    """The bytes that go to a descriptor of the process.

    Parameters
    ----------
    descriptor : int
    name : str
        What errors call it.
    needed : bool
        Whether bytes that cannot be written are an error. A closed pipe always is one: it ends the command.
    """

    def __init__(self, descriptor: int, name: str, needed: bool) -> None:
        self._descriptor, self.name, self._needed = descriptor, name, needed

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: Any) -> int:
        try:
            return os.write(self._descriptor, data)
        except BrokenPipeError:
            raise
        except OSError as error:
            if self._needed:
                why = "it is closed" if error.errno == errno.EBADF else error.strerror
                raise OSError(error.errno, f"cannot be written: {why}", self.name) from error
            return len(data)


def open_streams() -> None:
    """Put streams in the place of Python's own, which lets nothing be written where the shell closed them (``>&-``)."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:  # closed: a file that is opened next would get its number, and what is printed
            os.open(os.devnull, os.O_RDONLY)
    sys.stdout = _text(sys.stdout, 1, STDOUT, needed=True)
    sys.stderr = _text(sys.stderr, 2, "stderr", needed=False)


def _text(stream: Any, descriptor: int, name: str, needed: bool) -> io.TextIOWrapper:
    raw = Stream(descriptor, name, needed)
    encoding = "utf-8" if stream is None else stream.encoding
    errors = "backslashreplace" if stream is None or not needed else stream.errors
    lines = not needed or raw.isatty()
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=lines)


def give_up(stream: Any) -> None:
    """Let what is still to be written to a stream go nowhere: the flush at exit would fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
