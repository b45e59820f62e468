"""What training on a large sparse matrix of cells takes: `python -m tests.bench.cells`.

200 000 cells by 2000 genes, 5 % of the values not zero, 6/19/30/55 classes, `experiment=cells` for an epoch, in a
process of its own whose peak memory is taken above what it held once everything was imported and had been used once.
The bound is twice what the matrix takes as float32 and int32. Then what batches of 128 cost.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.memory import peak

ROWS, GENES, DENSITY = 200_000, 2000, 0.05
CLASSES = (6, 19, 30, 55)
BOUND = 2.0
TASKS = "tasks={" + ", ".join(f"level{i + 1}: multiclass" for i in range(len(CLASSES))) + "}"


def write(path: Path, rows: int, compression: str | None = None) -> int:
    """Write the cells, a block at a time; return the bytes of their CSR."""
    import h5py
    import numpy as np
    import pandas as pd
    from anndata.io import write_elem
    from mtl_cli.data.cells.copies import plain_text

    from tests.cells import make_cells

    random = np.random.default_rng(0)
    labels = make_cells(rows, levels=CLASSES).astype("category")  # as AnnData.write_h5ad stores text
    lengths = random.binomial(GENES, DENSITY, rows)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype("int32")
    with h5py.File(path, "w") as file:
        write_elem(file, "obs", plain_text(labels.set_axis([f"c{i}" for i in range(rows)])))
        write_elem(file, "var", plain_text(pd.DataFrame(index=[f"G{i}" for i in range(GENES)])))
        x = file.create_group("X")
        x.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": [rows, GENES]})
        x["indptr"] = indptr
        values = x.create_dataset("data", (indptr[-1],), "float32", compression=compression)
        columns = x.create_dataset("indices", (indptr[-1],), "int32", compression=compression)
        for start in range(0, rows, 5000):
            stop = min(start + 5000, rows)
            order = np.argpartition(random.random((stop - start, GENES)), lengths[start:stop].max(), axis=1)
            found = np.concatenate([np.sort(o[:n]) for o, n in zip(order, lengths[start:stop], strict=True)])
            columns[indptr[start] : indptr[stop]] = found
            values[indptr[start] : indptr[stop]] = random.integers(1, 9, len(found))
    return int(indptr[-1]) * 8 + indptr.nbytes


def train(folder: Path, *arguments: str) -> tuple[int, float, float]:
    """Train on the small file and then the large one; return how the peak rose, seconds in all and of the epoch."""
    from mtl_cli.cli.main import run

    def once(name: str) -> float:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            keys = ["experiment=cells", TASKS, "dataset.split.stratify=[level1]", "trainer.epochs=1", "plots=false"]
            assert run(["train", f"dataset={folder / name}", *keys, f"run_dir={folder / name}.run", *arguments]) == 0
        assert '"done"' in out.getvalue()
        history = (folder / f"{name}.run" / "mtl_history.csv").read_text().splitlines()
        return float(history[1].rsplit(",", 1)[1])

    once("small.h5ad")
    before, started = peak(), time.perf_counter()
    epoch = once("large.h5ad")
    return peak() - before, time.perf_counter() - started, epoch


def speed(folder: Path) -> None:
    """Print how fast batches come, from memory and from disk."""
    import torch
    from mtl_cli.data.sources.h5ad import H5AD

    torch.set_num_threads(1)
    for backed in (False, True):
        source = H5AD(path=str(folder / "large.h5ad"), backed=backed)
        from mtl_cli.data.cells.dataset import CellReader

        reader = CellReader(source, [f"G{i}" for i in range(GENES)], True, [], "")
        rows = reader.read(source.path, lambda line: None).inputs
        order = iter(rows.order(128, 1, 0, torch.device("cpu")))
        started, batches = time.process_time(), 200
        for _ in range(batches):
            rows.take(next(order))
        seconds = time.process_time() - started
        where = "disk" if backed else "memory"
        speed, each = 128 * batches / seconds, 1000 * seconds / batches
        print(f"from {where:7} {speed:10,.0f} rows a CPU second, {each:6.2f} ms a batch of 128")


def main() -> None:
    """Print peaks and speeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--compression", choices=["gzip"])
    parser.add_argument("--child", nargs="+")
    arguments = parser.parse_args()
    if arguments.child:
        folder, *keys = arguments.child
        print(*train(Path(folder), *keys))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "small.h5ad", 2000)
        size = write(folder / "large.h5ad", arguments.rows, arguments.compression)
        print(f"{arguments.rows:,} x {GENES} at {DENSITY:.0%}: its CSR takes {size / 2**20:.1f} MiB")
        for backed in ("false", "true"):
            for run in folder.glob("*.run"):
                run.rename(run.with_suffix(".old"))
            command = [sys.executable, "-m", "tests.bench.cells", "--child", name, f"dataset.backed={backed}"]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            risen, seconds, epoch = map(float, done.stdout.split())
            verdict = "holds" if risen <= BOUND * size else "MISSED"
            print(
                f"dataset.backed={backed:5}  {risen / 2**20:7.1f} MiB above the imports, {risen / size:.2f} of the CSR"
            )
            print(f"    (bound {BOUND:g}: {verdict}); {seconds:.1f} s, of which the epoch {epoch:.1f} s")
        speed(folder)


if __name__ == "__main__":
    main()
