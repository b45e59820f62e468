"""Damaged files of data: `python -m tests.fuzz.binary 2000 SEED` changes bytes of Parquet, Excel, gzip, npz, IDX …

A file that cannot be read is refused in a line, and takes neither long nor much memory, whatever sizes it claims.
"""

from __future__ import annotations

import functools
import gzip
import random
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from tests.cells import write_h5ad
from tests.fuzz.forks import command, main
from tests.fuzz.runs import change_bytes

SHORT = ("trainer.epochs=1", "plots=false", "trainer.folds=none", "trainer.baselines=none", "run_dir=run")
TABLE = ("tasks={y: regression, c: binary}", "model.trunk.hidden=[4]", *SHORT)


@functools.cache
def originals() -> dict[str, bytes]:
    """Return whole files by name, made once."""
    random_ = np.random.default_rng(0)
    table = pd.DataFrame({"a": random_.normal(size=60), "b": random_.integers(0, 5, 60), "t": ["x", "ÿ", "z"] * 20})
    table["y"], table["c"] = table.a * 2 + table.b, table.a > 0
    place = Path(tempfile.mkdtemp(prefix="mtl-fuzz-"))
    table.to_parquet(place / "a.parquet")
    table.to_feather(place / "a.feather")
    table.to_csv(place / "a.csv", index=False)
    (place / "a.csv.gz").write_bytes(gzip.compress((place / "a.csv").read_bytes()))
    (place / "bomb.csv.gz").write_bytes(gzip.compress(b"a,y,c\n" + b"1,2,1\n" * 2_000_000))
    table.to_json(place / "a.jsonl", orient="records", lines=True)
    images, labels = random_.integers(0, 255, (40, 8, 8), dtype=np.uint8), random_.integers(0, 2, 40, dtype=np.uint8)
    np.savez_compressed(place / "a.npz", x=images, y=labels)
    for name, array in {"images": images, "labels": labels}.items():
        head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
        (place / f"{name}.idx").write_bytes(head + array.tobytes())
    cells = pd.DataFrame({"y": random_.normal(size=40), "c": ["p", "q"] * 20})
    write_h5ad(place / "a.h5ad", csr_array(random_.poisson(1, (40, 12)).astype("float32")), cells)
    found = {path.name: path.read_bytes() for path in sorted(place.iterdir())}
    shutil.rmtree(place)
    return found


def words(name: str) -> list[str]:
    """Return the command that reads a file."""
    if name == "a.npz":
        return ["train", "dataset=a.npz", "tasks={y: multiclass}", "model=cnn", *SHORT]
    if name.endswith(".idx"):
        keys = ("dataset.train.images=images.idx", "dataset.train.labels=labels.idx")
        return ["train", "dataset=idx", *keys, "tasks={y: multiclass}", "model=cnn", *SHORT]
    return ["train", f"dataset={name}", *TABLE]


def check(seed: int, number: int) -> str:
    """Change a file and read it; return how it went."""
    draw = random.Random(f"{seed}/{number}")
    place = Path(tempfile.mkdtemp(prefix="mtl-fuzz-"))
    try:
        name = draw.choice([name for name in originals() if name != "bomb.csv.gz" or number % 20 == 0])
        for other, data in originals().items():
            if other == name or other.endswith(".idx"):
                changed = change_bytes(data, draw) if other == name and name != "bomb.csv.gz" else data
                (place / other).write_bytes(changed)
        if draw.random() < 0.1 and not name.endswith(".idx"):  # a file that is something else than its name says
            (place / name).write_bytes(draw.choice(list(originals().values())[:6]))
        arguments = words(name) if draw.random() < 0.6 else ["inspect", name]
        came = command(arguments, place)
        fault = came.fault()
        assert fault is None, f"{name}, {arguments[0]}: {fault}"
        assert came.status == 0 or not (place / "run").exists() or (place / "run/config.yaml").exists(), (
            "a half-made run"
        )
        return f"{name.partition('.')[2]} {'used' if came.status == 0 else 'refused'}"
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    sys.exit(main("files", check, sys.argv[1:], before=originals))
