"""On a terminal there is no JSON, unless it is asked for; and what to do next is said."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.conftest import MTL, houses


def on_a_terminal(folder: Path, *words: str) -> str:
    """Run `mtl` with a terminal of 80 columns, and return all that it shows."""
    main, side = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm"}
    process = subprocess.Popen([MTL, *words], cwd=folder, stdin=side, stdout=side, stderr=side, env=environment)
    os.close(side)
    shown = b""
    while True:
        try:
            piece = os.read(main, 65536)
        except OSError:  # the terminal has no writer any more
            break
        if not piece:
            break
        shown += piece
    os.close(main)
    assert process.wait(120) == 0, shown.decode()
    return shown.decode()


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    houses(120).to_csv(tmp_path / "houses.csv", index=False)
    return [
        "train",
        "dataset=houses.csv",
        "tasks={sold: binary}",
        "trainer.epochs=2",
        "trainer.folds=none",
        "trainer.baselines=none",
        "plots=false",
    ]


def test_no_json_on_a_terminal(tmp_path: Path, words: list[str]) -> None:
    shown = on_a_terminal(tmp_path, *words, "run_dir=a run")
    assert '"run_dir"' not in shown
    assert "the mean skill on" in shown and "results are in a run" in shown
    assert "next: mtl predict 'a run' new.csv" in shown
    assert '"score"' not in on_a_terminal(tmp_path, "evaluate", "a run")
    assert '"score"' in on_a_terminal(tmp_path, "evaluate", "a run", "--json")


def test_json_on_a_terminal_if_asked_for(tmp_path: Path, words: list[str]) -> None:
    assert '"run_dir": "b"' in on_a_terminal(tmp_path, *words, "run_dir=b", "--json")


@pytest.mark.slow
def test_a_sweep_says_where_its_runs_are(tmp_path: Path, words: list[str]) -> None:
    shown = on_a_terminal(tmp_path, *words, "-m", "seed=0,1", "run_dir=s")
    assert '"run_dir"' not in shown and "1/2  seed=0  score " in shown and "2/2  seed=1  score " in shown
    assert "best score: " in shown and "next: mtl compare s" in shown
