"""`python -m tests.bench.defaults RESULTS.csv`: `mtl` with some settings beside scikit-learn's models, on many tables.

    python -m tests.bench.fetch tables
    python -m tests.bench.defaults scale.csv --data tables --half choose --splits 2 --methods mtl clip \\
        --setting clip=dataset.features.scale=clip --budget 10
    git worktree add --detach before 7480ec2
    python -m tests.bench.defaults all.csv --data tables --before before --jobs 16 --budget 9.5
    python -m tests.bench.defaults all.csv --data tables --halves

Each method learns from four fifths of a table, drawn anew for each split (with `--folds K`, from all but one of K
parts), and is measured on the rest: each task's skill, 1 − error / error of the best constant of the training rows,
where the error is the squared error of a number, and of classes the Brier score. Results are added to the file as they
come, and what stands there already is not run again; after `--budget` minutes it stops, and nothing of what is under
way is kept. Seconds are of the processor, one thread, in a process that is warm. What `--before` adds is the method
`before`: the package of another checkout, in a process of its own.
"""

from __future__ import annotations

import argparse
import csv
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tests.bench import standing
from tests.bench.measure import checkout
from tests.bench.rivals import RIVALS
from tests.bench.skill import Cell, run
from tests.bench.tables import half, load, names

COLUMNS = ["table", "split", "method", "task", "skill", "error", "constant", "seconds", "settings"]
SETTINGS: dict[str, list[str]] = {"mtl": [], "one split": ["trainer.folds=none"], "before": []}
"""By the name of a method that is of ``mtl``: its settings."""


def work(options: argparse.Namespace, settings: dict[str, list[str]]) -> int:
    """Run what is asked for and not done yet, every table's first split before the second; return how many failed."""
    done, failed = set(), 0
    if options.results.exists():
        with options.results.open(newline="", encoding="utf-8") as file:
            done = {(row["table"], row["split"], row["method"]) for row in csv.DictReader(file)}
    else:
        options.results.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    ends = time.time() + 60 * options.budget
    older = {"before": options.before}
    cells = [
        Cell(table, method, number, options.folds, settings.get(method), older.get(method), ends)
        for number in range(options.folds or options.splits)
        for table in _longest_first(options.tables)
        for method in sorted(options.methods, key=lambda method: method not in settings)
    ]
    cells = [cell for cell in cells if (cell.table, cell.split, cell.method) not in done]
    print(f"{len(cells)} to run, {len(done)} are there", flush=True)
    for count, (cell, found) in enumerate(_each(cells, options.jobs, ends), start=1):
        name = f"{cell.table:16} {cell.split:>3} {cell.method:14}"
        if isinstance(found, str):
            failed += 1
            print(f"{name} failed: {found}", flush=True)
            continue
        with options.results.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(found)
        skill = np.mean([float(row[4]) for row in found])
        print(f"{name} skill {skill:6.3f}  {float(found[0][7]):6.1f} s  {count}/{len(cells)}", flush=True)
    return failed


def _each(cells: Sequence[Cell], jobs: int, ends: float) -> Iterator[tuple[Cell, list[list[str]] | str]]:
    """Yield cells with their rows, or with what went wrong, as they come, until the time is over."""
    if jobs == 1:
        _warm_up()
        for cell in cells:
            if time.time() > ends:
                print("stopped: the budget is spent", flush=True)
                return
            yield _attempt(cell)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, _warm_up) as pool:  # terminates what is under way at its end
        coming = pool.imap_unordered(_attempt, cells)
        for _ in cells:
            try:
                yield coming.next(max(0.01, ends - time.time()))
            except multiprocessing.TimeoutError:
                print("stopped: the budget is spent", flush=True)
                return


def _attempt(cell: Cell) -> tuple[Cell, list[list[str]] | str]:
    """Return the rows of a cell; one that fails is told, and must not end the hours of the others."""
    try:
        return cell, run(cell)
    except Exception as error:  # noqa: BLE001
        return cell, f"{type(error).__name__}: {error}"


def _warm_up() -> None:
    """Import what the first cell would otherwise pay for."""
    import torch

    import mtl_cli.inference.trained
    import mtl_cli.training.run  # noqa: F401

    torch.set_num_threads(1)
    logging.getLogger("mtl_cli").setLevel(logging.ERROR)


def _longest_first(tables: Sequence[str]) -> list[str]:
    """Return the tables in an order that leaves short ones for the end, where processes would wait for each other."""
    sizes = {}
    for name in tables:
        table, tasks = load(name)
        sizes[name] = len(table) * (20 + table.shape[1]) * (1 + len(tasks))
    return sorted(sizes, key=lambda name: -sizes[name])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--data", type=Path, help="where the tables lie that tests.bench.fetch fetched")
    parser.add_argument("--tables", nargs="+", metavar="TABLE", help="all that are there by default")
    parser.add_argument("--half", choices=["choose", "report"], help="only the tables for this")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--folds", type=int, default=0, help="folds of each table in place of random splits")
    parser.add_argument("--methods", nargs="+", metavar="METHOD", help="mtl, 'one split', before, --setting's, rivals")
    parser.add_argument("--setting", action="append", default=[], metavar="NAME=WORDS", help="mtl with these settings")
    parser.add_argument("--before", type=checkout, metavar="CHECKOUT", help="of the mtl that is called before")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    parser.add_argument("--budget", type=float, default=600, metavar="MINUTES")
    parser.add_argument("--show", action="store_true", help="run nothing, print the results by method")
    parser.add_argument("--halves", action="store_true", help="likewise, mtl before and now, by half of the tables")
    parser.add_argument("--rrmse", action="store_true", help="likewise, the error as published for the Mulan sets")
    options = parser.parse_args()
    if options.data is not None:
        os.environ["MTL_DATA_ROOT"] = str(options.data.resolve())
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    named = {name: words.split() for name, _, words in (one.partition("=") for one in options.setting)}
    settings = {**SETTINGS, **named}
    options.tables = [name for name in options.tables or names() if options.half in (None, half(name))]
    if unknown := [name for name in options.tables if name not in names()]:
        parser.error(f"there is no table '{unknown[0]}'; there are {', '.join(names())}")
    before = ["before"] if options.before is not None or options.halves else []
    options.methods = options.methods or [*before, "mtl", "one split", *RIVALS]
    if options.show or options.rrmse or options.halves:
        found = standing.read(options.results, options.tables, options.methods)
        if options.halves:
            standing.show_halves(found)
        else:
            (standing.show_rrmse if options.rrmse else standing.show)(found, options.methods)
        return
    if unknown := [name for name in options.methods if name not in settings and name not in RIVALS]:
        parser.error(f"--setting {unknown[0]}=WORDS must say what {unknown[0]} is")
    if "before" in options.methods and options.before is None:
        parser.error("--before must name a checkout of mtl for the method before")
    if work(options, settings):
        sys.exit(1)


if __name__ == "__main__":
    main()
