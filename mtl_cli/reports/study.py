"""A study as it goes on, on stderr: a line for each job that ends, and on a terminal one bar for all of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from rich.console import Console

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

REFRESH = 2.0
"""How often a second the bar is drawn."""


WIDE = 200
"""Columns where there is no terminal."""


def stream_console(stream: TextIO) -> Console:
    """Return a console on a stream; plain, and wide enough for any table, where that is no terminal."""
    console = Console(file=stream, highlight=False)
    return console if console.is_terminal else Console(file=stream, highlight=False, width=WIDE)


class StudyProgress:
    """Shows the jobs of a study as they end.

    Parameters
    ----------
    jobs : int, optional
        Of the whole study; None if their number is open.
    done : int
        Those that were done before.
    running : callable
        Returns how many run now.
    """

    def __init__(self, jobs: int | None, done: int, running: Callable[[], int]) -> None:
        # the stream itself: jobs in this process send what they print on stderr to their logs
        self.console = stream_console(sys.stderr)
        self._jobs, self._before, self._running = jobs, done, running
        self._done = done
        self._ended = self._failed = 0
        self._started = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        if self.console.is_terminal and (jobs is None or done < jobs):
            self._begin()

    def _begin(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
        from rich.text import Text

        class State(ProgressColumn):
            max_refresh = 1.0

            def render(column, task: Task) -> Text:
                return Text(self.state())

        self._bar = Progress(
            TextColumn("jobs"), BarColumn(bar_width=20), MofNCompleteColumn(), State(), console=self.console,
            transient=True, refresh_per_second=REFRESH, redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=self._jobs, completed=self._before)
        self._bar.start()

    def ended(self, line: str, failed: bool, done: int | None = None) -> None:
        """Show a job that has ended; ``done`` are all that have, where other processes work on the study too."""
        self._ended += 1
        self._failed += failed
        done = self._before + self._ended if done is None else done
        self._done = done
        number = str(done) if self._jobs is None else f"{done}/{self._jobs}"
        style = "red" if failed and self.console.is_terminal else None
        self.console.print(
            f"{number:>{2 * len(str(self._jobs)) + 1}}  {line}", style=style, markup=False, soft_wrap=True
        )
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done)

    def state(self) -> str:
        """Say how many jobs run and have failed, and how long the rest may take."""
        parts = [f"{self._running()} running"]
        parts += [f"{self._failed} failed"] if self._failed else []
        if self._ended and self._jobs is not None:
            spent = time.monotonic() - self._started
            parts.append(f"about {duration(spent / self._ended * (self._jobs - self._done))} left")
        return ", ".join(parts)

    def stop(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def duration(seconds: float) -> str:
    """Write a time as people say it: 8 s, 4 min, 2 h 05 min."""
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
