"""`mtl predict`: predictions for new rows."""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from mtl_cli.cli.arguments import READING_KEYS, Parser, notice, refuse_settings, take_keys, tell_unfinished
from mtl_cli.config.errors import UserError
from mtl_cli.inference.formats.base import Format, format_of, formats
from mtl_cli.inference.formats.formulas import Formulas
from mtl_cli.io import atomic, naming, user_path
from mtl_cli.tasks.answer_columns import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd


def parser() -> Parser:
    """Return the parser of the arguments."""
    result = Parser(
        "mtl predict",
        usage="mtl predict RUN [DATA] [-o FILE] [options] [dataset.KEY=VALUE ...]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Predict the tasks of new rows. No labels are needed; order and ids are kept.",
        epilog=_epilog(),
    )
    result.add_argument("run", metavar="RUN", help="the folder of a run, or its mtl_model.pt")
    result.add_argument("data", metavar="DATA", nargs="?", default="-", help="a table, or - for CSV on stdin (default)")
    result.add_argument(
        "-o", "--output", metavar="FILE", help="write to this file instead of stdout; it is never left half written"
    )
    result.add_argument("--force", action="store_true", help="overwrite FILE if it exists")
    result.add_argument("--format", choices=list(formats()), help="by default what FILE's ending says, otherwise csv")
    result.add_argument(
        "--probabilities",
        choices=["predicted", "all"],
        default="predicted",
        help="whether to write the probability of the predicted class (default) or of every class",
    )
    result.add_argument(
        "--formulas",
        choices=["keep", "quote"],
        default="keep",
        help="CSV text that a spreadsheet would run as a formula, such as =A1: kept (default), or with ' in front",
    )
    result.add_argument(
        "--hierarchy",
        choices=["report", "enforce", "none"],
        help="what to do about labels of one level that contradict another's, if not what the run's config says",
    )
    result.add_argument(
        "--unknown",
        metavar="SHARE",
        action="append",
        default=[],
        help="answer only what the model is sure of, so that this share of the answers is right by the run's validation"
        " rows, and write 'unknown' for the rest: 0.95, or TASK=0.95; may be given several times",
    )
    result.add_argument(
        "--vote", metavar="COLUMN", help="give all rows with the same value the label that most of them have"
    )
    return result


def _epilog() -> str:
    """Return what `--help` says of the answers' columns, and examples."""
    return f"""\
output columns: the id column (or row, from 0), and for each task
{_columns()}
  predicted_sure, predicted_sure_level
                             --unknown, tasks that are levels: the label of the
                             finest level that is sure, and that level

{READING_KEYS}
examples:
  mtl predict outputs/2026-01-31_12-00-00_wine_gradnorm wines.csv > scored.csv
  mtl predict RUN new_wines.parquet -o scored.parquet
  mtl predict RUN german.csv dataset.decimal=, dataset.encoding=latin-1
  mtl predict RUN cells.h5ad -o labelled.h5ad --vote leiden
                             a copy with the columns in its obs
  mtl predict RUN t10k-images-idx3-ubyte.gz
                             images: idx, .npz or .npy files
  mtl predict RUN fashion=t10k-images-idx3-ubyte.gz
                             joined data sets: the one that the file belongs to
  cat new_wines.csv | mtl predict RUN --format jsonl | head"""


def _columns() -> str:
    """Return a line or more for each kind of column that answers have."""
    lines = []
    for kind in KINDS:
        name = f"  {kind.named('TASK', kind.example):<26} "
        lines.append(textwrap.fill(kind.meaning, 78, initial_indent=name, subsequent_indent=" " * 29))
    return "\n".join(lines)


def run(argv: list[str]) -> int:
    """Run ``mtl predict`` with these arguments."""
    rest, given = take_keys(argv)
    arguments = parser().parse_args(rest)
    form = formats()[arguments.format or format_of(arguments.output)]
    from mtl_cli.runs.model_file import find_model

    model_file = find_model(arguments.run)
    refuse_settings(arguments.data, "mtl predict")
    if arguments.output:
        _check_output(
            arguments.output, [arguments.data.rpartition("=")[2], arguments.data, model_file], arguments.force
        )
    if arguments.data == "-" and sys.stdin.isatty():
        raise UserError("DATA", "needs a value", "give a table, or pipe CSV to stdin")
    form.check(arguments.output, arguments.data)

    from mtl_cli.inference.trained import TrainedModel

    model = TrainedModel.load(arguments.run).with_keys(given)
    tell_unfinished(arguments.run)
    model.hierarchy(arguments.hierarchy)
    model = model.with_unknown(arguments.unknown, notice, arguments.hierarchy)
    every = arguments.probabilities == "all"
    tables = model.stream(arguments.data, notice, arguments.hierarchy, arguments.vote, every)
    if form.for_spreadsheets:
        tables = Formulas(arguments.formulas).of(tables, notice)
    source = arguments.data.partition("=")[2] if model.config.dataset.members else arguments.data
    _write(tables, form, arguments.output, source)
    return 0


def _check_output(output: str, inputs: list[str | Path], force: bool) -> None:
    """Raise UserError if a file cannot be written there, is read from, or already exists and not to be replaced."""
    path = user_path(output)
    if not path.absolute().parent.is_dir():
        raise UserError(output, "its folder does not exist")
    if path.is_dir():
        raise UserError(output, "is a folder, not a file")
    if not path.is_file():  # a new file, or such as /dev/stdout
        return
    read = [file.stat() for file in (user_path(name) for name in inputs) if file.exists()]
    if not sys.stdin.isatty():
        read += _standard_input()
    if any(os.path.samestat(path.stat(), file) for file in read):
        raise UserError(output, "is read from, and is never overwritten", "give another file")
    if not force:
        raise UserError(output, "already exists", "give another file, or add --force to replace it")


def _standard_input() -> list[os.stat_result]:
    """Return what standard input is, if it is open: ``< new.csv`` makes it a file as any other."""
    try:
        return [os.fstat(0)]
    except OSError:
        return []


def _write(tables: Iterator[pd.DataFrame], form: Format, output: str | None, source: str) -> None:
    """Write tables one below the other to a file, whole or not at all, or to stdout as they come."""
    if output is None:
        form.stream(tables, sys.stdout.buffer, source)
        return
    path = user_path(output)
    if path.exists() and not path.is_file():  # such as /dev/stdout, which no file may replace
        with naming(path):
            form.save(tables, path, source)
    else:
        atomic(path, lambda file: form.save(tables, file, source))
