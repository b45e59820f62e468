"""`mtl evaluate`: metrics of a trained model."""

from __future__ import annotations

import argparse
import sys

from mtl_cli.cli.arguments import READING_KEYS, Parser, free_folder, notice, refuse_settings, take_keys, tell_unfinished
from mtl_cli.config.errors import UserError


def parser() -> Parser:
    """Return the parser of the arguments."""
    result = Parser(
        "mtl evaluate",
        usage="mtl evaluate RUN [DATA] [options] [dataset.KEY=VALUE ...]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measure a trained model: a table on a terminal, metrics as JSON in a pipe.",
        epilog=f"""\
What is measured is what `mtl predict` writes with the same options. Labels of
classes that the run does not know are named, and not measured.

{READING_KEYS}
examples:
  mtl evaluate RUN | jq .score
  mtl evaluate RUN new_wines_with_labels.csv --plots figures
  mtl evaluate RUN cells.h5ad --vote leiden dataset.layer=counts""",
    )
    result.add_argument("run", metavar="RUN", help="the folder of a run, or its mtl_model.pt")
    result.add_argument(
        "data",
        metavar="DATA",
        nargs="?",
        help="a table or images with labels, NAME=DATA where data sets are joined; by default the run's own test rows",
    )
    result.add_argument("--plots", metavar="FOLDER", help="draw predictions against labels there, in a new folder")
    result.add_argument("--json", action="store_true", help="print the JSON on a terminal too")
    result.add_argument("--hierarchy", choices=["report", "enforce", "none"], help="as for mtl predict")
    result.add_argument(
        "--unknown",
        metavar="SHARE",
        action="append",
        default=[],
        help="as for mtl predict; also says what share is answered",
    )
    result.add_argument("--vote", metavar="COLUMN", help="as for mtl predict")
    result.add_argument(
        "--weights", metavar="COLUMN", help="also measure loss and skill with rows weighted by this column"
    )
    return result


def run(argv: list[str]) -> int:
    """Run ``mtl evaluate`` with these arguments."""
    rest, given = take_keys(argv)
    arguments = parser().parse_args(rest)
    from mtl_cli.runs.model_file import find_model

    find_model(arguments.run)
    refuse_settings(arguments.data, "mtl evaluate")
    if given and arguments.data is None:
        what = "is for a file of your own, and none is given: the run's test rows are read as they were"
        raise UserError(f"dataset.{next(iter(given))}", what, "give DATA")
    folder = None if arguments.plots is None else free_folder(arguments.plots)
    from mtl_cli.inference.trained import TrainedModel
    from mtl_cli.io import to_json
    from mtl_cli.reports.console import UNSEEN, about_levels, about_unknown, print_metrics, stderr_console

    model = TrainedModel.load(arguments.run).with_keys(given)
    tell_unfinished(arguments.run)
    model.hierarchy(arguments.hierarchy)
    model = model.with_unknown(arguments.unknown, notice, arguments.hierarchy)
    if arguments.data is None:
        found = model.evaluate_test(notice, arguments.hierarchy, arguments.vote, arguments.weights)
    else:
        examples = model.read(arguments.data, notice)
        found = model.evaluate(examples, notice, arguments.hierarchy, arguments.vote, arguments.weights)
    console = stderr_console()
    title = f"the test rows of {found.where}" if arguments.data is None else found.where
    print_metrics(console, found.report, found.tasks, title)
    for line in (*about_unknown(found.report), *about_levels(found.report)):
        console.print(line, markup=False, soft_wrap=True)
    if arguments.weights is not None:
        weighted = f"weighted by {arguments.weights}: mean skill {found.report['weighted_score']:.4g}"
        console.print(weighted, markup=False, soft_wrap=True)
    if "unseen" in found.report:
        print_metrics(console, found.report["unseen"], found.tasks, UNSEEN)
    if folder is not None:
        from mtl_cli.reports.plots import write_task_plots

        drawn = write_task_plots(folder, found, notice)
        console.print(f"{len(drawn)} figures are in {arguments.plots}", markup=False, soft_wrap=True)
    if arguments.json or not sys.stdout.isatty():
        print(to_json({"data": found.where, **found.report}))
    return 0
