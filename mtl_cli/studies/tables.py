"""A comparison as a table: for a terminal, and as CSV, JSON, Markdown or LaTeX."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from typing import Any

from mtl_cli.io import to_json
from mtl_cli.reports.study import duration
from mtl_cli.studies.compare import Comparison, Row
from mtl_cli.studies.statistics import Interval
from mtl_cli.studies.verdict import digits_of

BLANK = ""


def headings(found: Comparison) -> list[str]:
    """Return the headings of the table for people."""
    return list(_columns(found))


def lines(found: Comparison) -> list[list[str]]:
    """Return the rows of the table for people: each mean with half its interval's width."""
    columns = _columns(found)
    return [[write(row) for write in columns.values()] for row in found.rows]


def _columns(found: Comparison) -> dict[str, Callable[[Row], str]]:
    """Return what is written in each column, by its heading; what is not known of any group has none."""
    columns: dict[str, Callable[[Row], str]] = {"group": lambda row: row.group.label}
    columns["runs"] = lambda row: str(len(row.group.results))
    measures = [found.by, *(measure for measure in found.measures if measure != found.by)]
    for measure in measures:
        columns[measure.name] = lambda row, name=measure.name: interval_text(row.cells[name])  # type: ignore[misc]
    if found.baseline is not None:
        columns["Δm %"] = lambda row: BLANK if row.delta is None else interval_text(row.delta, 2)
    if any(row.rank is not None for row in found.rows):
        columns["rank"] = lambda row: number(row.rank, 2)
        columns["wins"] = lambda row: BLANK if row.wins is None else f"{row.wins:.3g}"
    columns["time"] = lambda row: BLANK if math.isnan(row.seconds) else duration(row.seconds)
    return columns


def interval_text(found: Interval, most: int = 6) -> str:
    """Write a mean and half the width of its interval, with as many digits as that has to say."""
    if math.isnan(found.mean):
        return "-"
    if math.isnan(found.half):
        return number(found.mean, min(4, most))
    digits = min(digits_of(found), most)
    return f"{number(found.mean, digits)} ± {found.half:.{digits}f}"


def number(value: float | None, digits: int) -> str:
    """Write a number with so many decimals, and a true minus sign."""
    if value is None or math.isnan(value):
        return BLANK
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")  # no −0.000


def records(found: Comparison) -> list[dict[str, Any]]:
    """Return the table for programs: a row for each group, numbers in full."""
    rows = []
    for row in found.rows:
        own: dict[str, Any] = {"group": row.group.label, "runs": len(row.group.results), **row.group.settings}
        for measure in found.measures:
            cell = row.cells[measure.name]
            own |= {measure.name: cell.mean, f"{measure.name}_low": cell.low, f"{measure.name}_high": cell.high}
        if row.delta is not None:
            own |= {"delta_m": row.delta.mean, "delta_m_low": row.delta.low, "delta_m_high": row.delta.high}
        rows.append({**own, "rank": row.rank, "wins": row.wins, "seconds": row.seconds})
    return rows


def as_csv(found: Comparison) -> str:
    """Return the table as CSV; what is not known is empty."""
    rows, written = records(found), io.StringIO()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(written, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {key: "" if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
        )
    return written.getvalue()


def as_json(found: Comparison) -> str:
    """Return the table, the test and the sentences as JSON."""
    content: dict[str, Any] = {
        "by": found.by.name,
        "over": found.repeats.said,
        "paired": found.repeats.paired,
        "baseline": found.baseline,
        "groups": records(found),
        "test": None,
        "sentences": found.sentences,
    }
    if found.tested is not None:
        labels, sign = found.labels, found.by.sign
        content["test"] = {
            "name": found.tested.name,
            "p": found.tested.p,
            "differences": [
                {
                    "first": labels[i], "second": labels[j], "difference": sign * apart.mean,
                    "low": min(sign * apart.low, sign * apart.high), "high": max(sign * apart.low, sign * apart.high),
                    "told": (i, j) in found.tested.told,
                }
                for (i, j), apart in found.tested.differences.items()
            ],
            "mean_ranks": None if found.tested.ranks is None else dict(zip(labels, found.tested.ranks, strict=True)),
            "critical_difference": found.tested.critical,
        }  # fmt: skip
    return to_json(content, indent=2) + "\n"


def as_markdown(found: Comparison) -> str:
    """Return the table in Markdown, the sentences below it."""

    def cells(row: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"

    rule = "| --- |" + " ---: |" * (len(headings(found)) - 1)
    return "\n".join([cells(headings(found)), rule, *map(cells, lines(found)), "", *foot(found)]) + "\n"


def as_latex(found: Comparison) -> str:
    """Return the table in LaTeX, with the rules of booktabs; the best mean of a column is bold."""
    best = _best(found)
    head, body = headings(found), []
    for place, row in enumerate(lines(found)):
        cells = [_latex(cell) for cell in row]
        body.append(
            " & ".join(f"\\textbf{{{c}}}" if best.get(h) == place else c for h, c in zip(head, cells, strict=True))
        )
    rules = "r" * (len(head) - 1)
    start = [f"\\begin{{tabular}}{{l{rules}}}", "\\toprule", " & ".join(map(_latex, head)) + " \\\\", "\\midrule"]
    end = ["\\bottomrule", "\\end{tabular}", *(f"% {line}" for line in foot(found))]
    return "\n".join([*start, *(f"{line} \\\\" for line in body), *end]) + "\n"


def _best(found: Comparison) -> dict[str, int]:
    """Return which row has the best mean, by the measure's name."""
    best = {}
    for measure in found.measures:
        means = [measure.sign * row.cells[measure.name].mean for row in found.rows]
        known = [place for place, mean in enumerate(means) if math.isfinite(mean)]
        if known:
            best[measure.name] = max(known, key=means.__getitem__)
    return best


def _latex(text: str) -> str:
    for plain, written in (
        ("\\", "/"),
        ("&", "\\&"),
        ("%", "\\%"),
        ("_", "\\_"),
        ("#", "\\#"),
        ("{", "\\{"),
        ("}", "\\}"),
    ):
        text = text.replace(plain, written)
    return text.replace("±", "$\\pm$").replace("−", "$-$").replace("Δm", "$\\Delta_m$").replace("×", "$\\times$")


def foot(found: Comparison) -> list[str]:
    """Return the lines below the table: what its numbers are, and what is to be concluded."""
    spread = max(found.repeats.count) > 1
    said = f"mean ± half of the 95 % interval (t) over {found.repeats.said}; " if spread else ""
    rows = f"{', '.join(part for part in _where(found))}"
    said += rows
    result = [said]
    if found.blocks:
        result.append(f"rank, wins: over {found.blocks} ({', '.join(_tasks(found))})")
    if found.baseline is not None:
        result.append(f"Δm: of these metrics, against {found.baseline}")
    result += found.repeats.notes
    if found.tested is not None:
        p = "" if math.isnan(found.tested.p) else f", p = {found.tested.p:.2g}"
        pairs = "paired by seed" if found.repeats.paired and not found.repeats.folds else "not paired"
        pairs = "paired by fold" if found.repeats.folds else pairs
        result.append(f"{found.by.name}: {found.tested.name}{p}, {pairs}")
    return [*result, *found.sentences]


def _where(found: Comparison) -> list[str]:
    parts = {result.part for row in found.rows for result in row.group.results}
    rows = (
        "held-out rows"
        if found.repeats.folds
        else " or ".join({"test": "test rows", "val": "validation rows"}[p] for p in sorted(parts))
    )
    names = [measure.name for measure in found.measures]
    said = ["score is the mean skill on the validation rows"] if "score" in names else []
    return [*said, f"tasks are measured on the {rows}"]


def _tasks(found: Comparison) -> list[str]:
    first: dict[str, str] = {}
    for measure in found.measures:
        if measure.task is not None:
            first.setdefault(measure.task, measure.name)
    return list(first.values())
