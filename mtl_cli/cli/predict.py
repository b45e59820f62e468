"""`mtl predict`: predictions for new rows."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mtl_cli.cli.arguments import Parser, notice
from mtl_cli.config.errors import UserError
from mtl_cli.inference.formats.base import format_of, formats


def parser() -> Parser:
    """Return the parser of the arguments."""
    result = Parser(
        "mtl predict",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Predict the tasks of new rows. No labels are needed; order and ids are kept.",
        epilog="""\
output columns: the id column (or row, from 0), and for each task
  predicted_TASK             the number or label; residue: a label per residue
  predicted_TASK_prob        binary: probability of the positive label;
                             multiclass: of the predicted label;
                             residue: the mean of that over the residues
  predicted_TASK_prob_LABEL  multilabel: probability of each label

examples:
  mtl predict outputs/2026-01-31_12-00-00_wine_gradnorm wines.csv > scored.csv
  mtl predict RUN new_wines.parquet -o scored.parquet
  mtl predict RUN cells.h5ad -o labelled.h5ad --vote leiden
                             a copy with the columns in its obs
  mtl predict RUN t10k-images-idx3-ubyte.gz
                             images: idx, .npz or .npy files
  mtl predict RUN fashion=t10k-images-idx3-ubyte.gz
                             joined data sets: the one that the file belongs to
  cat new_wines.csv | mtl predict RUN --format jsonl | head""",
    )
    result.add_argument("run", metavar="RUN", help="the folder of a run, or its mtl_model.pt")
    result.add_argument("data", metavar="DATA", nargs="?", default="-", help="a table, or - for CSV on stdin (default)")
    result.add_argument(
        "-o", "--output", metavar="FILE", help="write to this file instead of stdout; it is never left half written"
    )
    result.add_argument("--format", choices=list(formats()), help="by default as FILE's ending says, else csv")
    result.add_argument(
        "--hierarchy",
        choices=["report", "enforce", "none"],
        help="what to do about labels of one level that contradict another's, if not what the run's config says",
    )
    result.add_argument("--vote", metavar="COLUMN", help="rows of one value take the label that most of them have")
    return result


def run(argv: list[str]) -> int:
    """Run ``mtl predict`` with these arguments."""
    arguments = parser().parse_args(argv)
    form = formats()[arguments.format or format_of(arguments.output)]
    from mtl_cli.runs.model_file import find_model

    find_model(arguments.run)
    if arguments.output and not Path(arguments.output).expanduser().absolute().parent.is_dir():
        raise UserError(arguments.output, "its folder does not exist")
    if arguments.data == "-" and sys.stdin.isatty():
        raise UserError("DATA", "needs a value", "give a table, or pipe CSV to stdin")
    form.check(arguments.output, arguments.data)

    from mtl_cli.inference.trained import TrainedModel
    from mtl_cli.io import atomic

    model = TrainedModel.load(arguments.run)
    model.hierarchy(arguments.hierarchy)
    examples = model.read(arguments.data, notice)
    predicted = model.predict(examples, notice, arguments.hierarchy, arguments.vote)
    if arguments.output:
        output = Path(arguments.output).expanduser()
        try:
            if output.exists() and not output.is_file():  # such as /dev/stdout, which no file may replace
                form.write(predicted, output, examples.where)
            else:
                atomic(output, lambda file: form.write(predicted, file, examples.where))
        except OSError as error:
            raise UserError(arguments.output, f"cannot be written: {error.strerror}") from error
    elif isinstance(content := form.encode(predicted, examples.where), str):
        print(content, end="")
    else:
        sys.stdout.buffer.write(content)
    return 0
