"""`mtl report`: a run or a study as one HTML file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from mtl_cli.cli.arguments import Parser, new_file, notice
from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.io import atomic, user_path

if TYPE_CHECKING:
    from mtl_cli.reports.page.parts import Page


def parser() -> Parser:
    """Return the parser of the arguments."""
    result = Parser(
        "mtl report",
        usage="mtl report RUN|STUDY [-o FILE.html] [--force]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Write one HTML file about a run or a study: what was learnt from what, metrics\n"
        "beside baselines with intervals, warnings and what to do about them, figures,\n"
        "how to use and how to repeat it. It opens from disk, and loads nothing.",
        epilog="""\
In a pipe the HTML goes to stdout, on a terminal to NAME_report.html here. The
model predicts its test rows again for the figures, if the data are where they
were; else those in the run's folder are shown. mtl help report says more.

examples:
  mtl report outputs/latest
  mtl report RUN -o run.html
  mtl report SWEEP > sweep.html""",
    )
    result.add_argument("run", metavar="RUN|STUDY", help="the folder of a run or of a study, or a zip of mtl pack")
    result.add_argument("-o", "--output", metavar="FILE", help="write to this file; it is never left half written")
    result.add_argument("--force", action="store_true", help="overwrite FILE if it exists")
    return result


def run(argv: list[str]) -> int:
    """Run ``mtl report`` with these arguments."""
    arguments = parser().parse_args(argv)
    from mtl_cli.runs.pack import is_pack, unpacked

    given = user_path(arguments.run)
    with unpacked(given) if is_pack(given) and given.is_file() else nullcontext(arguments.run) as run_folder:
        return _write(str(run_folder), arguments)


def _write(name: str, arguments: argparse.Namespace) -> int:
    """Write the report of a folder."""
    folder, make = page_of(name)
    output = arguments.output
    if output is None and sys.stdout.isatty():
        output = f"{folder.absolute().name}_report.html"
    path = None if output is None else new_file(output, arguments.force)
    from mtl_cli.reports.page.write import to_html

    text = to_html(make(folder, arguments.run, notice))
    if path is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8"))  # as the page says, whatever the terminal's encoding is
        return 0
    atomic(path, lambda file: file.write_text(text, encoding="utf-8"))
    print(output)
    return 0


def page_of(name: str) -> tuple[Path, Callable[[Path, str, Callable[[str], None]], Page]]:
    """Return a run's or a study's folder, and what makes the report of one. Raises UserError if it is neither."""
    from mtl_cli.runs.directory import MODEL, RUN, STUDY

    given = user_path(name)
    folder = given.parent if given.name == MODEL and given.is_file() else given
    if not folder.exists():
        near = [str(file.parent) for file in sorted(folder.parent.glob(f"*/{RUN}"))] if folder.parent.is_dir() else []
        raise UserError(name, "there is no such run or study", did_you_mean(name, near) or "give its folder")
    if (folder / STUDY).is_file():
        from mtl_cli.studies.page import study_page

        return folder, study_page
    if (folder / RUN).is_file():
        from mtl_cli.reports.page.run import run_page

        return folder, run_page
    raise UserError(name, "is neither the folder of a run nor of a study", "mtl list runs finds them")
