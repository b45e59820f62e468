"""What people read fits a terminal of 80 columns, and counts one thing in the singular."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mtl_cli.cli.list import aligned
from mtl_cli.cli.train_help import train_help
from mtl_cli.reports.progress import TrainingProgress
from tests.conftest import InProcess

WIDEST = 80


@pytest.mark.parametrize(
    "words", [[], ["--help"], ["help"], ["list"], *([c, "--help"] for c in ("predict", "evaluate", "config", "data"))]
)
def test_help_fits(mtl: InProcess, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDEST))
    _, out, err = mtl(*words)
    lines = (out + err).splitlines()
    assert len(lines) > 5
    assert [line for line in lines if len(line) > WIDEST] == []


def test_topics_are_listed_in_lower_case_but_for_names(mtl: InProcess) -> None:
    out = mtl("help")[1]
    assert "  start         a first model, its results, and" in out
    assert "  cells         single cells: .h5ad files" in out
    assert "  images        digits, MNIST, files" in out


def test_the_choices_of_train_fit_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert any(len(line) > WIDEST for line in train_help().splitlines() if "GradNorm: " in line)
    monkeypatch.setenv("COLUMNS", str(WIDEST))
    monkeypatch.setattr("sys.stdout", Terminal())
    groups = train_help().partition("groups and their files")[2].partition("every key")[0].splitlines()
    assert any("GradNorm: " in line and line.endswith(" …") for line in groups)
    assert [line for line in groups if len(line) > WIDEST] == []


def test_a_list_is_wrapped_in_a_terminal_only() -> None:
    rows = [{"name": "a", "what": "one two three four five six"}, {"name": "long", "what": ""}]
    assert aligned(rows) == "name  what\na     one two three four five six\nlong"
    assert aligned(rows, 22) == "name  what\na     one two three\n      four five six\nlong"
    assert aligned(rows, 5) == aligned(rows, 22), "16 characters are kept"


def test_one_is_counted_as_one() -> None:
    text = io.StringIO()
    progress = TrainingProgress(Console(file=text, width=WIDEST))
    progress.start(1, ["a"], "cpu", 9922, 1)
    progress.stop()
    progress.start(2, ["a", "b"], "cpu", 1, 1119)
    assert text.getvalue().splitlines() == [
        "training 1 task, 9,922 parameters, 1 row, at most 1 epoch on cpu",
        "training 2 tasks, 1 parameter, 1,119 rows, at most 2 epochs on cpu",
    ]
