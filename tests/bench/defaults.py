"""`python -m tests.bench.defaults RESULTS.csv`: `mtl` with some settings beside scikit-learn's models, on many tables.

    python -m tests.bench.defaults scale.csv --half choose --splits 2 --methods mtl clip \\
        --setting clip=dataset.features.scale=clip --minutes 10
    python -m tests.bench.defaults scale.csv --half report --show

Each method learns from four fifths of a table, drawn anew for each split (with `--folds K`, from all but one of K
parts), and is measured on the rest: each task's skill, 1 − error / error of the best constant of the training rows,
where the error is the squared error of a number, and of classes the Brier score. Results are added to the file as they
come, and what stands there already is not run again; `--minutes` ends a run between two of them. Seconds are of the
processor, in one process that is warm.
"""

from __future__ import annotations

import argparse
import csv
import logging
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, train_test_split

import mtl_cli
from tests.bench.rivals import RIVALS, predict_rival
from tests.bench.tables import Table, half, load, names

COLUMNS = ["table", "split", "method", "task", "skill", "error", "constant", "seconds", "settings"]
FLOOR = -1.0
"""A skill that is as bad as it gets: one stray reading in a test row may make it any number."""
Said = dict[str, Any]
"""By task: numbers, or a column of probabilities per class, as text."""


def predict_mtl(words: list[str], train: pd.DataFrame, test: pd.DataFrame, tasks: dict[str, str], seed: int) -> Said:
    """Return what a network says of the test rows; it chooses its own validation rows among those to learn from."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {"train": Path(folder) / "train.parquet", "test": Path(folder) / "test.parquet"}
        train.to_parquet(paths["train"], index=False)
        test.to_parquet(paths["test"], index=False)
        run = mtl_cli.train(
            f"dataset={paths['train']}", "dataset.split.test=0", f"seed={seed}", f"dataset.split.seed={seed}",
            "plots=false", "dataset.features.include=['*']", f"run_dir={folder}/run", *words, tasks=dict(tasks),
        )  # fmt: skip
        model = run.model().model
        answers = model.predict(model.read(str(paths["test"]), _ignore), _ignore, probabilities=True)
    found: Said = {}
    for task, kind in tasks.items():
        start = f"predicted_{task}_prob_"
        if kind == "regression":
            found[task] = answers[f"predicted_{task}"].to_numpy()
        else:
            chosen = answers[[name for name in answers if name.startswith(start)]]
            found[task] = chosen.rename(columns=lambda name, start=start: name.removeprefix(start))
    return found


def _ignore(line: str) -> None: ...


def measure(said: Any, truth: pd.Series, known: pd.Series) -> tuple[float, float]:
    """Return the error of what is said of the test rows, and that of the best constant of the training rows."""
    there = truth.notna().to_numpy()
    if isinstance(said, pd.DataFrame):
        classes = sorted({*known.dropna().astype(str), *truth.dropna().astype(str)})
        right = np.array(truth[there].astype(str))[:, None] == np.array(classes)
        shares = np.array([(known.dropna().astype(str) == name).mean() for name in classes])
        said = said.reindex(columns=classes, fill_value=0.0).to_numpy()[there]
        return float(((said - right) ** 2).sum(1).mean()), float(((shares - right) ** 2).sum(1).mean())
    values = truth[there].to_numpy("float64")
    return float(((said[there] - values) ** 2).mean()), float(((known.mean() - values) ** 2).mean())


def splits(name: str, rows: int, count: int, folds: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield names of splits, and the rows to learn from and to be measured on."""
    if folds:
        parts = KFold(folds, shuffle=True, random_state=zlib.crc32(name.encode())).split(np.arange(rows))
        yield from ((f"fold {i} of {folds}", train, test) for i, (train, test) in enumerate(parts, start=1))
        return
    for seed in range(count):
        yield str(seed), *train_test_split(np.arange(rows), test_size=0.2, random_state=seed)


def work(options: argparse.Namespace, settings: dict[str, list[str]]) -> None:
    """Run what is asked for and not done yet; every table's first split before the second."""
    done, ends = set(), time.monotonic() + 60 * options.minutes
    if options.results.exists():
        done = {(row["table"], row["split"], row["method"]) for row in _rows(options.results)}
    else:
        options.results.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    made = {name: load(name) for name in options.tables}
    cut = {name: list(splits(name, len(made[name][0]), options.splits, options.folds)) for name in made}
    places = [(number, name) for number in range(options.folds or options.splits) for name in made]
    for number, name in places:
        split, train, test = cut[name][number]
        for method in options.methods:
            if (name, split, method) in done:
                continue
            if time.monotonic() > ends:
                print(f"stopped after {options.minutes:g} minutes", flush=True)
                return
            rows = [
                [name, split, method, *row]
                for row in run(method, settings.get(method), made[name], train, test, number)
            ]
            with options.results.open("a", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows(rows)
            skill = np.mean([float(row[4]) for row in rows])
            print(f"{name:18} {split:>3} {method:14} skill {skill:6.3f}  {float(rows[0][7]):6.1f} s", flush=True)


def run(
    method: str, words: list[str] | None, made: Table, train: np.ndarray, test: np.ndarray, seed: int
) -> list[list[str]]:
    """Return what ``COLUMNS`` holds from the task on, a row for each task. Without words the method is a rival."""
    table, tasks = made[0], dict(made[1])
    known, asked = table.iloc[train].reset_index(drop=True), table.iloc[test].reset_index(drop=True)
    start = time.process_time()
    if words is None:
        said = predict_rival(method, known, asked, tasks, seed)
    else:
        said = predict_mtl(words, known, asked, tasks, seed)
    seconds = time.process_time() - start
    found = []
    for task in tasks:
        error, constant = measure(said[task], asked[task], known[task])
        numbers = [f"{value:.6g}" for value in (1 - error / constant, error, constant, seconds)]
        found.append([task, *numbers, " ".join(words or [])])
    return found


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def show(options: argparse.Namespace) -> None:
    """Print each method's mean skill by table, its mean rank, its lead over the first method, and its time.

    Only splits count on which all methods were run. The lead is the mean over tables with its standard error, the time
    the median over tables of the ratio to the first method. In means, what is worse than ``FLOOR`` counts as that.
    """
    found = pd.read_csv(options.results, dtype={"split": str})
    found = found[found["table"].isin(options.tables) & found["method"].isin(options.methods)]
    by_split = found.groupby(["table", "split", "method"])[["skill", "seconds"]].mean().unstack("method").dropna()
    skill, seconds = (by_split[key].groupby("table").mean()[options.methods] for key in ("skill", "seconds"))
    used = by_split.groupby("table").size()
    first = options.methods[0]
    print(f"| table | splits | {' | '.join(options.methods)} |\n|---|{'---|' * (len(options.methods) + 1)}")
    for name, row in skill.iterrows():
        print(f"| {name} | {used[name]} | {' | '.join(f'{value:.3f}' for value in row)} |")
    lead = skill.clip(FLOOR).sub(skill[first].clip(FLOOR), axis=0)
    error = lead.std() / np.sqrt(len(lead))
    cells = {
        "mean skill": [f"{value:.3f}" for value in skill.clip(FLOOR).mean()],
        "median skill": [f"{value:.3f}" for value in skill.median()],
        "mean rank": [f"{value:.2f}" for value in skill.rank(axis=1, ascending=False).mean()],
        f"lead over {first}": [f"{lead[m].mean():+.3f} ± {error[m]:.3f}" for m in options.methods],
        "ahead, behind": [f"{(lead[m] > 0).sum()}, {(lead[m] < 0).sum()}" for m in options.methods],
        "time": [f"{value:.2f}" for value in seconds.div(seconds[first], axis=0).median()],
    }
    for label, values in cells.items():
        print(f"| {label} | | {' | '.join(values)} |")


def show_rrmse(options: argparse.Namespace) -> None:
    """Print √(Σ squared error / Σ squared error of the training mean), mean over targets and folds ± its error."""
    found = pd.read_csv(options.results, dtype={"split": str})
    found = found[found["table"].isin(options.tables) & found["method"].isin(options.methods)]
    found = found.assign(rrmse=np.sqrt(found["error"] / found["constant"]))
    by_split = found.groupby(["table", "split", "method"])["rrmse"].mean().unstack("method").dropna()
    for name, rows in by_split.groupby("table"):
        cells = [f"{rows[m].mean():.3f} ± {rows[m].std() / np.sqrt(len(rows)):.3f}" for m in options.methods]
        print(f"| {name} | {len(rows)} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--tables", nargs="+", choices=names(), default=names())
    parser.add_argument("--half", choices=["choose", "report"], help="only the tables for this")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--folds", type=int, default=0, help="folds of each table in place of random splits")
    parser.add_argument("--methods", nargs="+", default=["mtl", *RIVALS], help="mtl, those of --setting, or rivals")
    parser.add_argument("--setting", action="append", default=[], metavar="NAME=WORDS", help="mtl with these settings")
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("--show", action="store_true", help="run nothing, print the results")
    parser.add_argument("--rrmse", action="store_true", help="likewise, the error as published for the Mulan sets")
    options = parser.parse_args()
    settings = {
        "mtl": [],
        **{name: words.split() for name, _, words in (one.partition("=") for one in options.setting)},
    }
    options.tables = [name for name in options.tables if options.half in (None, half(name))]
    if options.show or options.rrmse:
        (show_rrmse if options.rrmse else show)(options)
        return
    if unknown := [name for name in options.methods if name not in settings and name not in RIVALS]:
        parser.error(f"--setting {unknown[0]}=WORDS must say what {unknown[0]} is")
    logging.getLogger("mtl_cli").setLevel(logging.ERROR)
    work(options, settings)


if __name__ == "__main__":
    main()
