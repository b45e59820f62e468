"""`mtl evaluate`: metrics of a trained model."""

from __future__ import annotations

import argparse

from mtl_cli.cli.arguments import Parser, notice


def parser() -> Parser:
    """Return the parser of the arguments."""
    result = Parser(
        "mtl evaluate",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measure a trained model: metrics as JSON on stdout, as a table on stderr.",
        epilog="""\
examples:
  mtl evaluate RUN | jq .score
  mtl evaluate RUN new_wines_with_labels.csv""",
    )
    result.add_argument("run", metavar="RUN", help="the folder of a run, or its mtl_model.pt")
    result.add_argument(
        "data",
        metavar="DATA",
        nargs="?",
        help="a table or images with labels, NAME=DATA where data sets are joined; by default the run's own test rows",
    )
    return result


def run(argv: list[str]) -> int:
    """Run ``mtl evaluate`` with these arguments."""
    arguments = parser().parse_args(argv)
    from mtl_cli.runs.model_file import find_model

    find_model(arguments.run)
    from mtl_cli.inference.trained import TrainedModel
    from mtl_cli.io import to_json
    from mtl_cli.reports.console import UNSEEN, print_metrics, stderr_console

    model = TrainedModel.load(arguments.run)
    console = stderr_console()
    if arguments.data is None:
        found = model.evaluate_test(notice)
    else:
        found = model.evaluate(model.read(arguments.data, notice), notice)
    title = f"the test rows of {found.where}" if arguments.data is None else found.where
    print_metrics(console, found.report, found.tasks, title)
    if "unseen" in found.report:
        print_metrics(console, found.report["unseen"], found.tasks, UNSEEN)
    print(to_json({"data": found.where, **found.report}))
    return 0
