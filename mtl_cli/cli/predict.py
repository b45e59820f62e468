"""`mtl predict`: predictions for new rows."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mtl_cli.cli.arguments import Parser, notice
from mtl_cli.config.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

FORMATS = {"csv": (".csv",), "parquet": (".parquet", ".pq"), "jsonl": (".jsonl", ".ndjson")}


def parser() -> Parser:
    """Return the parser of the arguments."""
    result = Parser(
        "mtl predict",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Predict the tasks of new rows. Label columns are not needed; order and ids are kept.",
        epilog="""\
output columns: the id column (or row, from 0), and for each task
  predicted_TASK               the number, or the label; residue: a label for each residue
  predicted_TASK_prob          binary: probability of the positive label; multiclass: of the predicted label;
                               residue: the mean over residues of that
  predicted_TASK_prob_LABEL    multilabel: probability of each label

examples:
  mtl predict outputs/2026-01-31_12-00-00_wine_gradnorm new_wines.csv > scored.csv
  mtl predict RUN new_wines.parquet -o scored.parquet
  cat new_wines.csv | mtl predict RUN --format jsonl | head""",
    )
    result.add_argument("run", metavar="RUN", help="the folder of a run, or its mtl_model.pt")
    result.add_argument("data", metavar="DATA", nargs="?", default="-", help="a table, or - for CSV on stdin (default)")
    result.add_argument("-o", "--output", metavar="FILE", help="write here, whole or not at all, instead of to stdout")
    result.add_argument("--format", choices=list(FORMATS), help="csv, or what FILE's name tells, by default")
    return result


def run(argv: list[str]) -> int:
    """Run ``mtl predict`` with these arguments."""
    arguments = parser().parse_args(argv)
    form = arguments.format or _format_of(arguments.output)
    from mtl_cli.runs.model_file import find_model

    find_model(arguments.run)
    if arguments.output and not Path(arguments.output).expanduser().absolute().parent.is_dir():
        raise UserError(arguments.output, "its folder does not exist")
    if arguments.data == "-" and sys.stdin.isatty():
        raise UserError("DATA", "needs a value", "give a table, or pipe CSV to stdin")

    from mtl_cli.inference.trained import TrainedModel
    from mtl_cli.runs.directory import atomic

    model = TrainedModel.load(arguments.run)
    predicted = model.predict(model.read(arguments.data, notice))
    if arguments.output:
        output = Path(arguments.output).expanduser()
        try:
            if output.exists() and not output.is_file():  # such as /dev/stdout, which no file may replace
                _write(predicted, output, form)
            else:
                atomic(output, lambda file: _write(predicted, file, form))
        except OSError as error:
            raise UserError(arguments.output, f"cannot be written: {error.strerror}") from error
    elif form == "parquet":
        sys.stdout.buffer.write(predicted.to_parquet(index=False))
    else:
        print(_as_text(predicted, form), end="")
    return 0


def _format_of(output: str | None) -> str:
    if output is None:
        return "csv"
    for form, suffixes in FORMATS.items():
        if output.lower().endswith(suffixes):
            return form
    suffix = Path(output).suffix
    known = [suffix for suffixes in FORMATS.values() for suffix in suffixes]
    raise UserError(output, f"no format is known by '{suffix}'", f"{did_you_mean(suffix, known)}, or give --format")


def _write(table: pd.DataFrame, file: Path, form: str) -> None:
    if form == "parquet":
        table.to_parquet(file, index=False)
    else:
        file.write_text(_as_text(table, form), encoding="utf-8")


def _as_text(table: pd.DataFrame, form: str) -> str:
    if form == "jsonl":
        return table.to_json(orient="records", lines=True, force_ascii=False)
    return table.to_csv(index=False)
