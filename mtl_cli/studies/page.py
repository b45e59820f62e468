"""The report of a study: what its groups of runs come to, each run, what to be warned of, and how to repeat it."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mtl_cli.config.errors import UserError
from mtl_cli.reports.page.cautions import cautions
from mtl_cli.reports.page.known import read_run
from mtl_cli.reports.page.measured import number
from mtl_cli.reports.page.parts import Caution, Cautions, Cell, Code, Drawn, Figures, Lines, Page, Part, Section, Table
from mtl_cli.reports.page.run import usage
from mtl_cli.reports.page.svg import draw
from mtl_cli.reports.plots import noting_failure
from mtl_cli.reports.study import duration
from mtl_cli.studies import tables
from mtl_cli.studies.compare import ALLOW, Choices, Comparison, compare
from mtl_cli.studies.pictures import drawings_of
from mtl_cli.studies.results import Result
from mtl_cli.studies.study_file import StudyFile, read_study

CAPTIONS = {
    "intervals": "Each group's mean with its 95 % interval; a dot for each run",
    "critical_difference": "Mean ranks; groups that a bar joins cannot be told apart",
    "weights": "Weight of each task's loss over the steps, by group",
}
SHOWN = 3
"""Runs that a caution names."""


def study_page(path: Path, name: str, notice: Callable[[str], None]) -> Page:
    """Return the report of a study.

    Parameters
    ----------
    path : Path
        Its folder.
    name : str
        What the user called it, for commands.
    notice : callable
        Takes a line that the user should see.

    Raises
    ------
    UserError
        If no job of it has ended.
    """
    file = read_study(path)
    results = [Result(path / str(number), settings) for number, settings in enumerate(file.jobs)]
    if not any(result.record for result in results):
        raise UserError(name, "is a study of which no job has ended", "run it first")
    done = [result for result in results if result.done and result.metrics]
    found = compare(done, Choices(allow=ALLOW)) if done else None
    best = max((result for result in done if result.score is not None), key=lambda one: one.score or 0, default=None)
    data = next((known.data for known in (read_run(one.path, name) for one in done)), "")
    return Page(
        f"{path.absolute().name}: a report of {len(results)} runs",
        f"A {file.kind} of {data or 'runs'}: {len(done)} of {len(results)} runs are done.",
        [
            Section("In short", [Lines(list(_in_short(found, best)))]),
            Section("Warnings", [Cautions([*_of_study(results, found, name), *_of_runs(done, name)])]),
            Section("The groups", [] if found is None else [_groups(found), Lines(_foot(found))]),
            Section("Figures", list(_figures(found, notice))),
            Section("Every run", [_runs(results)]),
            Section("Use the best", [] if best is None else list(usage(_inside(name, best), "new.csv"))),
            Section("Repeat it", list(_repeat(file, name))),
        ],
    )


def _in_short(found: Comparison | None, best: Result | None) -> Iterator[str]:
    if found is None:
        yield "No run is done: the table below says what went wrong."
        return
    for sentence in found.sentences:
        yield f"{sentence[:1].upper()}{sentence[1:]}."
    if best is not None:
        settings = " ".join(f"{key}={value}" for key, value in best.settings.items()) or "the only run"
        yield f"Best score: {best.score:.4g}, of run {best.path.name}: {settings}."
        yield "Whoever picks the best of many by its test rows reports too good a number: choose by the score."


def _of_study(results: Sequence[Result], found: Comparison | None, name: str) -> Iterator[Caution]:
    again = f"the same command again, with run_dir={shlex.quote(name)}, runs what is missing"
    failed = [result for result in results if result.status == "failed"]
    if failed:
        errors = [f"run {one.path.name}: {one.record.get('error') or 'see its log.txt'}" for one in failed]
        yield Caution("Runs failed", f"{len(failed)} of {len(results)}. {_listed(errors)}", f"mend it; {again}")
    others = [result for result in results if result.status not in ("done", "failed")]
    if others:
        states = Counter(result.status for result in others)
        said = ", ".join(f"{count} {state}" for state, count in states.items())
        yield Caution("Runs are missing", f"{len(others)} of {len(results)}: {said}.", again)
    if found is not None and len(found.rows) > 1 and max(found.repeats.count) == 1:
        yield Caution("One run of each setting", f"{len(found.rows)} groups with a run each: no interval can be given.",
                      "seed=0,1,2,3,4 makes five of each")  # fmt: skip
    splits = {result.split for result in results if result.done}
    if found is not None and len(splits) > 1 and not found.repeats.paired:
        yield Caution("Runs on other rows", f"{len(splits)} splits in {len(results)} runs: the groups are not paired.",
                      "one dataset.split.seed, or the same ones in each group")  # fmt: skip


def _of_runs(done: Sequence[Result], name: str) -> Iterator[Caution]:
    """Yield what runs are to be warned of, each once, with the runs that it is true of."""
    found: dict[str, list[tuple[str, Caution]]] = {}
    for result in done:
        for caution in cautions(read_run(result.path, _inside(name, result))):
            found.setdefault(caution.title, []).append((result.path.name, caution))
    for title, own in found.items():
        lines = [f"Run {run}: {caution.seen}" for run, caution in own]
        yield Caution(f"{title}: {len(own)} of {len(done)} runs", _listed(lines), own[0][1].remedy)


def _groups(found: Comparison) -> Table:
    """Return the table that ``mtl compare`` prints."""
    measures = [found.by, *(measure for measure in found.measures if measure != found.by)]
    ranked = any(row.rank is not None for row in found.rows)
    columns = ["Group", "Runs", *(measure.name for measure in measures)]
    columns += ["Δm %"] if found.baseline is not None else []
    columns += ["Rank", "Wins"] if ranked else []
    rows = []
    for row in found.rows:
        cells = [Cell(row.group.label), number(len(row.group.results))]
        cells += [Cell(tables.interval_text(row.cells[one.name]), row.cells[one.name].mean) for one in measures]
        if found.baseline is not None:
            cells.append(Cell("") if row.delta is None else Cell(tables.interval_text(row.delta, 2), row.delta.mean))
        cells += [number(row.rank), number(row.wins)] if ranked else []
        rows.append([*cells, _seconds(row.seconds)])
    columns.append("Time")
    return Table(
        "Runs with one setting, in the mean; the best first.", columns, rows, frozenset(range(1, len(columns)))
    )


def _foot(found: Comparison) -> list[str]:
    return [f"{line[:1].upper()}{line[1:]}." for line in tables.foot(found)[: -len(found.sentences) or None]]


def _runs(results: Sequence[Result]) -> Table:
    """Return a row for each run: what sets it apart, how it ended, and its numbers."""
    keys = list(dict.fromkeys(key for result in results for key in result.settings))
    measures = {f"{task}.{one.primary(task)}": (task, one.primary(task)) for one in results for task in one.tasks}
    columns = ["Run", *keys, "Status", "Score", "Test", *measures, "Time"]
    rows = []
    for result in results:
        cells = [Cell(result.path.name, float(result.path.name))]
        cells += [Cell(result.settings.get(key, "")) for key in keys]
        cells += [Cell(result.status), number(result.score), number(result.splits.get("test", {}).get("score"))]
        cells += [number(result.tasks.get(task, {}).get(metric)) for task, metric in measures.values()]
        rows.append([*cells, _seconds(math.nan if result.seconds is None else result.seconds)])
    first = len(keys) + 2
    said = "Score is the mean skill on the validation rows, test that on the test rows, on which the metrics are too."
    return Table(said, columns, rows, frozenset(range(first, len(columns))))


def _figures(found: Comparison | None, notice: Callable[[str], None]) -> Iterator[Part]:
    drawn: list[Drawn] = []
    for stem, on in {} if found is None else drawings_of(found).items():
        with noting_failure(stem, notice):
            drawn.append(draw(on, CAPTIONS.get(stem, "Two tasks: runs, and the groups' means"), notice))
    if drawn:
        yield Figures(drawn)


def _repeat(file: StudyFile, name: str) -> Iterator[Part]:
    yield Code("The command that made it:", file.command)
    yield Code("The comparison, and its figures:", f"mtl compare {shlex.quote(name)} --plots figures")
    yield Code("A report of one run:", f"mtl report {shlex.quote(name)}/0 -o run_0.html")
    yield Lines(
        [f"Made with mtl {file.mtl}. Each run's folder has its config.yaml, with which it can be trained again."]
    )


def _seconds(value: float) -> Cell:
    return Cell("", math.nan) if math.isnan(value) else Cell(duration(value), value)


def _inside(name: str, result: Result) -> str:
    return f"{name.rstrip('/')}/{result.path.name}"


def _listed(lines: Sequence[str]) -> str:
    more = f" And {len(lines) - SHOWN} more runs." if len(lines) > SHOWN else ""
    return " ".join(lines[:SHOWN]) + more
