"""Tables for people, on stderr."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mtl_cli.tasks.task import Task
from mtl_cli.training.run import Finished

SHOWN = 5
WIDEST = 20
"""Characters of a cell, such as of a sequence's labels."""
VERY_WIDE = 10_000
"""Columns of a console that any table fits."""
UNSEEN = "test rows that repeat no row trained on"


def stderr_console() -> Console:
    """Return a console on stderr; plain, and wide enough for its tables, where that is no terminal."""
    console = Console(stderr=True, highlight=False)
    return console if console.is_terminal else Console(stderr=True, highlight=False, width=120)


def print_metrics(console: Console, report: Mapping[str, Any], tasks: Mapping[str, Task], title: str) -> None:
    """Print one part's metrics: a table per kind of task, the best constant prediction below each task."""
    console.print(f"{title}: {report['rows']} rows, mean skill {_short(report['score'])}", style="bold", markup=False)
    for kind in dict.fromkeys(task.kind for task in tasks.values()):
        measured = {
            name: report["tasks"][name] for name, task in tasks.items() if task.kind == kind and name in report["tasks"]
        }
        example: Mapping[str, Any] = next((values for values in measured.values() if "skill" in values), {})
        metrics = [metric for metric in example if metric not in ("rows", "loss", "skill", "constant")]
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for column in (kind, "rows", "skill", *metrics):
            table.add_column(column, justify="left" if column == kind else "right", no_wrap=column == kind)
        for name, values in measured.items():
            if "skill" not in values:
                table.add_row(escape(name), "0")
                continue
            table.add_row(
                escape(name), str(values["rows"]), *(_short(values[metric]) for metric in ("skill", *metrics))
            )
            constant = values["constant"]
            table.add_row("  constant", "", "0", *(_short(constant[metric]) for metric in metrics), style="dim")
        if console.measure(table, options=console.options.update(width=VERY_WIDE)).maximum > console.width:
            for heading in table.columns:  # in several lines, rather than cut
                heading.header = str(heading.header).replace("_", "\n")
        console.print(table)


def print_summary(console: Console, finished: Finished) -> None:
    """Print what a run came to: its test metrics, some predictions, and where the files are."""
    splits = finished.metrics["splits"]
    if finished.predictions is not None:
        print_metrics(console, splits["test"], finished.tasks, f"test, with the weights of epoch {finished.best.epoch}")
        if "test_unseen" in splits:
            print_metrics(console, splits["test_unseen"], finished.tasks, UNSEEN)
        sample = finished.predictions.head(SHOWN)
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for column in sample.columns:
            table.add_column(escape(str(column)), justify="right")
        for row in sample.itertuples(index=False):
            table.add_row(*(escape(_short(value)) for value in row))
        console.print("the first test rows", style="bold")
        console.print(table)
    console.print(f"results are in {finished.run.path}", markup=False, soft_wrap=True)


def _short(value: Any) -> str:
    if pd.isna(value):
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return text if len(text := str(value)) <= WIDEST else f"{text[: WIDEST - 1]}…"
