"""`mtl compare`: what runs of several settings show."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mtl_cli.cli.arguments import Parser
from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.io import user_path

FORMATS = ("table", "csv", "json", "md", "tex")
ALLOWED = ("splits", "tasks", "metrics")


def parser() -> Parser:
    """Return the parser of the arguments."""
    result = Parser(
        "mtl compare",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Compare the runs of a study, or any runs: means with 95 % intervals over seeds\n"
        "(or over the folds of one run each), ranks, and whether a difference is more\n"
        "than chance.",
        epilog="""\
Runs are grouped by what differs between them. Seeds are repetitions within a
group. mtl help studies says how differences are tested.

examples:
  mtl compare outputs/latest
  mtl compare sweep --by test --metrics mae,roc_auc --plots figures
  mtl compare sweep --baseline uniform --format tex > table.tex
  mtl compare runs/a runs/b runs/c --format json | jq .sentences""",
    )
    result.add_argument("runs", metavar="STUDY|RUN", nargs="+", help="folders of studies and of runs")
    result.add_argument(
        "--by",
        metavar="MEASURE",
        help="what groups are ordered and tested by: score (the default), test, TASK, TASK.METRIC",
    )
    result.add_argument(
        "--metrics", metavar="A,B", default="", help="further metrics of each task, such as mae,roc_auc"
    )
    result.add_argument(
        "--baseline",
        metavar="GROUP|RUN",
        help="what the tasks' metrics are set against (Δm); by default model.sharing=none",
    )
    result.add_argument(
        "--test", choices=["auto", "anova", "friedman"], default="auto", help="which test compares three groups or more"
    )
    result.add_argument(
        "--allow", metavar="WHAT", default="", help=f"compare even if these differ: {', '.join(ALLOWED)}"
    )
    result.add_argument("--format", choices=FORMATS, help="on stdout; a table on a terminal, csv in a pipe")
    result.add_argument("--plots", metavar="FOLDER", help="draw intervals, ranks, weights and pairs of tasks there")
    return result


def run(argv: list[str]) -> int:
    """Run ``mtl compare`` with these arguments."""
    arguments = parser().parse_args(argv)
    allow = _words(arguments.allow)
    for word in allow:
        if word not in ALLOWED:
            raise UserError("--allow", f"there is no '{word}'", did_you_mean(word, ALLOWED))
    folder = None if arguments.plots is None else user_path(arguments.plots)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise UserError(arguments.plots, "is not a folder")
    from mtl_cli.studies import tables
    from mtl_cli.studies.compare import Choices, compare
    from mtl_cli.studies.results import find_results

    results = [result for path in arguments.runs for result in find_results(path)]
    again = next((one.path for i, one in enumerate(results) if any(_same(one.path, r.path) for r in results[:i])), None)
    if again is not None:
        raise UserError(str(again), "is given twice")
    baseline = arguments.baseline
    found = compare(
        results,
        Choices(
            arguments.by,
            tuple(_words(arguments.metrics)),
            baseline,
            find_results(baseline) if baseline is not None and user_path(baseline).is_dir() else None,
            tuple(allow),
            arguments.test,
        ),
    )
    style = arguments.format or ("table" if sys.stdout.isatty() else "csv")
    if style == "table":
        from mtl_cli.reports.study import stream_console
        from mtl_cli.studies.summary import print_comparison

        print_comparison(stream_console(sys.stdout), found)
    else:
        write = {"csv": tables.as_csv, "json": tables.as_json, "md": tables.as_markdown, "tex": tables.as_latex}[style]
        print(write(found), end="")
        if style == "csv":
            print("\n".join(tables.foot(found)), file=sys.stderr)
    if folder is not None:
        from mtl_cli.studies.pictures import write_pictures

        drawn = write_pictures(found, folder)
        print(f"{', '.join(path.name for path in drawn)} are in {arguments.plots}", file=sys.stderr)
    return 0


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()
