"""What people read fits a terminal of 80 columns, and counts one thing in the singular."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mtl_cli.cli.list import aligned, fitted, table
from mtl_cli.cli.train_help import train_help
from mtl_cli.reports.console import print_metrics
from mtl_cli.reports.progress import TrainingProgress
from mtl_cli.tasks.kinds.binary import BinaryTask
from tests.conftest import InProcess

WIDEST = 80


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--help"],
        ["help"],
        ["list"],
        *([c, "--help"] for c in ("predict", "evaluate", "config", "data", "benchmark", "tune", "serve")),
    ],
)
def test_help_fits(mtl: InProcess, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDEST))
    _, out, err = mtl(*words)
    lines = (out + err).splitlines()
    assert len(lines) > 5
    assert [line for line in lines if len(line) > WIDEST] == []


def test_topics_are_listed_in_lower_case_but_for_names(mtl: InProcess) -> None:
    out = mtl("help")[1]
    assert "  start          a first model, its results, and" in out
    assert "  cells          single cells: .h5ad files" in out
    assert "  images         digits, MNIST, files" in out


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


def test_balancers_fit_a_terminal_with_papers_by_author_and_year() -> None:
    rows = table("balancers")
    assert max(map(len, aligned(rows).splitlines())) > WIDEST
    lines = aligned(fitted(rows, WIDEST), WIDEST).splitlines()
    assert len(lines) == len(rows) + 1 and max(map(len, lines)) <= WIDEST
    assert next(line for line in lines if line.startswith("gradnorm ")).endswith("  Chen et al. 2018")
    assert fitted(rows, 200) == rows


def test_metrics_fit_a_terminal_and_no_heading_is_cut() -> None:
    text = io.StringIO()
    metrics = {
        "accuracy": 0.6,
        "balanced_accuracy": 0.53,
        "macro_f1": 0.44,
        "roc_auc": 0.8,
        "log_loss": 0.66,
        "ece": 0.04,
    }
    values = {"rows": 256, "loss": 0.66, "skill": 0.04321, **metrics, "constant": {"loss": 0.7, **metrics}}
    report = {"rows": 256, "score": 0.1, "tasks": {"is_good": values}}
    tasks = {"is_good": BinaryTask("is_good", ["is_good"], 1.0, False, [0, 1], None, None)}
    print_metrics(Console(file=text, width=WIDEST), report, tasks, "test")
    assert max(map(len, text.getvalue().splitlines())) <= WIDEST
    assert "…" not in text.getvalue() and "\n  constant " in text.getvalue()
    wide = io.StringIO()
    print_metrics(Console(file=wide, width=120), report, tasks, "test")
    assert " balanced_accuracy " in wide.getvalue()


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
