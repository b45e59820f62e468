"""What the machine refuses ends in a line: full and closed streams, full disks, folders that are gone."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import MTL, InProcess, houses

QUICK = ("dataset=wine", "trainer.epochs=2", "trainer.folds=none", "plots=false", "model.trunk.hidden=[16]")
NO_HOME = "there is no such user's home"
LONG = "n" * 300


@pytest.mark.parametrize(
    ("redirection", "status", "told"),
    [
        (">&-", 2, "mtl: error: stdout: cannot be written: it is closed\n"),
        ("> /dev/full", 2, "mtl: error: stdout: cannot be written: No space left on device; free some space"),
        ("2>&-", 0, ""),
        (">&- 2>&-", 2, ""),
        ("> /dev/full 2> /dev/full", 2, ""),
    ],
)
def test_streams_that_take_nothing(redirection: str, status: int, told: str) -> None:
    done = subprocess.run(["sh", "-c", f"{MTL} --help {redirection}"], capture_output=True, text=True)
    assert (done.returncode, done.stderr[: len(told)]) == (status, told)
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr


def test_errors_that_nobody_can_read_do_not_change_the_status() -> None:
    for redirection in ("2>&-", "2> /dev/full"):
        assert subprocess.run(["sh", "-c", f"{MTL} trian {redirection}"]).returncode == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train", "~nobody-here/a.yaml"], f"mtl train: error: ~nobody-here/a.yaml: {NO_HOME}"),
        (["train", "dataset=~nobody-here/a.csv", "tasks={y: regression}"], f"~nobody-here/a.csv: {NO_HOME}"),
        (["predict", "~nobody-here/run", "x.csv"], f"~nobody-here/run: {NO_HOME}"),
        (["compare", "~nobody-here"], f"~nobody-here: {NO_HOME}"),
        (["train", *QUICK, "run_dir=~nobody-here/run"], f"~nobody-here/run: {NO_HOME}"),
        (["train", *QUICK, f"run_dir={LONG}"], "file name too long"),
        (["predict", LONG, "x.csv"], "file name too long"),
        (["train", f"dataset={LONG}.csv", "tasks={y: regression}"], "file name too long"),
        (["train", *QUICK, f"resume={LONG}"], "file name too long"),
        (["train", *QUICK, "init_from=2019"], "init_from: 2019: there is no such run"),
        (["train", *QUICK, "model.trunk.hidden=[10000000000]"], "fewer or narrower layers"),
        (["train", *QUICK, "model.trunk.hidden=[200000,200000]"], "fewer or narrower layers"),
        (["train", *QUICK, "model.head.hidden=[10000000000]"], "fewer or narrower layers"),
    ],
)
def test_one_line_says_what_is_wrong(mtl: InProcess, words: list[str], told: str) -> None:
    status, out, err = mtl(*words)
    assert (status, out) == (2, "")
    last = err.splitlines()[-1]
    assert last.startswith(f"mtl {words[0]}: error: ") and told in last and len(last) < 500
    assert not list(Path.cwd().iterdir())


def test_a_working_folder_that_is_gone(mtl: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    status, _, err = mtl("train", *QUICK)
    assert (status, err.splitlines()[-1].split(": ")[:3]) == (2, ["mtl train", "error", "the working folder"])
    assert mtl("--version")[0] == 0


def test_a_word_that_is_no_text(mtl: InProcess) -> None:
    assert mtl("train", *QUICK, "run_dir=\udcff")[2].startswith(r"mtl: error: run_dir=\udcff: is not UTF-8; rename")


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file can grow beyond so many bytes: a write then fails as it does on a full disk.

    Compiled modules are not kept meanwhile: Python 3.11 would leave one that is cut off, and cannot be imported.
    """
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        monkeypatch.undo()


@pytest.mark.parametrize("size", [0, 30, 700, 3000, 12_000])
def test_a_disk_that_is_full_at_any_byte_leaves_no_half_written_file(mtl: InProcess, size: int) -> None:
    with files_of_at_most(size):
        status, out, err = mtl("train", *QUICK, "run_dir=run", "plots=true")
    errors = [line for line in err.splitlines() if "error:" in line]
    assert (status, out, len(errors)) == (2, "", 1), err
    assert "cannot be written: File too large" in errors[0]
    for path in Path("run").rglob("*"):
        assert not path.name.startswith("."), "what is half written is taken away"
        if path.suffix == ".csv":
            assert path.read_bytes().endswith(b"\n") or not path.read_bytes(), path
    if Path("run/run.json").exists():
        assert '"status": "failed"' in Path("run/run.json").read_text()


def test_what_a_command_cannot_write_is_told_once(mtl: InProcess, houses_run: Path) -> None:
    houses(300).to_csv("new.csv", index=False)
    for command, *words in (("predict", "new.csv", "-o", "out.csv"), ("report", "-o", "out.html")):
        with files_of_at_most(100):
            status, out, err = mtl(command, str(houses_run), *words)
        assert (status, out, Path(words[-1]).exists()) == (2, "", False)
        assert err.splitlines()[-1] == f"mtl {command}: error: {words[-1]}: cannot be written: File too large"


def test_a_picture_that_cannot_be_written_costs_a_line(mtl: InProcess) -> None:
    assert mtl("train", *QUICK, "run_dir=whole", "trainer.checkpoint.every=none")[0] == 0
    largest = max(path.stat().st_size for path in Path("whole").iterdir())
    with files_of_at_most(largest):
        status, out, err = mtl("train", *QUICK, "run_dir=run", "plots=true", "trainer.checkpoint.every=none")
    assert (status, '"status": "done"' in out) == (0, True)
    assert "could not be drawn" in err or list(Path("run/plots").iterdir())


def test_a_checkpoint_that_cannot_be_written_is_told_and_the_run_ends_well(mtl: InProcess) -> None:
    assert mtl("train", *QUICK, "run_dir=whole", "model.trunk.hidden=[64]")[0] == 0
    limit = max(path.stat().st_size for path in Path("whole").iterdir() if path.name != "checkpoint.pt")
    assert Path("whole/checkpoint.pt").stat().st_size > limit
    with files_of_at_most(limit):
        status, out, err = mtl("train", *QUICK, "run_dir=run", "model.trunk.hidden=[64]")
    assert (status, '"status": "done"' in out) == (0, True)
    assert "note: run/checkpoint.pt: cannot be written: File too large; the run could not be resumed from here" in err
    assert not [path for path in Path("run").iterdir() if path.name.startswith(".")]


def test_many_problems_are_counted(mtl: InProcess) -> None:
    status, _, err = mtl("train", "dataset=wine", *(f"trainer.wrong{number}=1" for number in range(300)))
    assert (status, len(err.splitlines())) == (2, 21)
    assert err.splitlines()[-1] == "mtl train: error: and 280 more"


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["module://matplotlib_inline.backend_inline", "nonsense"])
def test_a_notebooks_backend(variable: str, tmp_path: Path) -> None:
    words = [*QUICK, "run_dir=run", "plots=true", "trainer.baselines=none"]
    environment = {**os.environ, "MPLBACKEND": variable, "PYTHONOPTIMIZE": "2"}
    environment.pop("HOME")
    done = subprocess.run([MTL, "train", *words], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "could not be drawn" not in done.stderr and list((tmp_path / "run/plots").iterdir())
