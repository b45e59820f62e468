"""Model files, checkpoints and run folders that were changed: `python -m tests.fuzz.runs 2000 SEED`.

A file of a small run is changed, in its bytes or in what it says, and a command reads it. It ends well, or in one line;
nothing outside of its folder is written, no prediction is NaN, and it takes neither long nor much memory.
"""

from __future__ import annotations

import functools
import json
import math
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import mtl_cli
from tests.fuzz.forks import command, forked, main, mtl

WORDS = (
    "train", "dataset=wine", "trainer.epochs=2", "trainer.folds=none", "trainer.baselines=none", "plots=false",
    "model.trunk.hidden=[4]", "balancer=gradnorm", "device=cpu",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 10**9, 10**25, 0.5, math.nan, math.inf, -1e300, "", "x", "${oc.env:HOME}", "../../x",
    "/etc/passwd", "a\nb", "\0", "é" * 300, [], {}, [1], {"a": 1}, [[[]]], "binary", "csv", "nan",
)  # fmt: skip
READERS = {
    "mtl_model.pt": ("predict", "evaluate", "card", "inspect", "init_from", "explain"),
    "checkpoint.pt": ("resume",),
    "config.yaml": ("resume", "train", "card", "compare", "list", "report"),
    "splits.csv": ("evaluate", "resume", "split", "compare"),
    "run.json": ("resume", "card", "inspect", "compare", "list", "report"),
    "metrics.json": ("card", "compare", "list", "done", "report"),
    "mtl_history.csv": ("resume", "card", "report"),
    "gradnorm_weights.csv": ("resume", "report"),
    "predictions.csv": ("report",),
}
EXPORTED_EACH = 100
"""One case in so many is exported, which takes seconds."""
MADE = ("run", "other", "out.onnx", "other.html")
"""What a reader may make."""
ROWS = 25


@functools.cache
def whole() -> Path:
    """Return a run that is done, made once."""
    place = Path(tempfile.mkdtemp(prefix="mtl-fuzz-"))
    lines = (Path(mtl_cli.__file__).parent / "data/builtin/winequality-red.csv").read_text().splitlines(keepends=True)
    (place / "wine.csv").write_text("".join(lines[:151]))
    came = forked(lambda: mtl([*WORDS, f"dataset.path={place / 'wine.csv'}", "run_dir=run"]), place, cpu=60)
    assert came.status == 0, came.err
    (place / "x.csv").write_text("".join(lines[: ROWS + 1]))
    return place


def ready() -> None:
    """Run every command once, so that what they import and keep is there in every fork."""
    place = Path(tempfile.mkdtemp(prefix="mtl-fuzz-"))
    for readers in READERS.values():
        for reader in readers:
            for name in ("run", "again"):
                shutil.copytree(whole() / "run", place / name)
            shutil.copy(whole() / "x.csv", place)
            command(words_of(reader), place)
            shutil.rmtree(place)
            place.mkdir()


def words_of(reader: str) -> list[str]:
    """Return the command that reads a changed run."""
    return {
        "predict": ["predict", "run", "x.csv"],
        "evaluate": ["evaluate", "run"],
        "card": ["card", "run"],
        "inspect": ["inspect", "run"],
        "explain": ["explain", "run", "--repeats", "1"],
        "export": ["export", "run", "--format", "onnx", "-o", "out.onnx"],
        "init_from": [*WORDS, "run_dir=other", "init_from=run"],
        "resume": ["train", "resume=run", "trainer.epochs=3"],
        "report": ["report", "run", "-o", "other.html"],
        "done": ["train", "resume=run"],
        "train": ["train", "run/config.yaml", "run_dir=other"],
        "split": [*WORDS, "run_dir=other", "dataset.split.file=run/splits.csv"],
        "compare": ["compare", "run", "again"],
        "list": ["list", "runs", "."],
    }[reader]


def change_value(value: Any, draw: random.Random) -> Any:
    """Return plain values with one of them changed, taken away, doubled or moved."""
    import torch

    if isinstance(value, dict) and value and draw.random() < 0.93:
        key = draw.choice(list(value))
        way = draw.random()
        if way < 0.1:
            return {name: item for name, item in value.items() if name != key}
        if way < 0.15:
            return {**value, draw.choice(["x", "", "kind", key + "x" if isinstance(key, str) else "y"]): value[key]}
        return {**value, key: change_value(value[key], draw)}
    if isinstance(value, list) and value and draw.random() < 0.9:
        place, way = draw.randrange(len(value)), draw.random()
        if way < 0.15:
            return value[:place] + value[place + 1 :]
        if way < 0.25:
            return [*value[:place], value[place], *value[place:]]
        return [*value[:place], change_value(value[place], draw), *value[place + 1 :]]
    if isinstance(value, torch.Tensor):
        return draw.choice([
            lambda: value.clone().fill_(math.nan) if value.is_floating_point() else value + 1,
            lambda: value.flatten()[:-1], lambda: value.double(), lambda: value.to(torch.complex64),
            lambda: torch.zeros(1).expand(10**6, 10**6), lambda: torch.empty(0), lambda: value.to_sparse(),
            lambda: draw.choice(VALUES),
        ])()  # fmt: skip
    return draw.choice(VALUES)


def change_bytes(data: bytes, draw: random.Random) -> bytes:
    """Return bytes cut off, with some of them others, or doubled."""
    if not data or draw.random() < 0.2:
        return data[: draw.randrange(len(data) + 1)]
    changed = bytearray(data)
    for _ in range(draw.choice([1, 1, 3, 30])):
        place = draw.randrange(len(changed))
        way = draw.random()
        if way < 0.7:
            changed[place] = draw.choice([0, 10, 44, 45, 57, 255, draw.randrange(256)])
        elif way < 0.85:
            del changed[place : place + draw.choice([1, 8, 100])]
            changed = changed or bytearray(b"x")
        else:
            changed[place:place] = changed[place : place + draw.choice([1, 8, 1000])]
    return bytes(changed)


def change(path: Path, draw: random.Random) -> str:
    """Change a file in what it says, or in its bytes; return which."""
    if draw.random() < 0.06:
        path.unlink()
        target = draw.choice(["/etc/passwd", str(path.parents[1] / "outside"), "run.json", "nowhere", "/dev/zero"])
        path.symlink_to(target)
        return "a link"
    if draw.random() < 0.3 or path.suffix == ".csv":
        path.write_bytes(change_bytes(path.read_bytes(), draw))
        return "bytes"
    if path.suffix == ".pt":
        import torch

        torch.save(change_value(torch.load(path, weights_only=True), draw), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(change_value(json.loads(path.read_text()), draw)))
    else:
        import yaml

        path.write_text(yaml.safe_dump(change_value(yaml.safe_load(path.read_text()), draw)))
    return "values"


def check(seed: int, number: int) -> str:
    """Change a file of a run and read it; return how it went."""
    draw = random.Random(f"{seed}/{number}")
    place = Path(tempfile.mkdtemp(prefix="mtl-fuzz-"))
    try:
        shutil.copytree(whole() / "run", place / "run")
        shutil.copy(whole() / "x.csv", place / "x.csv")
        (place / "outside").write_text("mine\n")
        name = draw.choice([*READERS, *["mtl_model.pt"] * 6, *["checkpoint.pt"] * 3])
        how = change(place / "run" / name, draw)
        reader = draw.choice(READERS[name])
        if number % EXPORTED_EACH == 0 and name == "mtl_model.pt":
            reader = "export"
        if reader == "compare":
            shutil.copytree(whole() / "run", place / "again")
        before = _state(place)
        came = command(words_of(reader), place)
        shown = f"{name}, {how}, {reader}"
        fault = came.fault()
        assert fault is None, f"{shown}: {fault}"
        assert (place / "outside").read_text() == "mine\n", f"{shown}: a file outside was written"
        made = {path for path in _state(place) - before if path.parts[0] not in MADE}
        assert not made, f"{shown}: {sorted(map(str, made))} were written"
        if came.status == 0 and reader == "predict":
            rows = [line.split(",") for line in came.out.splitlines()]
            assert len(rows) == ROWS + 1, f"{shown}: {len(rows) - 1} predictions"
            empty = sum("" in row or "nan" in row for row in rows)
            assert not empty or "get no prediction" in came.err, f"{shown}: {empty} predictions are not there"
        return "used" if came.status == 0 else "refused"
    finally:
        shutil.rmtree(place)


def _state(place: Path) -> set[Path]:
    return {Path(root).relative_to(place) / name for root, _, names in os.walk(place) for name in names}


if __name__ == "__main__":
    sys.exit(main("changed runs", check, sys.argv[1:], before=ready))
