"""Progress on stderr: a bar in a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Column

from mtl_cli.data.look import Look
from mtl_cli.reports.first_look import first_lines
from mtl_cli.training.callbacks.base import Epoch

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SECONDS_BETWEEN_LINES = 5.0
AROUND, BAR = 17, 22
"""Columns that the words and the time take beside the epoch and what is said of it, and the bar."""
LINE = 80
"""Columns of what is said of an epoch where there is no terminal."""


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


class TrainingProgress:
    """Shows a run as it goes on.

    Parameters
    ----------
    console : Console
        On stderr.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar: Progress | None = None
        self._bar_task: TaskID | None = None
        self._epochs, self._tasks, self._member = 0, [""], ""
        self._started = self._last_line = 0.0
        self._wide = console.width >= 110

    def notice(self, line: str) -> None:
        """Show a line that the user should see."""
        self.console.print(f"note: {line}", markup=False, highlight=False, soft_wrap=True)

    def look(self, look: Look) -> None:
        """Show the first look at the data."""
        for line in first_lines(look, self.console.width if self.console.is_terminal else 100):
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def start(
        self, epochs: int, tasks: list[str], device: str, parameters: int, rows: int, member: tuple[int, int] = (1, 1)
    ) -> None:
        """Show that training begins: of how many epochs at most, parameters and training rows, and which member."""
        self._epochs, self._tasks = epochs, tasks
        (number, members), self._started = member, time.monotonic()
        self._member = f"member {number}/{members}, " if members > 1 and number else ""
        if number <= 1:
            self._last_line = self._started
            size = f"{_count(len(tasks), 'task')}, {_count(parameters, 'parameter')}, {_count(rows, 'row')}"
            how = "in turn" if number else "at once"
            each = f"{members} members {how}, each " if members > 1 else ""
            line = f"training {each}{size}, at most {_count(epochs, 'epoch')} on {device}"
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)
        if self.console.is_terminal:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            described = TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis"))
            self._bar = Progress(
                TextColumn(f"{self._member}epoch"), MofNCompleteColumn(), TimeRemainingColumn(),
                *([BarColumn(bar_width=BAR - 2)] if self._wide else []),
                described, console=self.console, transient=True, refresh_per_second=5,
            )  # fmt: skip
            self._bar_task = self._bar.add_task("", total=epochs)
            self._bar.start()

    def part(self, epoch: int, share: float) -> None:
        """Show what share of an epoch's batches is done."""
        if self._bar is not None and self._bar_task is not None:
            self._bar.update(self._bar_task, completed=epoch - 1 + share)
            return
        now = time.monotonic()
        if now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            spent = now - self._started
            line = f"{self._member}epoch {epoch}/{self._epochs}  {share:.0%} of its batches  {spent:.0f} s"
            print(line, file=sys.stderr, flush=True)

    def epoch(self, epoch: Epoch) -> None:
        """Show an epoch that has ended."""
        row = epoch.history
        if self._bar is not None and self._bar_task is not None:
            self._bar.update(self._bar_task, completed=row["epoch"], description=self._describe(row))
            return
        now = time.monotonic()
        if now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            spent = now - self._started
            left = spent / row["epoch"] * (self._epochs - row["epoch"])
            line = (
                f"{self._member}epoch {row['epoch']}/{self._epochs}  {self._describe(row)}  {spent:.0f} s,"
                f" at most {left:.0f} s left"
            )
            print(line, file=sys.stderr, flush=True)

    def stop(self) -> None:
        """Stop showing."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _describe(self, row: dict[str, Any]) -> str:
        """Return the losses and the score of an epoch: as many tasks as there is room for, the score first."""
        shown = [f"val_score {row['val_score']:.4f}"] if "val_score" in row else []
        shown += [f"loss {row['loss_total']:.4g}"]
        shown += [f"{key} {row[key]:.4g}" for key in row if key.startswith("penalty_")]
        around = AROUND + 2 * len(str(self._epochs)) + (BAR if self._wide else 0)
        room = self.console.width - around if self._bar is not None else LINE
        room -= sum(len(text) + 2 for text in shown)
        for number, name in enumerate(self._tasks):
            text, rest = f"{name} {row[f'loss_{name}']:.3g}", len(self._tasks) - number
            more = f"and {rest} more"
            if len(text) + 2 > room - (len(more) + 2 if rest > 1 else 0):
                return "  ".join([*shown, more if number else f"{rest} tasks"] if len(more) + 2 <= room else shown)
            shown, room = [*shown, text], room - len(text) - 2
        return "  ".join(shown)
