"""A small sample of ``tests/fuzz/signals.py``: the first imports, and the pictures at the end."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.fuzz.signals import check, interrupted

LONG = ("train", "dataset=wine", "trainer.epochs=1", "trainer.folds=none", "trainer.baselines=none", "run_dir=run")
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_imports(tmp_path: Path, number: signal.Signals) -> None:
    began = time.monotonic()
    ended = interrupted(tmp_path, number, lambda: time.monotonic() > began + 0.4, *LONG)
    assert check(tmp_path, number, ended, 20) in ("before the run", "Python itself was starting")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@posix
def test_a_signal_behind_the_training(tmp_path: Path) -> None:
    """While it is measured and drawn: nothing is lost, and the run can be resumed."""
    ended = interrupted(tmp_path, signal.SIGTERM, (tmp_path / "run" / "predictions.csv").exists, *LONG)
    assert check(tmp_path, signal.SIGTERM, ended, 20) == "in the run, terminated"
    assert ended.err.splitlines()[-2:] == [
        "note: what was reached so far is in run; next: mtl train resume=run", "mtl: terminated",
    ]  # fmt: skip
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "terminated"
    assert {"mtl_model.pt", "checkpoint.pt", "config.yaml"} <= {path.name for path in (tmp_path / "run").iterdir()}
