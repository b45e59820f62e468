"""How long training waits for image files, and what they take: `python -m tests.bench.images MNIST [ROWS]`.

MNIST is a folder with its idx files. ROWS (20000) pictures of two digits side by side, 28 × 56, are written as PNG
files, with ten labels: which digits they hold. `model=cnn` on batches of 64, by each of ``dataset.cache``: mean AUC on
the fifth that is held out, and the share of the training's time that went by waiting for a batch. Then ROWS // 10 such
pictures of 256 × 512: the most memory of a process that goes through two epochs of batches, above what it held before.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from tests.bench.memory import peak

ROWS, SIDE = 20_000, 256
MODES = ("memory", "disk", "none")


def write(mnist: Path, folder: Path, rows: int, side: int | None) -> None:
    """Write pictures and labels."""
    from PIL import Image

    from mtl_cli.data.images.files import find_file
    from mtl_cli.data.images.idx import read_idx

    found = {name: find_file(name, [mnist]) for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")}
    digits, labels = (read_idx(file) for file in found.values() if file is not None)
    random = np.random.default_rng(0)
    pairs = random.integers(0, len(digits), (rows, 2))
    table = pd.DataFrame({"file": [f"{i}.png" for i in range(rows)]})
    for digit in range(10):
        table[f"holds_{digit}"] = (labels[pairs] == digit).any(1).astype(int)
    for name, pair in zip(table["file"], pairs, strict=True):
        image = Image.fromarray(np.concatenate(digits[pair], 1))
        (image if side is None else image.resize((2 * side, side))).save(folder / name)
    table.to_csv(folder / "labels.csv", index=False)


def measured(folder: Path, mode: str, epochs: int) -> dict[str, float]:
    """Train in a process of its own and return what came of it."""
    findings = ",".join(f"holds_{digit}" for digit in range(10))
    run = folder / f"run_{mode}"
    words = [f"dataset.path={folder / 'labels.csv'}", f"dataset.cache={mode}", "trainer.batch_size=64", "plots=false"]
    tasks = f"tasks={{digits: {{kind: multilabel, target: [{findings}]}}}}"
    more = ["trainer.folds=none", f"trainer.epochs={epochs}", "dataset.split.duplicates=warn", f"run_dir={run}"]
    command = [sys.executable, "-m", "mtl_cli", "train", "dataset=images", "model=cnn", tasks, *words, *more]
    subprocess.run(
        command, check=True, capture_output=True, env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    )
    record = json.loads((run / "run.json").read_text())
    task = json.loads((run / "metrics.json").read_text())["splits"]["test"]["tasks"]["digits"]
    return {
        "auc": task["roc_auc"],
        "training": record["seconds_training"],
        "waiting": record["seconds_waiting"] / record["seconds_training"],
        "all": record["seconds"],
    }


def gone_through(folder: Path, mode: str) -> int:
    """Go through two epochs of batches of all rows; return how many bytes the process's peak rose."""
    import torch

    from mtl_cli.data.batches import Batches
    from mtl_cli.data.image_files.config import ImageFiles
    from mtl_cli.data.split import SplitConfig
    from mtl_cli.tasks.kinds.binary import Binary

    split = SplitConfig(test=0.0, val=0.0)
    source = ImageFiles(path=str(folder / "labels.csv"), size=[SIDE, 2 * SIDE], cache=mode, split=split)  # type: ignore[arg-type]
    before = peak()
    part = source.prepare({"holds_3": Binary()}, lambda line: None).parts["train"]
    batches = Batches(part, torch.device("cpu"), 64)
    for _ in range(2):
        for batch in batches:
            assert not isinstance(batch.inputs, tuple)
    return peak() - before


def main() -> None:
    """Print a line for each way to hold images."""
    parser = argparse.ArgumentParser()
    parser.add_argument("mnist", type=Path)
    parser.add_argument("rows", nargs="?", type=int, default=ROWS)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--child", nargs=2, metavar=("FOLDER", "MODE"))
    given = parser.parse_args()
    if given.child:
        print(gone_through(Path(given.child[0]), given.child[1]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(given.mnist, folder, given.rows, None)
        for mode in MODES:
            found = measured(folder, mode, given.epochs)
            print(
                f"cache={mode:6}  mean AUC {found['auc']:.4f}, training {found['training']:.1f} s of"
                f" {found['all']:.1f}, waiting {found['waiting']:.1%} of it",
                flush=True,
            )
    with tempfile.TemporaryDirectory() as name:
        write(given.mnist, Path(name), rows := given.rows // 10, SIDE)
        print(f"{rows:,} images of {SIDE} × {2 * SIDE}: {rows * 2 * SIDE**2 / 2**20:.0f} MiB decoded")
        for mode in MODES:
            command = [sys.executable, "-m", "tests.bench.images", str(given.mnist), "--child", name, mode]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            print(f"cache={mode:6}  {int(done.stdout) / 2**20:.0f} MiB above the imports", flush=True)


if __name__ == "__main__":
    main()
