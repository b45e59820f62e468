"""`PYTHONPATH=CHECKOUT python tests/bench/older.py`: what a network of an older `mtl` says of rows.

The bench of the defaults runs it as a program of its own, so that the older package is the one that is imported. On
stdin is a JSON object: the files ``train``, ``test`` and ``answers``, ``tasks``, ``seed``, ``words`` and ``seconds``,
after which the program ends itself. It writes to ``answers`` a column TASK of numbers, or TASK=CLASS of probabilities,
and prints its seconds of processor time without those of importing.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def main() -> None:
    asked: dict[str, Any] = json.load(sys.stdin)
    signal.alarm(max(1, int(asked["seconds"])))
    import pandas as pd
    import torch  # noqa: F401

    from mtl_cli.cli.main import run
    from mtl_cli.inference.trained import TrainedModel

    began = time.process_time()
    tasks = "{" + ", ".join(f"{name}: {kind}" for name, kind in asked["tasks"].items()) + "}"
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        with contextlib.redirect_stdout(sys.stderr):
            status = run([
                "train", f"dataset={asked['train']}", f"tasks={tasks}", "dataset.split.test=0", f"seed={asked['seed']}",
                f"dataset.split.seed={asked['seed']}", "plots=false", "device=cpu", f"run_dir={run_dir}",
                *asked["words"],
            ])  # fmt: skip
            if status:
                raise SystemExit(status)
            model = TrainedModel.load(str(run_dir))
            outputs = model.outputs(model.read(asked["test"], lambda line: None).inputs)
    found: dict[str, Any] = {}
    for name, task in model.tasks.items():
        if asked["tasks"][name] == "regression":
            found[name] = task.decode(outputs[name])[f"predicted_{name}"]
        else:
            chances = task.probability(outputs[name])
            columns = [1 - chances, chances] if chances.ndim == 1 else list(chances.T)
            found |= {f"{name}={label}": column for label, column in zip(task.classes, columns, strict=True)}
    pd.DataFrame(found).to_parquet(asked["answers"], index=False)
    print(time.process_time() - began)


if __name__ == "__main__":
    main()
