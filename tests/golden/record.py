"""Keep the golden runs anew, or say how far today's are from those kept.

python -m tests.golden.record [NAME…]            run and keep; only for a change that is meant, and explained
python -m tests.golden.record --measure [NAME…]  run and compare; writes nothing
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from pathlib import Path

from mtl_cli.cli.main import run as mtl
from tests.golden.compare import compare
from tests.golden.files import read_kept, read_run, write_kept
from tests.golden.runs import RUNS


def make(name: str, folder: Path) -> Path:
    """Make a run in a folder, quietly, and return its own."""
    told = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        RUNS[name].make_data(folder)
        status = mtl(RUNS[name].command(name))
    if status != 0:
        sys.exit(f"{name}: exit status {status}\n{told.getvalue()}")
    return folder / name


def record(arguments: list[str]) -> None:
    """Run what the arguments name, or all."""
    names = [argument for argument in arguments if argument != "--measure"] or list(RUNS)
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            run = read_run(make(name, Path(folder)))
        if "--measure" not in arguments:
            write_kept(name, run)
            continue
        found = compare(read_kept(name), run, RUNS[name].residue_tasks)
        worst = {table: max(columns.items(), key=lambda item: item[1]) for table, columns in found.deviations.items()}
        print(name, *(f"{table} {value:.1e} ({column})" for table, (column, value) in worst.items()), *found.problems)


if __name__ == "__main__":
    record(sys.argv[1:])
