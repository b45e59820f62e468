"""`mtl list`: what there is to choose from."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from mtl_cli.cli.arguments import Parser
from mtl_cli.cli.train_help import describe_choice, first_sentence
from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.config.paths import conf_dir, options, plugin_conf_dirs
from mtl_cli.config.registry import components, plugins

if TYPE_CHECKING:
    from mtl_cli.balancing.base import Balancer

GROUPS = {
    "datasets": ("dataset", "data sets and kinds of files, dataset=NAME"),
    "models": ("model", "the trunk and the heads, model=NAME"),
    "sharing": ("model/sharing", "which layers the tasks share, model.sharing=NAME"),
    "balancers": ("balancer", "how the task losses are weighted, balancer=NAME"),
    "regularizers": ("regularizer", "what ties the tasks' heads together, regularizer=NAME"),
    "optimizers": ("optimizer", "optimizer=NAME"),
    "schedulers": ("scheduler", "the learning rate over the epochs, scheduler=NAME"),
    "callbacks": ("callback", "trackers, callback=NAME"),
    "experiments": ("experiment", "whole recipes, experiment=NAME"),
    "spaces": ("tune", "what a search varies, mtl tune tune=NAME"),
    "benchmarks": ("benchmark", "studies with a written protocol, mtl benchmark NAME"),
    "tasks": ("task", "kinds of tasks, tasks='{COLUMN: KIND}'"),
    "runs": ("", "runs and studies below a folder: mtl list runs [FOLDER]"),
    "plugins": ("", "installed plugins, what they add, and what failed"),
}
"""What can be listed: the config group or registry group, and what it is."""

NARROWEST = 16
"""Characters that the last column keeps in a narrow terminal."""
Row = dict[str, Any]


def parser() -> Parser:
    """Return the parser of the arguments."""
    result = Parser(
        "mtl list",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Show what there is to choose from, as a table on stdout.",
        epilog="""\
examples:
  mtl list balancers
  mtl list balancers --json | jq -r '.[] | select(.needs == "losses").name'
  mtl list balancers --json | jq -r '.[] | "\\(.name) \\(.paper)"'      sources in full
  mtl list runs outputs balancer=gradnorm status=done --sort score""",
    )
    result.add_argument("what", metavar="WHAT", nargs="?", help=f"one of {', '.join(GROUPS)}; by default this list")
    result.add_argument("--json", action="store_true", help="print a JSON list")
    result.add_argument("words", metavar="…", nargs="*", help="of runs: the folder, and KEY=VALUE that they must have")
    result.add_argument("--sort", metavar="COLUMN", help="of runs: began (the default), score, seconds, name, …")
    return result


def run(argv: list[str]) -> int:
    """Run ``mtl list`` with these arguments."""
    arguments = parser().parse_intermixed_args(argv)
    if (arguments.words or arguments.sort) and arguments.what != "runs":
        raise UserError(arguments.words[0] if arguments.words else "--sort", "is for mtl list runs")
    if arguments.what is not None and arguments.what not in GROUPS:
        raise UserError(arguments.what, "cannot be listed", _list_of(arguments.what))
    if arguments.what == "runs":
        from mtl_cli.studies.find import list_runs

        rows = list_runs(arguments.words, arguments.sort)
    else:
        rows = overview() if arguments.what is None else table(arguments.what)
    if not rows and not arguments.json and arguments.what == "runs":
        print("no runs or studies there", file=sys.stderr)
        return 0
    if not rows and not arguments.json:
        print("none; a plugin appears here once its package is installed (mtl help plugins)", file=sys.stderr)
        return 0
    if arguments.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    elif sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        print(aligned(fitted(rows, width), width))
    else:
        print(aligned(rows))
    return 0


def _list_of(name: str) -> str | None:
    """Say which list a name is in, or which list's name is near."""
    for what in (what for what in GROUPS if what != "runs"):
        if any(row["name"] == name for row in table(what)):
            return f"mtl list {what} shows it"
    return did_you_mean(name, GROUPS)


def overview() -> list[Row]:
    """Return what can be listed."""
    return [{"list": f"mtl list {name}", "what": text} for name, (_, text) in GROUPS.items()]


def table(what: str) -> list[Row]:
    """Return one kind of thing, a row each, sorted by name; ``what`` is a key of ``GROUPS``."""
    group = GROUPS[what][0]
    if what == "plugins":
        return _plugins()
    if what == "tasks":
        return [{"name": name, "what": first_sentence(cls.__doc__)} for name, cls in components(group).items()]
    folders = [conf_dir(), *plugin_conf_dirs()]
    rows: list[Row] = []
    for name in options(group, folders):
        row: Row = {"name": name, "what": describe_choice(group, name, folders)}
        if what == "balancers":
            cls: type[Balancer] = components(group)[name]
            cost = cls.cost.replace("and ", "+ ", 1)
            row = {"name": name, "needs": cls.needs, "cost": cost, "paper": cls.paper, "what": row["what"]}
        rows.append(row)
    return rows


def _plugins() -> list[Row]:
    return [
        {
            "name": plugin.name,
            "package": plugin.package,
            "version": plugin.version,
            "adds": "" if plugin.fault else ", ".join(key.replace(".", " ", 1) for key in plugin.adds),
            "left out": plugin.fault or "",
        }
        for plugin in plugins()
    ]


def fitted(rows: list[Row], width: int) -> list[Row]:
    """Return rows with papers by author and year alone where they would not fit; ``--json`` has the sources in full."""
    if "paper" not in rows[0] or max(map(len, aligned(rows).splitlines())) <= width:
        return rows
    return [{**row, "paper": row["paper"].partition(",")[0]} for row in rows]


def aligned(rows: list[Row], width: int | None = None) -> str:
    """Return rows as plain text in aligned columns, with a heading; the column ``what`` of balancers is left out.

    With a ``width`` the last column is wrapped to it, as a terminal would break words. Elsewhere a row stays one line.
    """
    columns = [key for key in rows[0] if not (key == "what" and "paper" in rows[0])]
    cells = [columns, *([str(row[column]) for column in columns] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    indent = sum(widths[:-1]) + 2 * (len(columns) - 1)
    lines: list[str] = []
    for *others, last in cells:
        start = "".join(f"{cell:<{size}}  " for cell, size in zip(others, widths, strict=False))
        texts = [last] if width is None else textwrap.wrap(last, max(width - indent, NARROWEST)) or [""]
        lines += [(" " * indent if i else start) + text for i, text in enumerate(texts)]
    return "\n".join(line.rstrip() for line in lines)
