"""What Ctrl-C, SIGTERM and a closed terminal do to a command, from its first instant to its last.

No exception is raised inside whatever code happens to run, where it might be swallowed or leave something in between.
While a command runs, one of four holds:

- at once, unless said otherwise: files that are half written are removed, ``last_words`` are said, the process ends;
- ``waiting``: the signal is remembered, and ``check`` raises it where the work is whole; a second one ends at once;
- ``raising``: the main thread only waits for others, and is told by an exception;
- ``serving``: as ``waiting``, for as long as it takes to end what is in hand; SIGHUP ends nothing.

Where the main thread does not come to it within seconds, as in a long call of a library, another thread ends the
process. Outside of a command, as in a notebook, Python's own handling is left as it is.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import NoReturn

from mtl_cli import io

SECONDS = 4.0
"""In which a command ends after a signal, or is ended."""


@dataclass
class _Command:
    name: str | None
    waits: int = 0
    raises: int = 0
    patience: float = SECONDS
    hangup: Callable[[], bool] | None = None
    """What SIGHUP does where it ends nothing; it returns False if it is to end the command all the same."""
    came: int | None = None
    said: list[Callable[[int], object]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)


_command: _Command | None = None


def ends_command(number: int) -> int:
    """Return the exit status of a command that a signal ended: 130 after Ctrl-C, else 143."""
    return 128 + (signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)


@contextlib.contextmanager
def handling(name: str | None = None) -> Iterator[None]:
    """Handle the signals that end a command, which says under its name that it was ended, if it has one.

    Inside another command that is left to the other.
    """
    global _command
    if _command is not None:
        yield
        return
    _command = command = _Command(name)
    previous = {number: signal.signal(number, _handle) for number in _ending()}
    try:
        with _watched(command):
            yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        _command = None


def _ending() -> list[int]:
    """Return the signals that end a command, but not those that its parent had it ignore, as `nohup` does."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [int(getattr(signal, name)) for name in names if name in signal.Signals.__members__]
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


@contextlib.contextmanager
def waiting() -> Iterator[None]:
    """Let a signal wait for ``check``, or for the end of the block."""
    command = _command
    if command is None:
        yield
        return
    command.waits += 1
    try:
        yield
        check()
    finally:
        command.waits -= 1


@contextlib.contextmanager
def serving(reload: Callable[[], object], seconds: float) -> Iterator[None]:
    """Let a signal wait for the end of the block, which may take so many seconds more; SIGHUP is told to ``reload``.

    If the process had a terminal and that was closed, SIGHUP ends the block as SIGTERM does.
    """
    command = _command
    if command is None:
        yield
        return
    had_terminal = _has_terminal()

    def hangup() -> bool:
        if had_terminal and not _has_terminal():
            return False
        reload()
        return True

    command.patience, command.hangup = seconds, hangup
    try:
        with waiting():
            yield
    finally:
        command.patience, command.hangup = SECONDS, None


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


@contextlib.contextmanager
def raising() -> Iterator[None]:
    """Let a signal raise KeyboardInterrupt, or SystemExit, in a block in which the main thread waits for others."""
    command = _command
    if command is None:
        yield
        return
    command.raises += 1
    try:
        yield
    finally:
        command.raises -= 1


@contextlib.contextmanager
def last_words(say: Callable[[int], object]) -> Iterator[None]:
    """Have something said when a signal ends the command at once inside the block: ``say`` is given its number."""
    command = _command
    if command is None:
        yield
        return
    command.said.append(say)
    try:
        yield
    finally:
        command.said.remove(say)


def came() -> bool:
    """Whether a signal waits for ``check``."""
    return _command is not None and _command.came is not None


def check() -> None:
    """Raise KeyboardInterrupt after Ctrl-C, SystemExit after another signal; called where the work is whole."""
    if _command is not None and _command.came is not None:
        _raise(_command.came)


def _raise(number: int) -> NoReturn:
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(ends_command(number))


def _handle(number: int, frame: FrameType | None) -> None:
    command = _command
    if command is None:
        os._exit(ends_command(number))
    if command.hangup is not None and number == getattr(signal, "SIGHUP", None) and command.hangup():
        return
    if command.raises:
        _raise(number)
    if command.waits and command.came is None:
        command.came = number
        return
    _end(command, number)


def _end(command: _Command, number: int) -> NoReturn:
    """End the process without unwinding: no destructor, no handler and no other thread can keep it."""
    said, command.said = command.said, []  # each at most once, whichever thread ends the process
    for say in reversed(said):
        with contextlib.suppress(Exception):  # such as a full disk: it ends all the same
            say(number)
    io.remove_unfinished()
    with contextlib.suppress(OSError, ValueError):  # the terminal may be gone
        cursor = "\x1b[?25h" if os.isatty(2) else ""  # which a progress bar hides
        os.write(2, (cursor + (f"{told(command.name, number)}\n" if command.name else "")).encode())
    os._exit(ends_command(number))


def told(name: str, number: int) -> str:
    """Return the line that says how a command of this name ended."""
    return f"{name}: interrupted" if number == signal.SIGINT else "mtl: terminated"


@contextlib.contextmanager
def _watched(command: _Command) -> Iterator[None]:
    """Have another thread end the process if it goes on for seconds after a signal."""
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(command, reader), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        command.ended.set()
        os.close(writer)


def _watch(command: _Command, reader: int) -> None:
    """Wait for a signal's byte, which the interpreter writes at once, whatever the main thread does."""
    numbers = _ending()
    while byte := os.read(reader, 1):
        if byte[0] not in numbers or (command.hangup is not None and byte[0] == getattr(signal, "SIGHUP", None)):
            continue
        if not command.ended.wait(command.patience) and not command.raises:
            _end(command, byte[0])
    os.close(reader)
