"""Tables for people: whatever a label holds is shown as it is."""

from __future__ import annotations

import io
import re
import time
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from mtl_cli.reports.console import print_metrics, print_sample
from mtl_cli.reports.progress import TrainingProgress
from mtl_cli.tasks.kinds.binary import BinaryTask
from mtl_cli.training.callbacks.base import Epoch

VALUES = {"rows": 3, "loss": 0.5, "skill": 0.25, "accuracy": 0.7, "constant": {"loss": 0.7, "accuracy": 0.5}}
ROW = {"epoch": 3, "loss_total": 1.0, "loss_a": 0.4, "loss_b": 0.6, "val_score": 0.25}


def console(width: int, terminal: bool) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=terminal)


def shown(made: Console) -> str:
    assert isinstance(made.file, io.StringIO)
    return made.file.getvalue()


def test_brackets_are_no_markup() -> None:
    made = console(100, terminal=False)
    task = BinaryTask("[/b]", ["x"], 1.0, False, [0, 1], None, None)
    print_metrics(made, {"rows": 3, "score": 0.25, "tasks": {"[/b]": VALUES}}, {"[/b]": task}, "[red]test")
    assert "[/b]" in shown(made)
    assert "[red]test: 3 rows, mean skill 0.25" in shown(made)


def test_the_bar_shows_epoch_and_scores_in_a_narrow_terminal() -> None:
    made = console(80, terminal=True)
    progress = TrainingProgress(made)
    progress.start(200, ["a", "b"], "cpu", 10, 20)
    progress.epoch(Epoch(ROW, {}))
    time.sleep(0.3)
    progress.stop()
    assert "3/200" in shown(made)
    assert "val_score 0.25" in shown(made)


def task_of(name: str) -> BinaryTask:
    return BinaryTask(name, [name], 1.0, False, [0, 1], None, None)


def report_of(names: list[str]) -> dict[str, Any]:
    metrics = {"accuracy": 0.7, "balanced_accuracy": 0.71, "macro_f1": 0.6, "roc_auc": 0.8, "log_loss": 0.5, "ece": 0.1}
    one = {"rows": 300, "loss": 0.5, "skill": 0.25, **metrics, "constant": {"loss": 0.7, **metrics}, "classes": {}}
    return {"rows": 300, "score": 0.25, "tasks": {name: {**one, "skill": i / 10} for i, name in enumerate(names)}}


@pytest.mark.parametrize("count", [1, 3, 12, 40, 1000])
def test_tables_fit_80_columns_whatever_the_number_of_tasks(count: int) -> None:
    made = console(80, terminal=False)
    names = [f"task {i} of those with a very long name" if i == 2 else f"task{i}" for i in range(count)]
    print_metrics(made, report_of(names), {name: task_of(name) for name in names}, "test", "metrics.json")
    lines = shown(made).splitlines()
    assert max(map(len, lines)) <= 80 and len(lines) <= 30
    text = shown(made)
    assert "log_loss" in text and "further metrics in metrics.json: " in text if count <= 40 else "median" in text
    header = next((line.split() for line in lines if line.startswith("binary")), [])
    assert header[:4] == (["binary", "rows", "skill", "accuracy"] if count <= 40 else [])
    if count == 40:
        assert "40 binary tasks: skill 0 (task0) to 3.9 (task39), median 1.95" in text
        assert "and 28 more, in metrics.json" in text
    if count == 1000:
        assert "lowest: task0 0, task1 0.1" in text
    assert ("constant" in text) == (count <= 12)


@pytest.mark.parametrize("count", [3, 12, 40])
def test_the_line_of_an_epoch_fits_80_columns(count: int) -> None:
    made = console(80, terminal=True)
    names = [f"task{i}" for i in range(count)]
    progress = TrainingProgress(made)
    progress.start(200, names, "cpu", 10, 20)
    row = {"epoch": 199, "loss_total": 1.2345, **{f"loss_{name}": 0.12345 for name in names}, "val_score": 0.25}
    progress.epoch(Epoch(row, {}))
    time.sleep(0.3)
    progress.stop()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown(made))
    line = next(line for line in re.split(r"[\r\n]", plain) if "val_score" in line)
    assert len(line.rstrip()) <= 80 and "val_score 0.2500" in line and "199/200" in line
    assert f"and {count - 1} more" in line or f"and {count - 2} more" in line or "task2" in line


@pytest.mark.parametrize("tasks", [1, 3, 40])
def test_the_first_rows_fit_80_columns(tasks: int) -> None:
    made = console(80, terminal=False)
    names = [f"a task with a long name {i}" if i else "price" for i in range(tasks)]
    columns = [c for name in names for c in (name, f"predicted_{name}", f"predicted_{name}_prob")]
    table = pd.DataFrame({"row": range(9)} | dict.fromkeys(columns, 0.123456789))
    print_sample(made, table, {name: task_of(name) for name in names})
    lines = shown(made).splitlines()
    assert max(map(len, lines)) <= 80 and lines[1].split()[:3] == ["row", "price", "predicted_price"]
    assert len(lines) == 7 + (tasks > 1)
    assert tasks == 1 or re.search(r"and \d+ more columns in predictions.csv", lines[-1])
