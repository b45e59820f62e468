"""What the tests share: the installed command, small tables, and one thread per worker."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two pytest workers on two cores; also inherited by subprocesses

import gc
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

MTL = Path(sys.executable).with_name("mtl")
Command = Callable[..., subprocess.CompletedProcess[str]]


def pytest_configure() -> None:
    """Heed signals that are ignored after `nohup`, or after `&` in a script: commands that tests start inherit that."""
    for name, handler in {"SIGINT": signal.default_int_handler, "SIGHUP": signal.SIG_DFL}.items():
        if name in signal.Signals.__members__ and signal.getsignal(signal.Signals[name]) is signal.SIG_IGN:
            signal.signal(signal.Signals[name], handler)


def pytest_collection_finish() -> None:
    """Leave torch, the other libraries and 6 000 collected tests, which stay, out of each later garbage collection."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def one_split() -> Iterator[None]:
    """`trainer.folds=auto` makes no folds, so that most tests train one network; tests of folds ask for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mtl_cli.data.held_out.FEW_ROWS", {})
        yield


@pytest.fixture(scope="session", autouse=True)
def no_baselines() -> Iterator[None]:
    """`trainer.baselines=auto` makes none, so that tests take no time for them; tests of baselines ask for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mtl_cli.training.baselines.AUTO_ROWS", 0)
        yield


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """Files need not be safe from a power cut, which takes a run of three epochs as long as its training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        yield


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """The installed `mtl` command, run in a temporary folder."""

    def run(*arguments: str, stdin: str | None = None, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [MTL, *arguments], cwd=tmp_path, input=stdin, capture_output=True, text=True, timeout=120, **options
        )  # type: ignore[call-overload,no-any-return]

    return run


class InProcess:
    """`mtl` in this process, in a temporary folder: for the many cases that need no process of their own."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Return exit status, stdout and stderr."""
        from mtl_cli.cli.main import run

        self.capsys.readouterr()
        try:
            status = run(list(arguments))
        except SystemExit as stop:
            status = int(stop.code or 0)
        out, err = self.capsys.readouterr()
        return status, out, err


@pytest.fixture
def mtl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> InProcess:
    """`mtl` in this process, in a temporary folder."""
    monkeypatch.chdir(tmp_path)
    return InProcess(capsys)


def houses(rows: int = 240, seed: int = 0) -> pd.DataFrame:
    """A table with every kind of column, missing values, and labels that can be learnt."""
    random = np.random.default_rng(seed)
    area = random.uniform(30, 200, rows)
    rooms = random.integers(1, 7, rows)
    city = random.choice(["Lyon", "Oslo", "Riga", "Ulm"], rows, p=[0.4, 0.3, 0.28, 0.02])
    garden = random.random(rows) < 0.5
    built = pd.Timestamp("1990-01-01") + pd.to_timedelta(random.integers(0, 12_000, rows), unit="D")
    price = 1000 * area + 20_000 * (city == "Oslo") + 10_000 * garden + random.normal(0, 5_000, rows)
    table = pd.DataFrame(
        {
            "house": [f"h{i:03}" for i in range(rows)],
            "area": area.round(1),
            "rooms": rooms,
            "city": city,
            "garden": garden,
            "built": pd.Series(built).dt.strftime("%Y-%m-%d"),
            "price": price.round(),
            "sold": np.where(price > np.median(price), "yes", "no"),
            "kind": np.select([area < 60, area < 120], ["flat", "house"], "villa"),
            "tags": [
                "|".join(t for t, has in (("big", a > 100), ("green", g)) if has) or "none"
                for a, g in zip(area, garden, strict=True)
            ],
        }
    )
    table.loc[::11, "area"] = np.nan
    table.loc[::13, "city"] = None
    table.loc[::7, "price"] = np.nan
    table.loc[3::9, "sold"] = None
    return table


@pytest.fixture
def houses_csv(tmp_path: Path) -> Path:
    """The houses as a CSV file in the test's folder."""
    path = tmp_path / "houses.csv"
    houses().to_csv(path, index=False)
    return path


HOUSES_TASKS = "{price: regression, sold: binary, kind: multiclass, tags: {kind: multilabel, separator: '|'}}"


@pytest.fixture(scope="session")
def houses_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two members on the houses, with a task of each kind; its table lies beside it."""
    from mtl_cli.cli.main import run

    folder = tmp_path_factory.mktemp("trained")
    houses().to_csv(folder / "houses.csv", index=False)
    words = [f"dataset={folder / 'houses.csv'}", "dataset.id=house", f"tasks={HOUSES_TASKS}", "trainer.members=2"]
    short = ["trainer.epochs=20", "model.trunk.hidden=[32,16]", "optimizer.lr=0.01", "balancer=pcgrad", "plots=false"]
    assert run(["train", *words, *short, f"run_dir={folder / 'run'}", "license=CC-BY-4.0"]) == 0
    return folder / "run"
