"""Runs compared: each group's means with intervals, ranks, and whether the differences are more than chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mtl_cli.config.errors import Problem, UserError, did_you_mean
from mtl_cli.studies.delta import delta
from mtl_cli.studies.groups import Group, make_groups
from mtl_cli.studies.measures import SCORE, TEST, Measure, Repeats, find_repeats, of_task
from mtl_cli.studies.results import Result
from mtl_cli.studies.statistics import Interval, Test, Tested, compare_apart, compare_blocks, mean_ranks
from mtl_cli.studies.verdict import verdict

ALLOW = ("splits", "tasks", "metrics")
"""What may differ between runs only if the user says so."""
SINGLE = "single-task networks of each run"


@dataclass(frozen=True)
class Choices:
    """What the user may choose in a comparison.

    Parameters
    ----------
    by : str or Measure, optional
        The measure that groups are ordered and tested by; the score, if the runs have one.
    metrics : tuple of str
        Metrics shown beside each task's primary one, of the tasks that have them.
    baseline : str, optional
        The group that Δm is against, or the folder of ``baseline_runs``.
    baseline_runs : list of Result, optional
    allow : tuple of str
        Which differences between runs are no reason to refuse.
    test : str
        As ``compare_blocks`` has it.
    """

    by: str | Measure | None = None
    metrics: tuple[str, ...] = ()
    baseline: str | None = None
    baseline_runs: list[Result] | None = None
    allow: tuple[str, ...] = ()
    test: Test = "auto"


@dataclass(frozen=True)
class Row:
    """What is said of a group.

    Parameters
    ----------
    group : Group
    cells : dict of str to Interval
        By measure.
    seconds : float
        In the mean.
    delta : Interval, optional
        Δm in percent.
    rank, wins : float, optional
        Mean rank over the blocks, 1 the best; and in how many of them it is best, ties shared.
    """

    group: Group
    cells: dict[str, Interval]
    seconds: float
    delta: Interval | None = None
    rank: float | None = None
    wins: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Groups of runs compared, the best first.

    Parameters
    ----------
    rows : list of Row
    measures : list of Measure
        The columns.
    by : Measure
        What the groups are ordered and tested by.
    repeats : Repeats
        What means are over.
    blocks : str
        What ranks and wins are over, in words.
    baseline : str, optional
        What Δm is against.
    tested : Tested, optional
        Of the groups in the order of ``rows``; larger is better.
    values : ndarray, optional
        What was tested, repetitions × groups, larger is better; None if the groups have no repetitions in common.
    sentences : list of str
        What is to be concluded.
    """

    rows: list[Row]
    measures: list[Measure]
    by: Measure
    repeats: Repeats
    blocks: str = ""
    baseline: str | None = None
    tested: Tested | None = None
    values: np.ndarray | None = None
    sentences: list[str] = field(default_factory=list)

    @property
    def labels(self) -> list[str]:
        """What the groups are called."""
        return [row.group.label for row in self.rows]

    @property
    def tasks(self) -> list[str]:
        """The tasks that are compared."""
        return list(dict.fromkeys(measure.task for measure in self.measures if measure.task is not None))


def compare(results: Sequence[Result], choices: Choices | None = None) -> Comparison:
    """Compare runs.

    Raises
    ------
    UserError
        If they are of other tasks, rows or metrics, and ``choices.allow`` does not say that this is wanted.
    """
    choices = choices or Choices()
    groups = make_groups(results)
    refuse(groups, choices.allow)
    measures = _measures(results, choices.metrics)
    by = _by(choices.by, measures, results)
    measures += [by] if by not in measures else []
    repeats = find_repeats(groups)
    means = {id(group): repeats.interval(by, group).mean * by.sign for group in groups}
    groups.sort(key=lambda group: -means[id(group)] if math.isfinite(means[id(group)]) else math.inf)
    tasks = [of_task(task, _primary(results, task)) for task in common_tasks(results)]
    baseline, against = _baseline(groups, choices, results)
    rows = [
        Row(group, {one.name: repeats.interval(one, group) for one in measures}, _seconds(group)) for group in groups
    ]
    if baseline is not None:
        rows = [replace(row, delta=delta(row.group, against, tasks)) for row in rows]
    rows, blocks = _ranked(rows, tasks, repeats)
    tested, values = _tested(groups, by, repeats, choices.test)
    said = verdict(
        [group.label for group in groups], [row.cells[by.name].mean for row in rows], by.name, by.sign, tested
    )
    return Comparison(rows, measures, by, repeats, blocks, baseline, tested, values, said)


def refuse(groups: Sequence[Group], allow: Sequence[str]) -> None:
    """Raise UserError if the runs' tasks, metrics or rows are not the same, and that is not allowed."""
    first, problems = groups[0].results[0], []
    for result in (result for group in groups for result in group.results):
        own = {task: result.primary(task) for task in result.tasks}
        if own.keys() != first.tasks.keys() and "tasks" not in allow:
            what = f"has the tasks {', '.join(own)}, {first.path} has {', '.join(first.tasks)}"
            problems.append(Problem(str(result.path), what, "--allow tasks compares those that all have"))
        for task in (task for task in own if task in first.tasks and first.primary(task) != own[task]):
            if "metrics" not in allow:
                what = f"task {task} is measured by {own[task]}, in {first.path} by {first.primary(task)}"
                problems.append(Problem(str(result.path), what, "--allow metrics compares by skill"))
    splits = [{result.split for result in group.results} for group in groups]
    if not problems and "splits" not in allow:
        for group, rows in zip(groups, splits, strict=True):
            if rows != splits[0]:
                what = f"has other rows for testing or validation than {first.path}"
                hint = "dataset.split.file=RUN/splits.csv takes another run's; --allow splits compares nevertheless"
                problems.append(Problem(str(group.results[0].path), what, hint))
                break
    if problems:
        raise UserError.of(problems[:1])


def common_tasks(results: Sequence[Result]) -> list[str]:
    """Return the tasks that all runs have."""
    return [task for task in results[0].tasks if all(task in result.tasks for result in results)]


def _primary(results: Sequence[Result], task: str) -> str:
    """Return the metric that a task is judged by; its skill, if the runs disagree."""
    found = {result.primary(task) for result in results}
    return found.pop() if len(found) == 1 else "skill"


def _measures(results: Sequence[Result], metrics: Sequence[str]) -> list[Measure]:
    """Return the columns: the score, that of the test rows, and of each task its primary metric and those asked for."""
    found = [
        measure for measure in (Measure(SCORE), Measure(TEST)) if any(math.isfinite(measure.of(r)) for r in results)
    ]
    tasks = common_tasks(results)
    for metric in metrics:
        known = list(dict.fromkeys(name for task in tasks for name in results[0].tasks[task]))
        if metric not in known:
            raise UserError("--metrics", f"no task has the metric '{metric}'", did_you_mean(metric, known))
    for task in tasks:
        own = dict.fromkeys([_primary(results, task), *metrics])
        found += [of_task(task, metric) for metric in own if all(metric in result.tasks[task] for result in results)]
    return found


def _by(name: str | Measure | None, measures: Sequence[Measure], results: Sequence[Result]) -> Measure:
    """Return the measure of that name: ``score``, ``test``, ``TASK``, for its primary metric, or ``TASK.METRIC``."""
    if name is None:
        return measures[0]
    if isinstance(name, Measure):
        return name
    found = {measure.name: measure for measure in measures}
    for task in common_tasks(results):
        found[task] = of_task(task, _primary(results, task))
        found |= {f"{task}.{metric}": of_task(task, metric) for metric in results[0].tasks[task]}
    if name not in found:
        raise UserError("--by", f"there is no measure '{name}'", did_you_mean(name, found))
    return found[name]


def _baseline(
    groups: Sequence[Group], choices: Choices, results: Sequence[Result]
) -> tuple[str | None, list[Result] | None]:
    """Return what Δm is against, and its runs; none if each run has its own single-task networks."""
    if choices.baseline_runs is not None:
        return choices.baseline, choices.baseline_runs
    if choices.baseline is not None:
        named = {group.label: group for group in groups}
        named |= {value: group for group in groups for value in group.settings.values() if len(group.settings) == 1}
        if choices.baseline not in named:
            hint = did_you_mean(choices.baseline, [group.label for group in groups])
            raise UserError("--baseline", f"'{choices.baseline}' is neither a group nor the folder of runs", hint)
        return named[choices.baseline].label, named[choices.baseline].results
    alone = [group for group in groups if group.alone]
    if len(alone) == 1 and len(groups) > 1:
        return alone[0].label, alone[0].results
    return (SINGLE, None) if all(result.single for result in results) else (None, None)


def _ranked(rows: Sequence[Row], tasks: Sequence[Measure], repeats: Repeats) -> tuple[list[Row], str]:
    """Return the rows with ranks and wins over tasks, and over seeds too where all groups have the same."""
    if len(rows) < 2 or not tasks:
        return list(rows), ""
    groups = [row.group for row in rows]
    paired = repeats.paired and not repeats.folds
    pieces = [
        np.array([repeats.values(task, group) for group in groups]).T * task.sign
        if paired
        else np.array([[repeats.interval(task, group).mean * task.sign for group in groups]])
        for task in tasks
    ]
    blocks = np.nan_to_num(np.concatenate(pieces), nan=-np.inf)
    ranks = mean_ranks(blocks)
    best = blocks == blocks.max(axis=1, keepdims=True)
    wins = (best / best.sum(axis=1, keepdims=True)).sum(axis=0)
    said = f"{len(tasks)} tasks" + (f" × {repeats.count[0]} seeds" if paired and repeats.count[0] > 1 else "")
    ranked = zip(rows, ranks, wins, strict=True)
    return [replace(row, rank=float(rank), wins=float(won)) for row, rank, won in ranked], said


def _tested(
    groups: Sequence[Group], by: Measure, repeats: Repeats, test: Test
) -> tuple[Tested | None, np.ndarray | None]:
    """Test the groups by one measure; None if any of them has too few numbers."""
    if len(groups) < 2:
        return None, None
    table = repeats.table(by, groups)
    if table is not None:
        return compare_blocks(table * by.sign, test, repeats.share), table * by.sign
    own = [repeats.values(by, group) * by.sign for group in groups]
    own = [values[np.isfinite(values)] for values in own]
    if repeats.folds or any(len(values) < 2 for values in own):
        return None, None
    return compare_apart(own), None


def _seconds(group: Group) -> float:
    known = [result.seconds for result in group.results if result.seconds is not None]
    return sum(known) / len(known) if known else math.nan
