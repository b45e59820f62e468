"""Nested cross-validation: how good is what a search finds, on rows that it has not seen?

The rows that are no test rows fall into outer folds. For each of them, the settings are searched without it, the best
are trained without it too, and it measures the model. The fold after it is the search's validation rows, unless
``trainer.folds`` lets the rest take turns. Nothing is said of one model: the mean is that of the whole way to a model.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from mtl_cli.config.check import check_runs
from mtl_cli.config.errors import UserError
from mtl_cli.config.overrides import split_word
from mtl_cli.config.parse import parse
from mtl_cli.config.yaml_text import read_written
from mtl_cli.io import atomic, to_json
from mtl_cli.reports.study import stream_console
from mtl_cli.studies.executors.base import Executor
from mtl_cli.studies.job import Job, Outcome, line_of, make_job
from mtl_cli.studies.results import SEARCH, Result
from mtl_cli.studies.search import Search, settings_text
from mtl_cli.studies.study import Study, lock, open_study
from mtl_cli.studies.tune import open_search, run_search

NESTED = "nested"
SET_ASIDE: dict[str, Any] = {"time": None, "group": None, "by": None, "column": None, "file": None, "stratify": []}
"""Keys of the split that the outer folds have heeded, and what they are where a file says where each row is."""
UNITS = ("time", "group", "by")
"""Those by which rows belong together, which folds inside would not heed."""


def run_nested(
    search: Search, outer: int, folder: str | None, command: Sequence[str], executor: Executor, as_json: bool = True
) -> int:
    """Search and train once for each outer fold, and say what the models come to on the rows left out.

    Parameters
    ----------
    search : Search
        What is asked of the search of each fold.
    outer : int
        How many.
    folder, command, executor, as_json
        As for a search.

    Returns
    -------
    int
        0 if all folds are measured; else the status of the search that came to nothing.
    """
    folds_within = _check(search)
    asked = search.identity()
    asked = replace(asked, plain={**asked.plain, SEARCH: {**asked.plain[SEARCH], "outer": outer}})
    jobs = [replace(asked, number=number, settings={"fold": str(number + 1)}) for number in range(outer)]
    study = open_study(jobs, folder, command, NESTED)
    with lock(study):
        _write_splits(search, study, outer)
        study.done_before()
        for job in list(study.jobs):
            inner = _inside(search, study, job.number, folds_within)
            print(f"outer fold {job.number + 1} of {outer}", file=sys.stderr)
            opened = open_search(inner, str(_search_folder(study, job.number)), command)
            status, best = run_search(inner, opened, executor)
            if best is None:
                return status or 1
            status = _train_best(study, job, best, executor)
            if status:
                return status
        line = _summary(stream_console(sys.stderr), study, outer)
    if as_json:
        print(to_json(line), flush=True)
    return 0


def _check(search: Search) -> bool:
    """Return whether the trials have folds of their own. Raises UserError if there can be no outer folds."""
    config = parse(search.base.plain)
    if not config.dataset.makes_folds or config.dataset.members:
        raise UserError("outer", "this data set makes no folds", "leave it out")
    split = search.base.plain["dataset"].get("split") or {}
    units = [f"dataset.split.{key}" for key in UNITS if split.get(key)]
    if units and isinstance(config.trainer.folds, int):
        what = f"cannot hold to {units[0]} inside the outer folds"
        raise UserError("trainer.folds", what, "leave it out: the fold after each is the validation rows")
    return not units and config.trainer.folds != "none"


def _write_splits(search: Search, study: Study, outer: int) -> None:
    """Write for each outer fold which rows train, validate and test; the study's test rows take no part in any."""
    if all(_splits_file(study, number).is_file() for number in range(outer)):
        return
    from mtl_cli.training.build import prepare_data

    plain = search.base.plain
    asked = {**plain, "trainer": {**plain["trainer"], "folds": outer, "repeats": 1, "refit": False}}
    data = prepare_data(parse(asked), lambda line: None)
    assert data.held_out is not None
    numbers, rows = data.held_out.numbers[0], data.held_out.rows
    for number in range(outer):
        table = data.splits.copy()
        where = table["split"].to_numpy(dtype=object).copy()
        where[:] = "dropped"
        where[rows] = "train"
        where[rows[numbers == (number + 1) % outer]] = "val"
        where[rows[numbers == number]] = "test"
        table["split"] = where
        atomic(_splits_file(study, number), lambda file, table=table: table.to_csv(file, index=False))  # type: ignore[misc]


def _splits_file(study: Study, number: int) -> Path:
    return study.path / f"splits_{number}.csv"


def _search_folder(study: Study, number: int) -> Path:
    return study.path / f"search_{number}"


def _inside(search: Search, study: Study, number: int, folds_within: bool) -> Search:
    """Return the search of an outer fold."""
    split = search.base.plain["dataset"].get("split") or {}
    kept = [word for word in search.space.fixed if not _of_split(word)]
    text = json.dumps(str(_splits_file(study, number).absolute()), ensure_ascii=False)
    words = [*kept, f"dataset.split.file={text}"]
    words += [f"dataset.split.{key}={'[]' if value == [] else 'null'}" for key, value in SET_ASIDE.items()
              if split.get(key) and key != "file"]  # fmt: skip
    if split.get("duplicates") == "together":
        words.append("dataset.split.duplicates=warn")
    if not folds_within:
        words = [*(word for word in words if not word.startswith("trainer.folds=")), "trainer.folds=none"]
    space = replace(search.space, fixed=words)
    return replace(search, space=space, base=make_job(check_runs([words], search.assembler)[0], search.start))


def _of_split(text: str) -> bool:
    """Whether a word sets what the outer folds have heeded; the others of the split stay."""
    word = split_word(text)
    return word is not None and word.key[:2] == ("dataset", "split") and word.key[2:] != ("seed",)


def _train_best(study: Study, job: Job, best: dict[str, Any], executor: Executor) -> int:
    """Train what the search found, and measure it on the outer fold."""
    plain = read_written(Path(best["config"]))
    own = replace(job, plain={**plain, "plots": False}, settings={**job.settings, **best["values"]})
    study.jobs[job.number] = own
    result = Result(Path(str(own.folder)))
    if not (result.done and result.metrics):
        with closing(executor.run([own])) as ended:
            for _, outcome in ended:
                if outcome.status:
                    print(f"outer fold {job.number + 1}: {outcome.line['error'][0]}", file=sys.stderr)
                    return outcome.status
    result = Result(Path(str(own.folder)))
    study.add(own, Outcome(line_of(str(own.folder), result.metrics), 0))
    return 0


def _summary(console: Console, study: Study, outer: int) -> dict[str, Any]:
    """Print the scores on the rows left out, by fold and in the mean; return the JSON line."""
    from mtl_cli.inference.cross_validation import LEVEL, interval

    rows = [study.rows[number] for number in sorted(study.rows)]
    for row, job in zip(rows, study.jobs, strict=True):
        varied = settings_text({key: value for key, value in job.settings.items() if key != "fold"})
        line = f"fold {job.number + 1}  {row['test_score']:.4f} on the rows left out, {row['score']:.4f} in the search"
        console.print(f"{line}  {varied}", markup=False, soft_wrap=True)
    scores = [math.nan if row["test_score"] is None else float(row["test_score"]) for row in rows]
    found = interval(scores, 1 / (outer - 1))
    inside = sum(float(row["score"]) for row in rows) / len(rows)
    console.print(
        f"score of what the search finds: {found['mean']:.4f}, {LEVEL:.0%} interval {found['low']:.4f} to "
        f"{found['high']:.4f}, over {outer} outer folds; the searches themselves said {inside:.4f}",
        style="bold", markup=False, soft_wrap=True,
    )  # fmt: skip
    console.print("next: the same command without outer chooses the settings on all rows", markup=False, soft_wrap=True)
    return {"run_dir": str(study.path), "status": "done", **{"score": found["mean"]}, "low": found["low"],
            "high": found["high"], "folds": scores}  # fmt: skip
