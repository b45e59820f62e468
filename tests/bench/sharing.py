"""`python -m tests.bench.sharing`: the sharing schemes on families of unrelated and of related tasks, as Markdown.

Each figure is the share of the test rows' variance that stays unexplained, 1 − R², a mean over tasks and over seeds.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from mtl_cli.cli.main import run
from mtl_cli.data.generated.family import Family

SCHEMES = ["hard", "none", "soft", "cross_stitch", "mmoe", "cgc", "ple", "dselect_k"]
FAMILIES = {
    "unrelated": Family(correlation=0.0, rows=1000),
    "related": Family(correlation=0.95, rows=50, together=False),
}
"""Four unrelated tasks with plenty of rows, and four related ones with few, of which each row has one task's label."""
TRAINING = ["optimizer.lr=0.01", "trainer.epochs=100", "trainer.batch_size=128", "model.trunk.dropout=0", "plots=false"]
NARROW = ["model.trunk.hidden=[6,6]", "model.trunk.embeddings.kind=none"]
"""Too narrow for four unrelated tasks. This, and what the families are, was chosen by the errors of hard sharing and of
separate trunks at seeds 100 to 104; what is reported are seeds 0 to 4."""


def measure(family: Family, arguments: list[str], seed: int) -> tuple[float, int]:
    """Return 1 − R² on the test rows, a mean over tasks, and the number of parameters. It writes where it is called."""
    table = Path(f"family_{abs(hash((family, seed)))}.csv")
    if not table.exists():
        family.draw(seed).to_csv(table, index=False)
    tasks = "{" + ", ".join(f"{name}: regression" for name in family.names) + "}"
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        command = ["train", f"dataset={table}", f"tasks={tasks}", "dataset.split.column=split", f"seed={seed}"]
        status = run([*command, *TRAINING, *arguments])
    if status:
        raise SystemExit(err.getvalue())
    line = json.loads(out.getvalue())
    r2 = [metrics["r2"] for metrics in line["metrics"].values()]
    return 1 - statistics.mean(r2), json.loads((Path(line["run_dir"]) / "run.json").read_text())["parameters"]


def main(seeds: int = 5) -> None:
    """Print the tables."""
    for title, trunk, budget in (
        ("every trunk or expert two layers of 6", NARROW, "each"),
        ("all with the parameters of one trunk of two layers of 16", ["model.trunk.hidden=[16,16]"], "total"),
    ):
        rest = [f"model.sharing.budget={budget}"]
        print(f"| {title} | parameters | " + " | ".join(FAMILIES) + " |")
        print("|---|---|" + "---|" * len(FAMILIES))
        for scheme in SCHEMES:
            cells, parameters = [], 0
            for family in FAMILIES.values():
                chosen = [f"model.sharing={scheme}", *trunk, *(rest if scheme != "hard" else [])]
                found = [measure(family, chosen, seed) for seed in range(seeds)]
                errors, parameters = [error for error, _ in found], found[0][1]
                cells.append(f"{statistics.mean(errors):.3f} ({min(errors):.3f} to {max(errors):.3f})")
            print(f"| `{scheme}` | {parameters:,} | {' | '.join(cells)} |", flush=True)
        print()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        main(*(int(word) for word in sys.argv[1:]))
