"""`mtl data fetch`: data sets that are not shipped with mtl."""

from __future__ import annotations

import argparse
import os
import sys
import time

from mtl_cli.cli.arguments import Parser, notice
from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.io import user_path

MIRRORS_VARIABLE = "MTL_DATA_MIRRORS"
SECONDS_BETWEEN_LINES = 5.0


def parser() -> Parser:
    """Return the parser of the arguments."""
    from mtl_cli.data.images.downloads import DATASETS

    result = Parser(
        "mtl data",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Download a data set to where `mtl train` looks for it, and print the paths.",
        epilog=f"""\
data sets: {", ".join(DATASETS)}

Files go to $MTL_DATA_ROOT, or else to mtl in the user's cache folder
($XDG_CACHE_HOME, ~/.cache). Each is checked by its SHA-256 once unpacked;
one that is already there and intact is not downloaded again.

examples:
  mtl data fetch mnist_fashion
  mtl data fetch mnist --root data
  mtl train dataset=mnist dataset.root=data model=cnn""",
    )
    result.add_argument("what", metavar="fetch", help="the only action")
    result.add_argument("name", metavar="NAME", help="one of those below")
    result.add_argument("--root", metavar="FOLDER", help="put the files there")
    result.add_argument(
        "--mirror", metavar="URL", action="append",
        help=f"look there, and nowhere else, for NAME/FILE.gz; may be repeated, or be several in ${MIRRORS_VARIABLE}",
    )  # fmt: skip
    return result


def run(argv: list[str]) -> int:
    """Run ``mtl data`` with these arguments."""
    arguments = parser().parse_args(argv)
    from mtl_cli.data.images.downloads import COME_ALONG, DATASETS, fetch
    from mtl_cli.data.images.files import data_home

    if arguments.what != "fetch":
        raise UserError(arguments.what, "there is no such action", "mtl data fetch NAME")
    if arguments.name in COME_ALONG:
        raise UserError(
            arguments.name, "is shipped with mtl and need not be fetched", f"mtl train dataset={arguments.name}"
        )
    if arguments.name not in DATASETS:
        raise UserError(arguments.name, "cannot be fetched", did_you_mean(arguments.name, DATASETS))
    mirrors = arguments.mirror or os.environ.get(MIRRORS_VARIABLE, "").split() or None
    root = data_home() if arguments.root is None else user_path(arguments.root)
    progress = _Progress()
    try:
        files = fetch(arguments.name, root, mirrors, progress, notice)
    finally:
        progress.stop()
    print("\n".join(str(file) for file in files))
    return 0


class _Progress:
    """Tells on stderr how far a download is: in place in a terminal, elsewhere a line every few seconds."""

    def __init__(self) -> None:
        self._in_place, self._last, self._open = sys.stderr.isatty(), 0.0, False

    def __call__(self, name: str, received: int, total: int | None) -> None:
        done = total is not None and received == total
        if time.monotonic() - self._last < (0.1 if self._in_place else SECONDS_BETWEEN_LINES) and not done:
            return
        self._last = time.monotonic()
        line = f"{name}  {received / 1e6:.1f} MB" + (f" of {total / 1e6:.1f} MB" if total else "")
        print(f"\r{line:<70}" if self._in_place else line, end="" if self._in_place else "\n", file=sys.stderr)
        self._open = self._in_place
        if done:
            self.stop()

    def stop(self) -> None:
        """End the line that is written in place."""
        if self._open:
            print(file=sys.stderr)
        self._open = False
