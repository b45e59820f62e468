"""What an explanation says, as rows for stdout, as words, and as figures in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mtl_cli.inference.explain.attribution import Attribution
from mtl_cli.inference.explain.dependence import Dependence
from mtl_cli.inference.explain.importance import Importance
from mtl_cli.inference.explain.markers import Marker
from mtl_cli.inference.explain.shared import Pair
from mtl_cli.io import atomic
from mtl_cli.reports.figures.layout import BLUE, GREY, Axes, legend_above, panels, resize, short
from mtl_cli.reports.plots import draw_file
from mtl_cli.reports.rows import Rows, aligned, rendered
from mtl_cli.runs.directory import file_name

SHOWN = 15
"""Features of a task in a table, or figure, by default."""
NUMBERS = ("skill lost", "low", "high")


def importance_rows(found: Sequence[Importance]) -> Rows:
    """Return a row per task and feature, the most important first."""
    joined = any(one.feature.dataset for one in found)
    return [
        {
            "task": one.task,
            **({"dataset": one.feature.dataset} if joined else {}),
            "feature": one.feature.name, "kind": one.feature.kind, "skill_lost": one.lost, "low": one.low,
            "high": one.high, "deviation": one.deviation, "correlated": list(one.members),
        }
        for one in found
    ]  # fmt: skip


def importance_text(
    found: Sequence[Importance], skills: Mapping[str, float], labels: Mapping[str, int], top: int, room: int | None
) -> str:
    """Return a table per task, correlated features below the cluster that they are of."""
    lines = []
    for task, skill in skills.items():
        own = [one for one in found if one.task == task]
        shown = _nested(own, top)
        cells = [
            [f"{'  ' * inner}{one.feature.name}", *map(_number, (one.lost, one.low, one.high))] for inner, one in shown
        ]
        lines.append(f"{task}: skill {skill:.4g} on {labels[task]:,} rows")
        lines += aligned(["feature", *NUMBERS], cells, [False, True, True, True], room)
        if more := sum(not one.members for one in own) - sum(not one.members for _, one in shown):
            lines.append(f"and {more:,} more features; --top shows more, --format csv all")
        lines.append("")
    return "\n".join(lines[:-1]) + "\n" if lines else ""


def _nested(own: Sequence[Importance], top: int) -> list[tuple[bool, Importance]]:
    """Return the most important, each cluster with its members below it."""
    inside = {name for one in own for name in one.members}
    found: list[tuple[bool, Importance]] = []
    for one in [one for one in own if one.members or one.feature.name not in inside][:top]:
        found.append((False, one))
        found += [(True, other) for other in own if not other.members and other.feature.name in one.members]
    return found


def _number(value: float) -> str:
    return f"{value:.3f}"


def dependence_rows(found: Sequence[Dependence]) -> Rows:
    """Return a row per task, feature, value and predicted class."""
    return [
        {"task": one.task, "feature": one.feature.name, "value": str(value), "predicted": name, "mean": mean}
        for one in found
        for name, means in one.predicted.items()
        for value, mean in zip(one.values, means, strict=True)
    ]


def attribution_rows(found: Sequence[Attribution]) -> Rows:
    """Return a row per row, task and feature, what adds or takes most first."""
    every = [
        {"row": one.row, "task": one.task, "output": one.output, "feature": one.feature.name, "adds": one.value}
        for one in found
    ]
    places = {key: number for number, key in enumerate(dict.fromkeys((row["row"], row["task"]) for row in every))}
    return sorted(every, key=lambda row: (places[row["row"], row["task"]], -abs(row["adds"])))


def marker_rows(found: Sequence[Marker]) -> Rows:
    """Return a row per task, class and feature, what adds most to a class first."""
    return [
        {
            "task": one.task, "class": one.label, "feature": one.feature.name, "adds": one.adds, "inside": one.inside,
            "outside": one.outside, "rows": one.rows,
        }
        for one in found
    ]  # fmt: skip


def marker_text(found: Sequence[Marker], top: int, room: int | None) -> str:
    """Return a table per class: the features that add most to it, of those that are not larger outside of it."""
    lines = []
    for task, label in dict.fromkeys((one.task, one.label) for one in found):
        own = [one for one in found if (one.task, one.label) == (task, label)]
        shown = [one for one in own if not one.inside < one.outside][:top]
        cells = [[one.feature.name, *map(_number, (one.adds, one.inside, one.outside))] for one in shown]
        lines.append(f"{task}: {label}, {'1 row' if own[0].rows == 1 else f'{own[0].rows:,} rows'}")
        lines += aligned(["feature", "adds", "inside", "outside"], cells, [False, True, True, True], room)
        if more := len(own) - len(shown):
            lines.append(f"and {more:,} more features; --top shows more, --format csv all")
        lines.append("")
    return "\n".join(lines[:-1]) + "\n" if lines else ""


def shared_rows(found: Sequence[Pair]) -> Rows:
    """Return a row per ordered pair: what ``task`` loses without what the other's head reads."""
    rows = []
    for pair in found:
        cosines = {"cosine_early": pair.early, "cosine_middle": pair.middle, "cosine_late": pair.late}
        alike = {"cka": pair.cka, "cka_outputs": pair.cka_outputs}
        for task, without, lost, drawn in (
            (pair.first, pair.second, pair.first_loses, pair.first_random),
            (pair.second, pair.first, pair.second_loses, pair.second_random),
        ):
            rows.append({"task": task, "without": without, "skill_lost": lost, "at_random": drawn, **alike, **cosines})
    return rows


def shared_notes(found: Sequence[Pair]) -> Iterator[str]:
    """Yield what is to be said of the numbers."""
    if all(pair.one_representation for pair in found):
        yield "all heads read one representation, so that cka is 1; cka_outputs is of what they make of it"
    if all(pair.early != pair.early for pair in found):
        yield "no cosines of gradients: the balancer looked at none (balancer=pcgrad and others that need a Gramian do)"


def write_figures(
    folder: Path,
    found: Sequence[Importance],
    curves: Sequence[Dependence],
    top: int,
    notice: Callable[[str], None],
) -> list[Path]:
    """Draw importance and dependence of each task, and write their tables as CSV; return the files."""
    folder.mkdir(exist_ok=True)
    tables = {"importance.csv": importance_rows(found), "dependence.csv": dependence_rows(curves)}
    written = []
    for name, rows in tables.items():
        if rows:
            text = rendered(rows, "csv")
            atomic(folder / name, lambda file, text=text: file.write_text(text, encoding="utf-8"))  # type: ignore[misc]
            written.append(folder / name)
    for task in dict.fromkeys(one.task for one in found):
        own = [one for one in found if one.task == task][:top]
        drawings: dict[str, Callable[[Axes], None]] = {"importance": partial(_bars, task=task, found=own)}
        if lines := [one for one in curves if one.task == task]:
            drawings["dependence"] = partial(_curves, task=task, found=lines)
        for stem, draw in drawings.items():
            path = folder / f"{file_name(f'{stem}_{task}')}.png"
            draw_file(path, draw, notice)
            written.append(path)
    return written


def _bars(axes: Axes, task: str, found: Sequence[Importance]) -> None:
    """Draw the importance of features as bars with their intervals, the largest above."""
    resize(axes, 3.4, 0.2 * len(found) + 0.3)
    places = list(range(len(found)))[::-1]
    values = [one.lost for one in found]
    ends = [[max(one.lost - one.low, 0) for one in found], [max(one.high - one.lost, 0) for one in found]]
    colours = [GREY if one.members else BLUE for one in found]
    axes.barh(places, values, xerr=ends, color=colours, height=0.7, error_kw={"elinewidth": 0.8})
    axes.set_yticks(places, [short(one.feature.name, 36) for one in found])
    axes.axvline(0, color="black", linewidth=0.6)
    grey = "; grey: correlated ones together" if any(one.members for one in found) else ""
    axes.set(title=task, xlabel=f"skill lost when shuffled, 95 % interval{grey}")


def _curves(axes: Axes, task: str, found: Sequence[Dependence]) -> None:
    """Draw the mean prediction over the values of each feature."""
    names = list(found[0].predicted)
    what = "mean prediction" if names == [task] else "mean probability"
    drawn = panels(
        axes, [one.feature.name for one in found], f"{task}: {what}", "value of the feature, all else as it is"
    )
    handles: list[Any] = []
    for panel, one in zip(drawn, found, strict=True):
        panel.tick_params(labelbottom=True)
        numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in one.values)
        places = one.values if numeric else list(range(len(one.values)))
        line = "" if one.feature.kind in ("categorical", "boolean") else "-"
        handles = [panel.plot(places, one.predicted[name], line, marker="o", markersize=3)[0] for name in names[:7]]
        if not numeric:
            step = max(1, len(places) // 4)
            panel.set_xticks(places[::step], [short(str(value)[:10], 10) for value in one.values[::step]])
    if len(names) > 1:
        legend_above(drawn[0], handles, names[:7])
