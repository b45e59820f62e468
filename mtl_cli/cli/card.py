"""`mtl card`: a run's model card."""

from __future__ import annotations

import argparse

from mtl_cli.cli.arguments import Parser, new_file


def parser() -> Parser:
    """Return the parser of the arguments."""
    result = Parser(
        "mtl card",
        usage="mtl card RUN [-o FILE]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Print a model card in Markdown, filled in from the run: tasks, data, metrics,\n"
        "intended use, limits.",
        epilog="""\
examples:
  mtl card RUN > README.md
  mtl card RUN -o card.md""",
    )
    result.add_argument("run", metavar="RUN", help="the folder of a run, its mtl_model.pt, or a zip of mtl pack")
    result.add_argument("-o", "--output", metavar="FILE", help="write to this file, which must not be there")
    return result


def run(argv: list[str]) -> int:
    """Run ``mtl card`` with these arguments."""
    arguments = parser().parse_args(argv)
    from mtl_cli.runs.model_file import find_model

    find_model(arguments.run)
    path = None if arguments.output is None else new_file(arguments.output)
    text = card(arguments.run)
    if path is None:
        print(text, end="")
        return 0
    from mtl_cli.io import atomic

    atomic(path, lambda file: file.write_text(text, encoding="utf-8"))
    return 0


def card(name: str) -> str:
    """Return the card of a run."""
    from mtl_cli.inference.description import describe
    from mtl_cli.reports.card import card_of
    from mtl_cli.runs.directory import METRICS
    from mtl_cli.runs.model_file import find_model
    from mtl_cli.runs.pack import beside

    return card_of(describe(name), beside(find_model(name), METRICS) or {})
