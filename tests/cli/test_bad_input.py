"""Bad input: exit status 2, one line a problem on stderr, nothing on stdout, no run folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.conftest import InProcess, houses


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are wrong, each in its own way."""
    monkeypatch.chdir(tmp_path)
    good = pd.DataFrame({"x": range(40), "y": np.linspace(0, 1, 40), "c": ["a", "b"] * 20})
    good.to_csv("good.csv", index=False)
    Path("empty.csv").write_text("")
    Path("header.csv").write_text("x,y,c\n")
    Path("one_row.csv").write_text("x,y,c\n1,2,a\n")
    Path("twice.csv").write_text("x,x,y\n1,2,3\n")
    Path("blank.csv").write_text("x,,y\n1,2,3\n")
    Path("image.csv").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    Path("bytes.csv").write_bytes(b"x,y,c\n1,2,\x81\x8d\n")
    Path("ragged.csv").write_text("x,y,c\n1,2,a\n1,2,a,3\n")
    Path("text.parquet").write_text("x,y\n1,2\n")
    Path("folder.csv").mkdir()
    good.assign(y=np.nan).to_csv("missing.csv", index=False)
    good.assign(y=3, c="a").to_csv("constant.csv", index=False)
    good.assign(y=["7"] * 20 + ["tall"] * 20).to_csv("words.csv", index=False)
    good.assign(c=["a"] * 20 + ["b"] * 19 + ["once"]).to_csv("once.csv", index=False)
    good.assign(x=[np.inf, *range(39)]).to_csv("infinite.csv", index=False)
    good.assign(x=[np.nan, *range(39)]).to_csv("nan.csv", index=False)


REGRESSION, CLASSES = "tasks={y: regression}", "tasks={c: multiclass}"

CONFIG = {
    "an unknown option": (["dataset=wine", "balancer=gradnrm"], "balancer: there is no 'gradnrm'; did you mean balancer=gradnorm?"),
    "a group misspelt": (["dataset=wine", "expriment=wine_baseline"], "expriment: unknown key; did you mean experiment?"),
    "a task misspelt": (["dataset=wine", "tasks.qualty.weight=2"], "tasks.qualty: no task is called 'qualty'; did you mean quality?"),
    "a sweep without -m": (["dataset=wine", "balancer=uniform,static"], "balancer: there is no 'uniform,static'; with -m, each of them is a run of its own"),
    "nothing to be scored by": (["dataset=wine", "tasks.quality.auxiliary=true", "tasks.is_good.auxiliary=true"], "tasks: all are auxiliary"),
    "an unknown key": (["dataset=wine", "trainer.epoch=3"], "trainer.epoch: unknown key; did you mean trainer.epochs?"),
    "a key added": (["dataset=wine", "+typo=1"], "typo: unknown key"),
    "a key added by force": (["dataset=wine", "++trainer.typo=1"], "trainer.typo: unknown key"),
    "a wrong type": (["dataset=wine", "optimizer.lr=abc"], "optimizer.lr: must be a number, not 'abc'"),
    "a fraction of an epoch": (["dataset=wine", "trainer.epochs=1.5"], "trainer.epochs: must be 'auto' or a whole number, not 1.5"),
    "no value": (["dataset=wine", "optimizer.lr=null"], "optimizer.lr: must be a number, not null"),
    "no path": (["dataset=csv", REGRESSION], "dataset.path: needs a value; give dataset.path=…"),
    "no tasks": (["dataset=good.csv"], "tasks: no task is given"),
    "an unknown kind": (["dataset=good.csv", "tasks={y: regresion}"], "tasks.y.kind: 'regresion' is not a known task kind; did you mean regression?"),
    "an unknown key of a task": (["dataset=good.csv", "tasks={y: {kind: regression, lss: mse}}"], "tasks.y.lss: unknown key; did you mean tasks.y.loss?"),
    "a weight for no task": (["dataset=wine", "balancer=static", "balancer.weights.qualty=2"], "balancer.weights.qualty: no task is called 'qualty'; did you mean quality?"),
    "a head for no task": (["dataset=wine", "model.heads.isgood.hidden=[8]"], "model.heads.isgood: no task is called 'isgood'; did you mean is_good?"),
    "a stratum that is no task": (["dataset=wine", "dataset.split.stratify=[good]"], "dataset.split.stratify: no task is called 'good'"),
    "gradnorm with nothing shared": (["dataset=wine", "balancer=gradnorm", "model.trunk.hidden=[]"], "model.trunk.hidden: is empty: balancer=gradnorm needs a shared layer"),
    "two ways to split": (["dataset=wine", "dataset.split.time=pH", "dataset.split.group=pH"], "dataset.split: cannot split by time and group at once"),
    "plateau without validation": (["dataset=wine", "scheduler=plateau", "dataset.split.val=0"], "scheduler: plateau needs validation rows"),
    "a warm-up that never ends": (["dataset=wine", "scheduler=warmup", "trainer.epochs=3"], "scheduler.epochs: warms up for 5 of 3 epochs"),
    "an interpolation of nothing": (["dataset=wine", "seed=${nothing}"], "seed: Interpolation key 'nothing' not found"),
    "a folder in use": (["dataset=wine", "run_dir=folder.csv/.."], "run_dir: folder.csv/.. already exists"),
    "a device that is not there": (["dataset=wine", "device=mps"], "device: there is no mps device on this machine; there is"),
    "no such file": (["dataset=god.csv", REGRESSION], "god.csv: there is no such file; did you mean good.csv?"),
    "a folder": (["dataset=folder.csv", REGRESSION], "folder.csv: is a folder, not a file"),
    "a file of no known kind": (["dataset=good.sav", REGRESSION], "dataset: there is no 'good.sav'"),
}  # fmt: skip

DATA = {
    "an empty file": (["dataset=empty.csv", REGRESSION], "empty.csv: the file is empty"),
    "a header alone": (["dataset=header.csv", REGRESSION], "header.csv: there is a header and no row"),
    "one row": (["dataset=one_row.csv", REGRESSION], "dataset.split"),
    "a name twice": (["dataset=twice.csv", REGRESSION], "twice.csv: two columns are called 'x'"),
    "a blank name": (["dataset=blank.csv", REGRESSION], "blank.csv: column 2 has no name"),
    "a picture": (["dataset=image.csv", REGRESSION], "image.csv: is a PNG image, not text"),
    "bytes that do not decode": (["dataset=bytes.csv", REGRESSION], "bytes.csv: byte 0x81 in line 2 is not UTF-8"),
    "ragged rows": (["dataset=ragged.csv", REGRESSION], "ragged.csv: line 3 has 4 fields, the header has 3"),
    "text as parquet": (["dataset=text.parquet", REGRESSION], "text.parquet: cannot be read as parquet; is it text?"),
    "a wrong separator": (["dataset=good.csv", "dataset.separator=;", REGRESSION], "good.csv: has one column only ('x,y,c') with the separator ';'; is the separator ','?"),
    "no such target": (["dataset=good.csv", "tasks={yy: regression, z: {kind: binary, target: cc}}"], "tasks.yy.target: good.csv has no column 'yy'; did you mean y?"),
    "an id that a spread is called": (["dataset=good.csv", "dataset.id=y_spread", REGRESSION], "dataset.id: 'y_spread' is the name of another column of predictions.csv; rename the column"),
    "a task that a spread is called": (["dataset=good.csv", "tasks={y: regression, y_spread: {kind: regression, target: x}}"], "tasks.y_spread: 'y_spread' is what another task's predictions are called; give it another name"),
    "no such id": (["dataset=good.csv", "dataset.id=xx", REGRESSION], "dataset.id: good.csv has no column 'xx'; did you mean x?"),
    "no label": (["dataset=missing.csv", REGRESSION], "tasks.y: all labels in column 'y' are missing"),
    "a constant label": (["dataset=constant.csv", REGRESSION], "tasks.y: the label is constant over the training rows (3)"),
    "one class": (["dataset=constant.csv", CLASSES], "tasks.c: has one class only, 'a'"),
    "words for numbers": (["dataset=words.csv", REGRESSION], "tasks.y: 'tall' in row 21 is not a finite number"),
    "an infinite feature": (["dataset=infinite.csv", REGRESSION], "infinite.csv: 'inf' in row 1 of column 'x' is not finite"),
    "a missing feature not to be filled": (["dataset=nan.csv", REGRESSION, "dataset.features.impute=none"], "nan.csv: the column 'x' has no value in row 1"),
    "a batch of one with batch norm": (["dataset=good.csv", REGRESSION, "trainer.batch_size=1", "model.trunk.norm=batch"], "trainer.batch_size: is 1, with 28 training rows: batch norm needs batches of at least 2"),
    "too large a test part": (["dataset=good.csv", REGRESSION, "dataset.split.test=40"], "dataset.split.test: asks for 40 of 40 rows"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), [*CONFIG.values(), *DATA.values()], ids=[*CONFIG, *DATA])
def test_one_line_and_no_folder(mtl: InProcess, arguments: list[str], message: str) -> None:
    before = sorted(Path.cwd().iterdir())
    status, out, err = mtl("train", *arguments)
    errors = [line for line in err.splitlines() if not line.startswith("note: ")]
    assert (status, out) == (2, ""), err
    assert errors[0].startswith(f"mtl train: error: {message}")
    assert all(line.startswith("mtl train: error: ") for line in errors)
    assert sorted(Path.cwd().iterdir()) == before


def test_all_config_errors_at_once(mtl: InProcess) -> None:
    _, _, err = mtl(
        "train", "dataset=wnie", "balancer=gradnrm", "trainer.lrr=1", "+typo=1", "optimizer.lr=abc", "device=gpu",
        "model.trunk.hidden=[0]",
    )  # fmt: skip
    keys = [line.split(": ")[2] for line in err.splitlines()]
    assert set(keys) == {
        "dataset", "balancer", "trainer.lrr", "typo", "optimizer.lr", "device", "model.trunk.hidden[0]",
    }  # fmt: skip
    assert len(keys) == 7


def test_all_tasks_errors_at_once(mtl: InProcess) -> None:
    houses().assign(flat=1).to_csv("houses.csv", index=False)
    _, _, err = mtl("train", "dataset=houses.csv", "tasks={flat: regression, city: binary, kind: multiclass}")
    assert [line.split(": ")[2] for line in err.splitlines() if "error" in line] == ["tasks.flat", "tasks.city"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "mtl: error: trian: unknown command; did you mean train?"),
        (["--hlep"], "mtl: error: --hlep: unknown option; did you mean --help?"),
    ],
)
def test_an_unknown_command(mtl: InProcess, arguments: list[str], message: str) -> None:
    status, out, err = mtl(*arguments)
    assert (status, out, err) == (2, "", message + "\n")
