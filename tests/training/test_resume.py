"""Going on with a run that was cut off, or extending one that is done; `tests/fuzz/kills.py` kills more kinds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from mtl_cli.cli.main import run
from mtl_cli.runs import lock
from mtl_cli.training.checkpoints import KeepOnDisk
from tests.conftest import InProcess
from tests.fuzz.kills import CASES, COMMON, differences

ONE = ("dataset=wine", "balancer=gradnorm", "trainer.folds=none", "trainer.batch_size=256", *COMMON)


class Cut(BaseException):
    """Ends a run in the midst of a step's end."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of two epochs, `short`, and one of four, `long`."""
    place = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for name, epochs in (("short", 2), ("long", 4)):
            assert run(["train", *ONE, f"trainer.epochs={epochs}", f"run_dir={name}"]) == 0
    return place


@pytest.fixture
def short(runs: Path, mtl: InProcess) -> str:
    """A copy of the short run in the test's folder."""
    shutil.copytree(runs / "short", "short")
    return "short"


def cut(mtl: InProcess, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], steps: int) -> None:
    """Begin a run, and cut it off behind so many steps."""
    after_step, left = KeepOnDisk.after_step, [steps]

    def counted(self: KeepOnDisk, number: int) -> None:
        after_step(self, number)
        left[0] -= 1
        if left[0] == 0:
            raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(KeepOnDisk, "after_step", counted)
        with pytest.raises(Cut):
            mtl("train", *words)


@pytest.mark.parametrize(
    ("name", "every", "steps"), [("wine", "7 steps", 45), ("folds", "4 steps", 15), ("joint", "epoch", 60)]
)
def test_a_run_that_is_cut_off_ends_as_if_it_had_not_been(
    mtl: InProcess, monkeypatch: pytest.MonkeyPatch, name: str, every: str, steps: int
) -> None:
    CASES[name].make(Path())
    words = (*CASES[name].words, *COMMON, f"trainer.checkpoint.every={every}")
    assert mtl("train", *words, "run_dir=whole")[0] == 0
    cut(mtl, monkeypatch, (*words, "run_dir=run"), steps)
    assert differences(Path("whole"), Path("run"))
    status, out, err = mtl("train", "resume=run")
    assert status == 0, err
    assert differences(Path("whole"), Path("run")) == []
    assert json.loads(out)["run_dir"] == "run"
    assert json.loads(Path("run/run.json").read_text())["resumed"] == [["mtl", "train", "resume=run"]]


def test_a_run_that_is_done_is_extended(runs: Path, short: str, mtl: InProcess) -> None:
    status, _, err = mtl("train", "trainer.epochs=4", f"resume={short}")
    assert status == 0, err
    assert "note: resume: short goes on after epoch 2" in err
    assert differences(runs / "long", Path(short)) == []
    assert "epochs: 4" in Path("short/config.yaml").read_text(), "it is the config of the run as it is now"


def test_there_is_nothing_to_resume(short: str, mtl: InProcess) -> None:
    before = {path: path.read_bytes() for path in Path(short).rglob("*") if path.is_file()}
    status, out, err = mtl("train", "resume=short")
    assert (status, len(err.splitlines())) == (0, 1)
    assert "short is done: there is nothing to resume; trainer.epochs=N resume=short extends it" in err
    Path("short/metrics.json").rename("metrics.json")
    status, _, err = mtl("train", "resume=short")
    assert status == 2 and "short/metrics.json: is not there, though the run is done; it was taken away" in err
    Path("metrics.json").rename("short/metrics.json")
    assert json.loads(out)["score"] == json.loads(Path("short/metrics.json").read_text())["score"]
    assert {path: path.read_bytes() for path in Path(short).rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["seed=1"], "seed: is 1, and short was begun with 0; leave it out, or start a run of its own"),
        (["balancer=uw"], "balancer: is uw, and short was begun with gradnorm"),
        (["tasks.quality.weight=2"], "tasks.quality.weight: is 2.0, and short was begun with 1.0"),
        (["trainer.epochs=1"], "trainer.epochs: is 1, and short has trained 2; give 2 or more"),
        (["run_dir=other"], "run_dir: is another folder: a resumed run goes on in its own"),
        (["-m", "seed=0,1"], "resume: goes on with one run, from its own config; leave out -m"),
        (["trainer.checkpoint.every=5 apples"], "trainer.checkpoint.every: cannot be '5 apples'; give epoch, a number"),
    ],
)
def test_another_run_is_refused(short: str, mtl: InProcess, words: list[str], message: str) -> None:
    status, out, err = mtl("train", "resume=short", *words)
    assert (status, out, len(err.splitlines())) == (2, "", 1), err
    assert message in err


def test_a_folder_that_is_no_run_is_refused(short: str, mtl: InProcess) -> None:
    Path("empty").mkdir()
    for folder, message in {
        "shor": "resume: there is no folder shor; did you mean short?",
        "empty": "resume: empty holds no config.yaml: it is not a run, or one that ended before it had begun",
    }.items():
        status, _, err = mtl("train", f"resume={folder}")
        assert (status, len(err.splitlines())) == (2, 1)
        assert message in err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: b"no checkpoint", "is not a checkpoint that mtl wrote: it is damaged"),
        (lambda content: Path("short/mtl_model.pt").read_bytes(), "is not a checkpoint that mtl wrote"),
        (lambda content: content | {"checkpoint": 0}, "is a checkpoint of format 0, not 1; that was mtl"),
        (lambda content: content | {"members": []}, "was changed: it has no members"),
        (
            lambda content: content | {"members": [{**content["members"][0], "training": {"epoch": 2}}]},
            "was changed: it ",
        ),
        (lambda content: content | {"data": "0"}, "is of other data: the rows or labels are not those that the run"),
    ],
)
def test_a_checkpoint_that_cannot_be_used_is_one_line(short: str, mtl: InProcess, change, message: str) -> None:  # type: ignore[no-untyped-def]
    file = Path("short/checkpoint.pt")
    changed = change(torch.load(file, weights_only=True))
    if isinstance(changed, bytes):
        file.write_bytes(changed)
    else:
        torch.save(changed, file)
    status, out, err = mtl("train", "trainer.epochs=3", "resume=short")
    errors = [line for line in err.splitlines() if "error" in line]
    assert (status, out, len(errors)) == (2, "", 1), err
    assert errors[0].startswith("mtl train: error: short/checkpoint.pt: ")
    assert message in errors[0]


def test_a_history_that_was_cut_is_told(short: str, mtl: InProcess) -> None:
    history = Path("short/mtl_history.csv")
    history.write_text(history.read_text()[:-5])
    status, _, err = mtl("train", "trainer.epochs=3", "resume=short")
    assert status == 2
    assert "mtl_history.csv: is shorter than when the checkpoint was written" in err.splitlines()[-1]


def test_two_processes_never_write_into_one_run(short: str, mtl: InProcess) -> None:
    Path("short/run.json").write_text('{"status": "running", "process": 17, "host": "here"}')
    with lock.locked(Path(short)):
        status, _, err = mtl("train", "trainer.epochs=3", "resume=short")
    assert status == 2
    assert err == "mtl train: error: short: is being written by process 17 on here; wait for it to end\n"


def test_a_checkpoint_may_go_when_the_run_is_done(mtl: InProcess) -> None:
    words = [*ONE, "trainer.epochs=1", "trainer.checkpoint.keep=false", "run_dir=run"]
    assert mtl("train", *words)[0] == 0
    assert not Path("run/checkpoint.pt").exists()
    status, _, err = mtl("train", "trainer.epochs=2", "resume=run")
    assert status == 2
    assert "run: is done, and has no checkpoint.pt to be extended from" in err


def test_a_run_without_a_checkpoint_begins_anew(runs: Path, short: str, mtl: InProcess) -> None:
    """Such as one that was killed in its first epoch."""
    Path("short/checkpoint.pt").unlink()
    Path("short/run.json").write_text('{"status": "running"}')
    status, _, err = mtl("train", "resume=short")
    assert status == 0, err
    assert "note: resume: short has no checkpoint, and begins anew" in err
    assert differences(runs / "short", Path(short)) == []
