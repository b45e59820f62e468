"""A mutation fuzzer of tables: `python -m tests.fuzz.csv 2000 SEED` reads so many, and trains and predicts with some.

A table that cannot be used must be refused in one line. One that is used keeps every row, in order, with its id; every
label that is there is read as what it is, and none is made where there is none. What is found wrong is printed with the
number of the case, which `python -m tests.fuzz.csv 1 SEED NUMBER` reads again.
"""

from __future__ import annotations

import contextlib
import csv
import io
import math
import random
import sys
import tempfile
import traceback
import warnings
from pathlib import Path
from typing import Any

from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import components
from mtl_cli.data.base import Prepared
from mtl_cli.data.files import opener_of
from mtl_cli.data.tables.config import CSV
from mtl_cli.data.tables.encoding import look_at
from mtl_cli.data.tables.lines import long_fields
from mtl_cli.data.tables.text import detect_separator
from mtl_cli.tasks.labels import text_of
from tests.fuzz.forks import main
from tests.fuzz.tables import Case, make

TRAINED_EACH = 100
"""One case in so many is trained on and predicted, by the commands."""
SHORT = ("trainer.epochs=1", "trainer.folds=none", "trainer.baselines=none", "plots=false")


class Fault(AssertionError):
    """What is wrong with what came of a case."""


def check(case: Case, folder: Path) -> str:
    """Read a case as training and predicting do. Return how it went; raise ``Fault`` or any other error."""
    path = folder / f"t{case.suffix}"
    path.write_bytes(case.data)
    tasks = {name: components("task")[kind]() for name, kind in case.kinds.items()}
    source, told = CSV(path=str(path), id="id"), list[str]()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            prepared = source.prepare(tasks, told.append)
            _check_rows(case, prepared)
            _check_labels(case, prepared)
            again = prepared.reader.read(str(path), told.append)
            if len(again.inputs) != len(prepared.splits):
                raise Fault(f"{len(prepared.splits)} rows in training, {len(again.inputs)} to predict")
            result = "used"
        except UserError as error:
            if len(str(error).splitlines()) != len(error.problems):
                raise Fault(f"an error with lines in it: {error}") from error
            result = "refused"
    if any("\n" in line for line in told):
        raise Fault(f"a note of several lines: {told}")
    if warned:
        raise Fault(f"a warning of Python's: {warned[0].category.__name__}: {warned[0].message}")
    return result


def _check_rows(case: Case, prepared: Prepared) -> None:
    found = prepared.splits.iloc[:, 0].map(text_of).tolist()
    if case.rows is not None:
        if found != [text_of(name) for name in case.ids]:
            raise Fault(f"{case.rows} rows were written, {len(found)} read, or ids differ: {found[:5]}")
    elif len(found) != (expected := _count(case.data)):
        raise Fault(f"the csv module reads {expected} rows, mtl {len(found)}")
    parts = sum(len(part) for part in prepared.parts.values())
    if parts != len(found):
        raise Fault(f"{len(found)} rows were read, the parts have {parts}")


def _count(data: bytes) -> int:
    """Return how many rows the csv module reads below the header."""
    text = look_at(opener_of(data, "t"), "t", None, lambda line: None)
    with text.open() as stream, long_fields():
        rows = csv.reader(stream, delimiter=detect_separator(text.head), skipinitialspace=True)
        return sum(len(row) > 1 or bool(row and row[0].strip()) for row in rows) - 1


def _check_labels(case: Case, prepared: Prepared) -> None:
    for part in prepared.parts.values():
        for name in case.kinds:
            labels, target = part.labels[name], part.targets[name]
            for row, label, there, value in zip(labels.index, labels, target.mask, target.values, strict=True):
                if there and (_is_nan(label) or not math.isfinite(value)):
                    raise Fault(f"a label of {name} in row {row} was made of nothing: {label!r}, {value}")
                truth = case.labels.get(name)
                if truth is not None and (truth[row] is None) != (not there):
                    raise Fault(f"the label {truth[row]!r} of {name} in row {row} was read as {label!r}")
                if truth is not None and there and not _same(truth[row], label):
                    raise Fault(f"the label {truth[row]!r} of {name} in row {row} was read as {label!r}")


def _is_nan(label: Any) -> bool:
    return label is None or label != label or str(label).strip().lower() in ("", "nan", "none", "<na>", "nat")


def _same(truth: str | None, label: Any) -> bool:
    try:
        return math.isclose(float(str(truth)), float(label), rel_tol=1e-6, abs_tol=1e-9)
    except (TypeError, ValueError):
        return str(truth).strip().lower() == str(label).lower()


def train_and_predict(case: Case, folder: Path) -> str:
    """Train on a case and predict it by the commands, in this process. Raises ``Fault``."""
    from mtl_cli.cli.main import run

    path, out = folder / f"t{case.suffix}", folder / "run"
    path.write_bytes(case.data)
    tasks = "{" + ", ".join(f"{name}: {kind}" for name, kind in case.kinds.items()) + "}"
    words = ["dataset=" + str(path), "dataset.id=id", f"tasks={tasks}", *SHORT]
    status, _, err = _run(run, ["train", *words, f"run_dir={out}"])
    if status == 2 and err.strip().count("mtl train: error") >= 1:
        return "refused"
    if status != 0:
        raise Fault(f"mtl train: exit {status}: {err[-300:]}")
    status, printed, err = _run(run, ["predict", str(out), str(path), "--format", "jsonl"])
    if status != 0:
        raise Fault(f"mtl predict: exit {status}: {err[-300:]}")
    if case.rows is not None and len(printed.splitlines()) != case.rows:
        raise Fault(f"{case.rows} rows, {len(printed.splitlines())} predictions")
    return "trained"


def _run(command: Any, words: list[str]) -> tuple[int, str, str]:
    out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()  # predictions are written as bytes
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = command(words)
        except SystemExit as stop:
            status = int(stop.code or 0)
    out.seek(0)
    return status, out.read(), err.getvalue()


def checked(seed: int, number: int, trained_each: int = TRAINED_EACH) -> str:
    """Make a case and check it; return how it went."""
    case = make(random.Random(f"{seed}/{number}"))
    with tempfile.TemporaryDirectory() as folder:
        try:
            came = check(case, Path(folder))
            if number % trained_each == 0:
                came = train_and_predict(case, Path(folder))
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = "" if isinstance(error, Fault) else f" at {Path(last.filename).name}:{last.lineno}"
            raise AssertionError(
                f"({', '.join(case.done)}): {type(error).__name__}{place}: {str(error)[:300]}"
            ) from error
    return came


if __name__ == "__main__":
    sys.exit(main("tables", checked, sys.argv[1:]))
