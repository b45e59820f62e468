"""`mtl pack`: a run as one zip to give away."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtl_cli.cli.arguments import Parser, new_file, notice
from mtl_cli.config.errors import UserError
from mtl_cli.io import user_path


def parser() -> Parser:
    """Return the parser of the arguments."""
    result = Parser(
        "mtl pack",
        usage="mtl pack RUN [-o FILE.zip] [--rows]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Make one zip of a run: model, card, config, metrics, history and checksums.",
        epilog="""\
mtl predict, evaluate, explain, inspect and card take the zip as it is.

examples:
  mtl pack RUN -o wine.zip && mtl predict wine.zip new_wines.csv
  mtl pack RUN --rows                       with splits.csv and predictions.csv""",
    )
    result.add_argument("run", metavar="RUN", help="the folder of a finished run")
    result.add_argument("-o", "--output", metavar="FILE", help="by default the folder's name with .zip, here")
    result.add_argument("--rows", action="store_true", help="also pack the files that name or show single rows")
    return result


def run(argv: list[str]) -> int:
    """Run ``mtl pack`` with these arguments."""
    arguments = parser().parse_args(argv)
    from mtl_cli.cli.card import card
    from mtl_cli.runs.model_file import find_model
    from mtl_cli.runs.pack import SUFFIX, is_pack, write_pack

    folder = find_model(arguments.run).parent
    if not user_path(arguments.run).is_dir():
        raise UserError(arguments.run, "is not the folder of a run", "a zip is made of a whole run")
    output = arguments.output or f"{folder.absolute().name}{SUFFIX}"
    if not is_pack(Path(output)):
        raise UserError(output, "is not the name of a zip file", f"-o {Path(output).name}{SUFFIX}")
    path = new_file(output)
    names = write_pack(folder, path, card(arguments.run), arguments.rows)
    notice(f"{output}: {', '.join(names)}; {path.stat().st_size / 1e6:.2g} MB")
    print(output)
    return 0
