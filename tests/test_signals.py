"""What signals do to a command at each of its moments, in small programs; `tests/fuzz/signals.py` has the whole one."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

BEGIN = """
import sys, time
from mtl_cli import signals
signals.SECONDS = 0.5

def work():  # swallows whatever is raised inside
    while True:
        try:
            time.sleep(0.01)
        except BaseException:
            pass

print("begun", flush=True)
"""
IDLE = """
with signals.handling("mtl train"), signals.last_words(lambda number: print("last words", number, flush=True)):
    print("ready", flush=True)
    work()
"""
WAITING = """
with signals.handling("mtl train"):
    try:
        with signals.waiting():
            print("ready", flush=True)
            while not signals.came():
                time.sleep(0.01)
            print("step ended", flush=True)
            signals.check()
    except BaseException as error:
        print(type(error).__name__, flush=True)
"""
STUCK = """
with signals.handling("mtl train"), signals.waiting():
    print("ready", flush=True)
    work()
"""
RAISING = """
with signals.handling("mtl train"), signals.raising():
    try:
        print("ready", flush=True)
        time.sleep(60)
    except BaseException as error:
        print(type(error).__name__, flush=True)
"""
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def ended(program: str, number: signal.Signals, times: int = 1) -> tuple[int, list[str], list[str], float]:
    """Run a program, send it a signal once it is ready, and return its status, what it said, and its seconds."""
    code = [sys.executable, "-c", BEGIN + program]
    process = subprocess.Popen(code, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while process.stdout.readline() != "ready\n":
        assert process.poll() is None
    began = time.monotonic()
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.05)
    out, err = process.communicate(timeout=60)
    return process.returncode, out.splitlines(), err.splitlines(), time.monotonic() - began


@pytest.mark.parametrize(
    ("number", "status", "line"),
    [(signal.SIGINT, 130, "mtl train: interrupted"), (signal.SIGTERM, 143, "mtl: terminated"),
     (signal.SIGHUP, 143, "mtl: terminated")],
)  # fmt: skip
def test_a_signal_cannot_be_swallowed(number: signal.Signals, status: int, line: str) -> None:
    assert ended(IDLE, number)[:3] == (status, [f"last words {int(number)}"], [line])


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, "KeyboardInterrupt"), (signal.SIGTERM, "SystemExit")])
def test_a_step_is_ended_first(number: signal.Signals, raised: str) -> None:
    assert ended(WAITING, number)[:3] == (0, ["step ended", raised], [])


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, "KeyboardInterrupt"), (signal.SIGTERM, "SystemExit")])
def test_who_waits_for_others_is_told_by_an_exception(number: signal.Signals, raised: str) -> None:
    assert ended(RAISING, number)[:3] == (0, [raised], [])


def test_a_second_one_ends_the_command_at_once() -> None:
    status, _, err, _ = ended(STUCK, signal.SIGINT, times=2)
    assert (status, err) == (130, ["mtl train: interrupted"])


def test_a_step_that_does_not_end_is_ended() -> None:
    """By another thread, after ``SECONDS``."""
    status, _, err, seconds = ended(STUCK, signal.SIGTERM)
    assert (status, err) == (143, ["mtl: terminated"])
    assert seconds >= 0.5


def test_nothing_is_handled_outside_of_a_command() -> None:
    from mtl_cli import signals

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with signals.waiting(), signals.raising():
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
        signals.check()
