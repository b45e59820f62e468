"""Tables for people: whatever a label holds is shown as it is."""

from __future__ import annotations

import io
import time

from rich.console import Console

from mtl_cli.reports.console import print_metrics
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
