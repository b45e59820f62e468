"""`mtl export`: a trained model for another system."""

from __future__ import annotations

import argparse

from mtl_cli.cli.arguments import Parser, new_file, notice, tell_unfinished
from mtl_cli.io import user_path

FORMATS = ("onnx", "torch-export", "safetensors")


def parser() -> Parser:
    """Return the parser of the arguments."""
    result = Parser(
        "mtl export",
        usage="mtl export RUN --format onnx|torch-export|safetensors [-o FILE]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Write a trained model for another system, and print the file's name.",
        epilog="""\
onnx          one graph: an input per column (numbers, texts), a prediction per
              task; encoding, members' mean and link functions are within
torch-export  the same as a torch.export program; texts are codes of levels
safetensors   the weights, and in its metadata how all else was fitted

examples:
  mtl export RUN --format onnx
  mtl export RUN --format safetensors -o weights.safetensors""",
    )
    result.add_argument("run", metavar="RUN", help="the folder of a run, its mtl_model.pt, or a zip of mtl pack")
    result.add_argument("--format", choices=FORMATS, required=True)
    result.add_argument(
        "-o", "--output", metavar="FILE", help="by default the run's name with the format's ending, here"
    )
    return result


def run(argv: list[str]) -> int:
    """Run ``mtl export`` with these arguments."""
    arguments = parser().parse_args(argv)
    from mtl_cli.runs.model_file import find_model

    file = find_model(arguments.run)
    from mtl_cli.inference.export.files import ENDINGS, check_packages, write_export

    check_packages(arguments.format)
    tell_unfinished(arguments.run)
    given = user_path(arguments.run)
    stem = given.absolute().name if given.is_dir() else file.stem
    output = arguments.output or f"{stem}{ENDINGS[arguments.format]}"
    path = new_file(output)
    left_out = write_export(arguments.run, arguments.format, path)
    if left_out:
        notice(f"not in {output}: {', '.join(left_out)}")
    notice(f"{output}: {path.stat().st_size / 1e3:,.0f} kB")
    print(output)
    return 0
