"""What a study came to, for people: one table of its groups, the best run, and the next command."""

from __future__ import annotations

import math
import shlex

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mtl_cli.reports.console import fitting
from mtl_cli.runs.directory import STUDY_TABLE
from mtl_cli.studies import tables
from mtl_cli.studies.compare import ALLOW, Choices, Comparison, compare
from mtl_cli.studies.results import Result
from mtl_cli.studies.study import Study

MOST = 20
"""Groups that are shown of a study."""


def print_summary(console: Console, study: Study) -> None:
    """Print what the jobs of a study that are done came to."""
    results = [Result(study.path / str(job.number), job.settings) for job in study.jobs]
    done = [result for result in results if result.done and result.metrics]
    if not done:
        return
    found = compare(done, Choices(allow=ALLOW))
    print_table(console, found, MOST)
    best = max(done, key=lambda result: -math.inf if result.score is None else result.score)
    if best.score is not None:
        settings = " ".join(f"{key}={value}" for key, value in best.settings.items())
        line = f"best score: {best.score:.4f}, {settings or 'the only run'}, in {best.path}"
        console.print(line, markup=False, soft_wrap=True)
    path = shlex.quote(str(study.path))
    console.print(f"a row per job: {study.path / STUDY_TABLE}", markup=False, soft_wrap=True)
    following = f"mtl compare {path}" if len(done) > 1 else f"mtl evaluate {shlex.quote(str(best.path))}"
    console.print(f"next: {following}", markup=False, soft_wrap=True)


def print_table(console: Console, found: Comparison, most: int | None = None) -> None:
    """Print the table of a comparison, as many columns as fit."""
    head, rows = tables.headings(found), tables.lines(found)
    columns = fitting(head, rows, console.width)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, name in enumerate(head[:columns]):
        table.add_column(name, justify="right" if place else "left", no_wrap=True)
    for row in rows[:most]:
        table.add_row(*map(escape, row[:columns]))
    console.print(table)
    if columns < len(head):
        console.print(f"further columns in a wider terminal: {', '.join(head[columns:])}", style="dim", markup=False)
    if most is not None and len(rows) > most:
        console.print(f"and {len(rows) - most} more groups", style="dim", markup=False)


def print_comparison(console: Console, found: Comparison) -> None:
    """Print a comparison: its table, what the numbers are, and what is to be concluded."""
    print_table(console, found)
    for line in tables.foot(found)[: -len(found.sentences) or None]:
        console.print(line, style="dim", markup=False, soft_wrap=not console.is_terminal)
    for line in found.sentences:
        console.print(line, style="bold", markup=False, soft_wrap=not console.is_terminal)
