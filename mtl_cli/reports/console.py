"""Tables for people, on stderr, that fit its width: fewer columns or rows in a narrow one, and the rest counted."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mtl_cli.inference.evaluate import LOWER_IS_BETTER, NO_METRICS
from mtl_cli.reports.advice import advice
from mtl_cli.reports.plots import of_member, read_columns
from mtl_cli.reports.verdicts import about_baselines, about_sharing
from mtl_cli.runs.directory import HISTORY, METRICS, PREDICTIONS
from mtl_cli.tasks.answer_columns import PREDICTION, PROBABILITY
from mtl_cli.tasks.task import Task
from mtl_cli.training.run import Finished

SHOWN = 5
WIDEST = 20
"""Characters of a cell, such as of a sequence's labels."""
NAME = 28
"""Characters of a task's or a column's name."""
GAP = 2
NO_COLUMNS = (*NO_METRICS, "loss", "skill", "baselines", "single")
"""What the report of a task holds beside the metrics that have columns of their own."""
UNSEEN = "test rows that repeat no row trained on"
WITH_ALL = 4
"""Tasks of a kind up to which all baselines are shown below each, not only the best one."""
FEW, LEAST, MANY = 12, 3, 100
"""Tasks: up to the first number all are shown; beyond, about so many, but of each kind at least the second number; and
beyond the third none but the extremes."""


def stderr_console() -> Console:
    """Return a console on stderr; plain, and wide enough for its tables, where that is no terminal."""
    console = Console(stderr=True, highlight=False)
    return console if console.is_terminal else Console(stderr=True, highlight=False, width=120)


def print_metrics(
    console: Console,
    report: Mapping[str, Any],
    tasks: Mapping[str, Task],
    title: str,
    everything: str = "mtl evaluate --json",
) -> None:
    """Print one part's metrics: a table per kind of task, the best constant prediction below each task.

    Parameters
    ----------
    console : Console
    report : mapping
        What ``evaluate`` returns.
    tasks : mapping of str to Task
    title : str
        What the rows are.
    everything : str
        Where to find what does not fit.
    """
    rows = "1 row" if report["rows"] == 1 else f"{report['rows']} rows"
    console.print(f"{title}: {rows}, mean skill {_short(report['score'])}", style="bold", markup=False, soft_wrap=True)
    left_out: dict[str, None] = {}
    measured = {name: task for name, task in tasks.items() if name in report["tasks"]}
    kinds = list(dict.fromkeys(task.kind for task in measured.values()))
    few = len(measured) <= FEW
    most = FEW if few else 0 if len(measured) > MANY else max(FEW // len(kinds), LEAST)
    for kind in kinds:
        own = {name: report["tasks"][name] for name, task in measured.items() if task.kind == kind}
        if len(own) > most:
            console.print(_spread(kind, own, len(measured) > MANY), markup=False, soft_wrap=True)
        if most:
            left_out |= dict.fromkeys(_print_kind(console, kind, dict(list(own.items())[:most]), few, tasks))
        if most and len(own) > most:
            console.print(f"and {len(own) - most} more, in {everything}", style="dim", markup=False)
    if left_out:
        console.print(
            f"further metrics in {everything}: {', '.join(left_out)}", style="dim", markup=False, soft_wrap=True
        )


def about_unknown(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield what came of answering only where the model is sure, a line for each task of which that was asked."""
    for name, values in report["tasks"].items():
        if "unknown" not in values:
            continue
        own = values["unknown"]
        right = f", {own['accuracy']:.1%} of these right" if own["answered"] else ""
        yield f"{name}: {own['answered']:.1%} of {values['rows']} rows answered{right}; {own['asked']:.1%} asked for"


def about_levels(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the one answer of tasks that are levels is worth, and what share of rows is answered at which."""
    if "levels" not in report:
        return
    own = report["levels"]
    if any(values["answered"] < 1 for values in list(own["levels"].values())[-1:]):
        each = [
            f"{name} {values['answered']:.1%}" + (f" ({values['accuracy']:.1%} right)" if values["answered"] else "")
            for name, values in own["levels"].items()
        ]
        yield f"answered at the finest level that is sure: {', '.join(each)}; {1 - own['answered']:.1%} unknown"
    yield (
        f"levels {' > '.join(own['levels'])}, where a parent counts as right for its child: accuracy"
        f" {_short(own['accuracy'])}; hierarchical F1 {_short(own['f1'])}, precision {_short(own['precision'])}, recall"
        f" {_short(own['recall'])}"
    )


def _print_kind(
    console: Console,
    kind: str,
    measured: Mapping[str, Mapping[str, Any]],
    constants: bool,
    tasks: Mapping[str, Task],
) -> list[str]:
    """Print the table of one kind of task; return the metrics that do not fit.

    With ``constants``, constant predictions and baselines stand below each task.
    """
    found = [metric for values in measured.values() if "skill" in values for metric in values]
    metrics = [metric for metric in dict.fromkeys(found) if metric not in NO_COLUMNS]
    lines = []
    for name, values in measured.items():
        if "skill" not in values:
            lines.append([name, "0"])
            continue
        lines.append([name, str(values["rows"]), *_cells(values, ["skill", *metrics])])
        if constants:
            beside = {"constant": {"skill": 0, **values["constant"]}, **_beside(values, tasks[name], len(measured))}
            if "single" in values:
                beside["single-task"] = values["single"]
            for other, own in beside.items():
                lines.append([f"  {other}", "", *_cells(own, ["skill", *metrics])])
    header = [kind, "rows", "skill", *metrics]
    columns = fitting(header, lines, console.width)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for i in range(columns):
        justify: Literal["left", "right"] = "right" if i else "left"
        table.add_column(header[i], justify=justify, no_wrap=True, max_width=None if i else NAME)
    for line in lines:
        table.add_row(*map(escape, line[:columns]), style="dim" if len(line) > 2 and not line[1] else None)
    console.print(table)
    return header[columns:]


def _cells(values: Mapping[str, Any], metrics: Iterable[str]) -> list[str]:
    """Return metrics as text, nothing for one that a task has not, such as the coverage of an interval."""
    return [_short(values[metric]) if metric in values else "" for metric in metrics]


def _beside(values: Mapping[str, Any], task: Task, tasks: int) -> dict[str, Mapping[str, Any]]:
    """Return the reports of a task's baselines: all of them where tasks are few, else of the best one."""
    baselines: dict[str, Mapping[str, Any]] = values.get("baselines", {})
    if tasks <= WITH_ALL or not baselines:
        return baselines
    sign = -1 if task.compared in LOWER_IS_BETTER else 1
    best = max(baselines, key=lambda name: sign * baselines[name][task.compared])
    return {best: baselines[best]}


def fitting(header: Sequence[str], lines: Iterable[Sequence[str]], width: int) -> int:
    """Return how many columns, from the first on, fit a width; the first is always there, cut if it must be."""
    widths = [len(name) for name in header]
    for line in lines:
        for i, cell in enumerate(line):
            widths[i] = max(widths[i], len(cell))
    widths[0] = min(widths[0], NAME)
    taken = 0
    for i, needed in enumerate(widths):
        taken += needed + GAP * (i > 0)
        if taken > width:
            return max(i, 1)
    return len(header)


def _spread(kind: str, measured: Mapping[str, Mapping[str, Any]], lowest: bool) -> str:
    """Say of many tasks what their skills are, and which are the ``lowest``."""
    skills = {n: v["skill"] for n, v in measured.items() if math.isfinite(v.get("skill", math.nan))}
    if not skills:
        return f"{len(measured)} {kind} tasks, none of them measured"
    order = sorted(skills, key=skills.__getitem__)
    middle = _short(float(pd.Series(skills).median()))
    low, high = (f"{_short(skills[name])} ({name})" for name in (order[0], order[-1]))
    line = f"{len(measured)} {kind} tasks: skill {low} to {high}, median {middle}"
    if lowest:
        worst = ", ".join(f"{name} {_short(skills[name])}" for name in order[:3])
        line += f"\n  lowest: {worst}"
    return line


def print_summary(console: Console, finished: Finished) -> None:
    """Print what a run came to: its test metrics, some predictions, what its history says, and what to do next."""
    splits, path = finished.metrics["splits"], str(finished.run.path)
    if finished.predictions is not None:
        print_metrics(console, splits["test"], finished.tasks, _titled(finished), METRICS)
        if "test_unseen" in splits:
            print_metrics(console, splits["test_unseen"], finished.tasks, UNSEEN, METRICS)
        for line in (*about_baselines(finished.metrics), *about_sharing(finished.metrics)):
            console.print(line, style="bold", markup=False, soft_wrap=True)
        print_sample(console, finished.predictions, finished.tasks)
    history, weights = (read_columns(finished.run.path / file) for file in (HISTORY, finished.weights_name))
    trainer, members = finished.config.trainer, finished.metrics.get("members", [])
    history, weights = _of_first_member(history), _of_first_member(weights)
    stopping, kind = trainer.early_stopping is not None, finished.config.dataset.input_kind
    for line in advice(list(finished.tasks), history, weights, finished.epochs, stopping, kind):
        console.print(f"note: {'member 1: ' if members else ''}{line}", markup=False, soft_wrap=True)
    if (score := finished.metrics["score"]) is not None:
        of = f"{len(members)} members" if members else f"epoch {finished.best.epoch} of {len(history['epoch'])}"
        console.print(f"score {_short(score)}: the mean skill on the validation rows, {of}", markup=False)
    console.print(f"results are in {path}", markup=False, soft_wrap=True)
    following = f"next: mtl predict {shlex.quote(path)} {finished.config.dataset.example}"
    console.print(following, markup=False, soft_wrap=True)


def _of_first_member(columns: Mapping[str, list[float]]) -> Mapping[str, list[float]]:
    """Return the rows of a run's only member, or of the first of several."""
    return of_member(columns, columns["member"][0]) if columns.get("member") else columns


def print_sample(console: Console, predictions: pd.DataFrame, tasks: Mapping[str, Task]) -> None:
    """Print the first test rows: as many tasks as fit, each with its label and its prediction."""
    sample = predictions.head(SHOWN)
    cells = {str(column): [_short(value) for value in sample[column]] for column in sample.columns}
    widths = {column: min(max(map(len, [column, *shown])), NAME) + GAP for column, shown in cells.items()}
    names = list(cells)
    chosen = names[: 2 if names[0] == "dataset" else 1]
    left = console.width - sum(widths[column] for column in chosen)
    for name in tasks:
        own = [column for column in (name, PREDICTION.named(name)) if column in cells and column not in chosen]
        sure = PROBABILITY.named(name)
        if sum(widths[column] for column in own) - GAP > left:
            break
        own += [sure] if sure in cells and sum(widths[column] for column in [*own, sure]) - GAP <= left else []
        chosen, left = [*chosen, *own], left - sum(widths[column] for column in own)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for column in chosen:
        table.add_column(escape(column), justify="right", no_wrap=True, max_width=NAME)
    for row in range(len(sample)):
        table.add_row(*(escape(cells[column][row]) for column in chosen))
    console.print("the first test rows", style="bold")
    console.print(table)
    if len(chosen) < len(cells):
        more = len(cells) - len(chosen)
        columns = "1 more column" if more == 1 else f"{more} more columns"
        console.print(f"and {columns} in {PREDICTIONS}", style="dim", markup=False)


def _titled(finished: Finished) -> str:
    members = finished.metrics.get("members", [])
    means = [member for member in members if member["fold"] is None] or members  # those of a refit, if there was one
    if len(means) > 1:
        return f"test, the mean of {len(means)} members"
    return f"test, with the weights of epoch {finished.best.epoch}"


def _short(value: Any) -> str:
    if pd.isna(value):
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return text if len(text := str(value)) <= WIDEST else f"{text[: WIDEST - 1]}…"
