"""What a search came to: the best trials as a table, importances, the front, and the best config as a file to train."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mtl_cli.config.yaml_text import to_yaml
from mtl_cli.io import atomic
from mtl_cli.reports.console import fitting
from mtl_cli.reports.study import duration
from mtl_cli.runs.directory import STUDY_TABLE, file_name
from mtl_cli.studies.job import rerunnable
from mtl_cli.studies.journal import Journal, values_of
from mtl_cli.studies.results import write_rows
from mtl_cli.studies.search import Search, short_names
from mtl_cli.studies.study import Study

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

BEST, FRONT, IMPORTANCES = "best.yaml", "front.csv", "importances.csv"
SHOWN = 10
"""Trials in the table on a terminal."""
ENOUGH = 10
"""Trials that are done, from which importances are worth a look."""
MOST_PAIRS = 6
"""Pairs of tasks whose front is drawn."""


def best_of(journal: Journal) -> FrozenTrial | None:
    """Return the trial with the best score, the first of several; of a front that with the best mean skill."""
    done = [trial for trial in journal.trials if trial.state.name == "COMPLETE"]
    return max(done, key=lambda trial: sum(trial.values), default=None)


def write_best(search: Search, study: Study, journal: Journal, before: int | None = None) -> int | None:
    """Write the best trial's config, which trains to its score, unless it was so ``before``; return its number."""
    best = best_of(journal)
    if best is None or best.number == before:
        return before
    file = study.path / BEST
    score = study.rows[best.number]["score"]
    text = (
        f"# mtl train {shlex.quote(str(file))}\n"
        f"# Trial {best.number} of a search, with the best score on the validation rows, {score!r};\n"
        "# training it gives that score again. No trial has seen the test rows; this run measures them.\n"
        f"# varied: {' '.join(f'{key}={value}' for key, value in values_of(best).items())}\n"
    )
    plain = rerunnable(search.config(values_of(best)))
    atomic(file, lambda place: place.write_text(text + to_yaml(plain), encoding="utf-8"))
    return best.number


def print_search(console: Console, search: Search, study: Study, journal: Journal) -> dict[str, Any] | None:
    """Print what the trials came to, and write importances and the front; return the best trial's JSON line."""
    best = best_of(journal)
    count = {name: sum(row["status"] == name for row in study.rows.values()) for name in ("done", "pruned", "failed")}
    said = ", ".join(f"{number} {name}" for name, number in count.items() if number)
    console.print(f"{len(study.rows)} trials: {said or 'none has ended'}", markup=False)
    if best is None:
        console.print("no trial is done, so there is no best one; once mended, begin in another folder", markup=False)
        return None
    front = journal.study.best_trials if len(search.names) > 1 else []
    _print_trials(console, search, study, sorted(front, key=lambda trial: -trial.values[0]) or _ranked(journal))
    if front:
        _write_front(console, search, study, journal, front)
    _print_importances(console, search, study, journal)
    row, file = study.rows[best.number], study.path / BEST
    values = values_of(best)
    settings = " ".join(f"{key}={value}" for key, value in values.items())
    of = " of the front" if front else ""
    console.print(f"best score{of}: {row['score']:.4f}, trial {best.number}: {settings}", markup=False, soft_wrap=True)
    console.print(f"a row per trial: {study.path / STUDY_TABLE}", markup=False, soft_wrap=True)
    console.print(f"next: mtl train {shlex.quote(str(file))}", markup=False, soft_wrap=True)
    line = {"run_dir": str(study.path), "status": "done", "score": row["score"], "trial": best.number}
    return {**line, "values": values, "trials": len(study.rows), "config": str(file)}


def _ranked(journal: Journal) -> list[FrozenTrial]:
    done = [trial for trial in journal.trials if trial.state.name == "COMPLETE"]
    return sorted(done, key=lambda trial: -trial.values[0])


def _print_trials(console: Console, search: Search, study: Study, trials: Sequence[FrozenTrial]) -> None:
    """Print the best trials: as many columns as fit."""
    keys = [one.name for one in search.space.parameters]
    short = short_names(keys)
    several = search.names if len(search.names) > 1 else []
    head = ["trial", "score", *several, *(short[key] for key in keys), "time"]
    rows = []
    for trial in trials[:SHOWN]:
        row, values = study.rows[trial.number], values_of(trial)
        skills = [f"{value:.4f}" for value in trial.values] if several else []
        start = [str(trial.number), f"{row['score']:.4f}", *skills]
        rows.append([*start, *(values.get(key, "") for key in keys), duration(row["seconds"])])
    columns = fitting(head, rows, console.width)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in head[:columns]:
        table.add_column(escape(name), justify="right", no_wrap=True)
    for cells in rows:
        table.add_row(*map(escape, cells[:columns]))
    if several:
        console.print(f"the front: {len(trials)} trials that no other beats in every task's skill", markup=False)
    console.print(table)
    if columns < len(head):
        console.print(f"further columns in a wider terminal: {', '.join(head[columns:])}", style="dim", markup=False)
    if len(trials) > SHOWN:
        console.print(f"and {len(trials) - SHOWN} more", style="dim", markup=False)


def importances(search: Search, journal: Journal) -> list[dict[str, Any]]:
    """Return how much each parameter decides whether a trial is among the best, 1 in all, by what trials are judged by.

    By PED-ANOVA (Watanabe et al. 2023, https://arxiv.org/abs/2304.10255), as Optuna has it: nothing for fewer trials
    than that is worth.
    """
    from optuna.importance import get_param_importances

    done = [trial for trial in journal.trials if trial.state.name == "COMPLETE"]
    if len(done) < ENOUGH or len(search.space.parameters) < 2:
        return []
    rows = []
    for place, name in enumerate(search.names):
        own: dict[str, str] = {}
        target: Callable[[FrozenTrial], float] | None = None  # what the study itself maximizes
        if len(search.names) > 1:
            own, target = {"task": name}, partial(_negative, place)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "PedAnova.* low `target`")  # which the negative skill is where it is good
            found = get_param_importances(journal.study, target=target)
        rows += [{"parameter": key, **own, "importance": round(float(value), 6)} for key, value in found.items()]
    return rows


def _negative(place: int, trial: FrozenTrial) -> float:
    return -float(trial.values[place])


def _print_importances(console: Console, search: Search, study: Study, journal: Journal) -> None:
    from mtl_cli.reports.comparison import draw
    from mtl_cli.reports.tuning import bars

    rows = importances(search, journal)
    if not rows:
        return
    atomic(study.path / IMPORTANCES, lambda file: write_rows(file, rows))
    groups: dict[str, dict[str, float]] = {}
    for row in rows:
        groups.setdefault(str(row.get("task", "score")), {})[row["parameter"]] = row["importance"]
    draw(study.path / "importances.png", partial(bars, groups=groups))
    for name, own in groups.items():
        said = ", ".join(f"{key} {value:.2f}" for key, value in own.items())
        of = f" for {name}" if len(groups) > 1 else ""
        console.print(f"importance{of}: {said}", markup=False, soft_wrap=True)


def _write_front(
    console: Console, search: Search, study: Study, journal: Journal, front: Sequence[FrozenTrial]
) -> None:
    from mtl_cli.reports.comparison import draw
    from mtl_cli.reports.tuning import front as draw_front

    rows = [_front_row(search, study.rows[trial.number], trial) for trial in front]
    atomic(study.path / FRONT, lambda file: write_rows(file, rows))
    done = [trial for trial in journal.trials if trial.state.name == "COMPLETE"]
    numbers = {trial.number for trial in front}
    for i, j in list(combinations(range(len(search.names)), 2))[:MOST_PAIRS]:
        points = [(trial.number, trial.values[i], trial.values[j]) for trial in done]
        first, second = search.names[i], search.names[j]
        on = partial(draw_front, points=points, front=numbers, names=(first, second))
        draw(study.path / f"front_{file_name(first)}_{file_name(second)}.png", on)
    console.print(f"a row per trial of the front: {study.path / FRONT}", markup=False, soft_wrap=True)


def _front_row(search: Search, row: Mapping[str, Any], trial: FrozenTrial) -> dict[str, Any]:
    skills = {f"{name}.skill": value for name, value in zip(search.names, trial.values, strict=True)}
    return {"trial": trial.number, "score": row["score"], **skills, **values_of(trial)}
