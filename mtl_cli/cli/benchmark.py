"""`mtl benchmark`: a study with a written protocol, and a reference that its figures are checked against."""

from __future__ import annotations

import argparse
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from mtl_cli.cli.arguments import Parser, add_format
from mtl_cli.cli.words import SWEEP_KEYS
from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.config.values import as_text
from mtl_cli.io import user_path
from mtl_cli.studies.protocol import SMALL, Protocol, adapted, header, names, read_protocol, reference_file

if TYPE_CHECKING:
    from mtl_cli.studies.standings import Problem

OUTSIDE = 3
"""Exit status if a figure lies outside its tolerance."""
HERE = ""
"""What --check without a file is: the reference that is shipped."""


def parser() -> Parser:
    """Return the parser of the arguments."""
    known = "".join(
        textwrap.fill(question(name), 78, initial_indent=f"  {name:<11} ", subsequent_indent=" " * 14) + "\n"
        for name in names()
    )
    result = Parser(
        "mtl benchmark",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Run a benchmark: every method on every problem of a written protocol, each\n"
        "searched alike on validation rows, and a table of what test rows say.\n\nbenchmarks:\n" + known,
        epilog="""\
A benchmark is a study for each problem: the same command again with
run_dir=FOLDER runs what is missing. launcher=processes n_jobs=4 as for
mtl train -m. KEY=VALUE replaces a key of the protocol, or is added to
every run. --check exits 3 if a figure is not what the reference says.
mtl help benchmark has more.

examples:
  mtl benchmark balancers --show
  mtl benchmark balancers wine --small run_dir=bench
  mtl benchmark balancers wine --small run_dir=bench --check
  mtl benchmark balancers wine --small balancer=uniform,mine seed=0,1""",
    )
    result.add_argument("name", metavar="NAME", help=f"one of {', '.join(names())}")
    result.add_argument(
        "words", metavar="PROBLEM|KEY=VALUE", nargs="*", help="run only these problems; change these keys"
    )
    result.add_argument("--small", action="store_true", help="the protocol's small version")
    result.add_argument("--show", action="store_true", help="print the protocol, and run nothing")
    result.add_argument(
        "--check", metavar="FILE", nargs="?", const=HERE, help="compare with the shipped reference, or with a file"
    )
    add_format(result)
    return result


def run(argv: list[str]) -> int:
    """Run ``mtl benchmark`` with these arguments."""
    arguments = parser().parse_intermixed_args(argv)
    protocol = read_protocol(arguments.name, arguments.small)
    if arguments.show:
        print("\n".join(header(arguments.name)))
        return 0
    options, words, problems = _sorted(arguments.words, protocol)
    if arguments.check == HERE and words:
        hint = "leave it out, or give a file made with the same words: --check FILE"
        raise UserError(words[0], "changes the figures, so that they cannot be compared with the reference's", hint)
    from mtl_cli.reports.rows import chosen, rendered
    from mtl_cli.studies.benchmark import run_benchmark
    from mtl_cli.studies.executors import make_executor
    from mtl_cli.studies.overview import overview, sentences
    from mtl_cli.studies.reference import outside, read_reference
    from mtl_cli.studies.standings import records

    protocol = adapted(protocol, words)
    budget = SMALL if arguments.small else "full"
    reference = None
    given = problems or _those_with_data(protocol)
    if arguments.check is not None:
        file = reference_file(arguments.name) if arguments.check == HERE else user_path(arguments.check)
        reference = read_reference(file, budget, given)
    folder = _folder(options.pop("run_dir", None), arguments.name)
    executor = make_executor(options)
    found, status = run_benchmark(protocol, given, folder, executor, ["mtl", "benchmark", *argv])
    rows = records(found, protocol, budget)
    style = chosen(arguments.format)
    print(rendered(overview(rows) if style in ("table", "md") else rows, style), end="")
    print("\n".join([*_foot(found, protocol, folder), *sentences(rows, protocol.baseline)]), file=sys.stderr)
    if reference is None:
        return status
    wrong = outside(reference, rows)
    for one in wrong:
        print(f"outside: {one}", file=sys.stderr)
    print(
        f"check: {len(reference) - len(wrong)} of {len(reference)} figures are what the reference says", file=sys.stderr
    )
    return OUTSIDE if wrong else status


def question(name: str) -> str:
    """Return what a benchmark asks: the second line of its protocol."""
    return header(name)[1]


def _sorted(words: list[str], protocol: Protocol) -> tuple[dict[str, str], list[str], list[str]]:
    """Return the options of the launcher with ``run_dir``, the words of runs, and the problems that are named."""
    options, others, problems = dict[str, str](), [], []
    for word in words:
        key, equals, value = word.partition("=")
        if equals and (key == "run_dir" or key in SWEEP_KEYS):
            options[key] = as_text(value)
        elif equals:
            others.append(word)
        elif word in protocol.problems:
            problems.append(word)
        else:
            raise UserError(word, "is not a problem of the benchmark", did_you_mean(word, protocol.problems))
    return options, others, list(dict.fromkeys(problems))


def _those_with_data(protocol: Protocol) -> list[str]:
    """Return the problems whose data are there, and say which are left out."""
    from mtl_cli.studies.benchmark import why_not

    found = []
    for name in protocol.problems:
        if (why := why_not(protocol, name)) is None:
            found.append(name)
        else:
            print(f"note: {name} is left out: {why}", file=sys.stderr)
    if not found:
        raise UserError("benchmark", "no problem's data are there")
    return found


def _folder(given: str | None, name: str) -> Path:
    """Return the folder of the studies: the user's, which may hold them already, or a new one."""
    from mtl_cli.runs import directory

    if given is None:
        return directory.fresh(f"benchmark_{name}")
    folder = user_path(given)
    if folder.exists() and not folder.is_dir():
        raise UserError("run_dir", f"{given} is not a folder")
    if (folder / directory.STUDY).is_file() or (folder / directory.CONFIG).is_file():
        raise UserError("run_dir", f"{given} is the folder of a run or of another study", "give another folder")
    return folder


def _foot(found: list[Problem], protocol: Protocol, folder: Path) -> list[str]:
    """Return the lines below the table: what its numbers are."""
    what = {
        "test": "the mean skill on test rows, larger is better",
        "primary": f"{', '.join(dict.fromkeys(one.found.by.metric for one in found))} on test rows",
        "distance": "how far behind the front of static weights, in skill; below 0 beyond it",
    }[protocol.measure]
    over = found[0].found.repeats.said
    said = [f"{what}; mean ± half of the 95 % interval over {over}; rank: mean over {len(found)} columns"]
    if protocol.search:
        said.append(f"chosen for each method on validation rows: {' '.join(protocol.search)}")
    if protocol.baseline:
        said.append(f"↑ ↓: significantly better or worse than {protocol.baseline}, all methods compared at once")
    return [*said, f"the runs are in {folder}, a study for each problem: mtl compare {folder / found[0].name}"]
