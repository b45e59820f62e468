"""The `mtl` command: finds the subcommand, and turns what happens into exit codes.

Imports nothing at the top but what has to be there before signals can be seen to.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from mtl_cli import __version__

if TYPE_CHECKING:
    from mtl_cli.config.errors import UserError

SHOWN = 20
"""Problems that are printed; the rest is counted."""

HELP = """\
usage: mtl COMMAND …

Train one network on many tasks, from YAML.

commands:
{commands}

first steps:
  mtl train dataset=wine balancer=gradnorm  a first model, on built-in data
  mtl train --help                          data sets, models, balancers, keys
  mtl train dataset=my.csv tasks='{{price: regression, sold: binary}}'
  mtl predict RUN new.csv > scored.csv      RUN is the folder of a trained model
  mtl evaluate RUN

tab completion:
  eval "$(mtl -sc install=bash)"            or zsh (with bashcompinit), or fish

options:
  -h, --help     this text; `mtl COMMAND --help` says more
  --version      {version}
"""


def main() -> NoReturn:
    """Run the command line and exit with its status."""
    from mtl_cli.cli.streams import open_streams

    open_streams()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # before and after the command, Ctrl-C makes no traceback
    sys.exit(run(sys.argv[1:]))


def run(argv: list[str]) -> int:
    """Run ``mtl`` with these arguments.

    Returns
    -------
    int
        0 done, 2 the user's input, 130 Ctrl-C, 141 a closed pipe. SIGTERM, or a terminal that is closed, raises
        SystemExit(143), or ends the process (see ``signals``); a bug of ours passes through as it is.
    """
    from mtl_cli import signals

    with signals.handling(f"mtl {argv[0]}" if argv and not argv[0].startswith("-") else "mtl"):
        return _run(argv)


def _run(argv: list[str]) -> int:
    from mtl_cli import signals
    from mtl_cli.cli.streams import STDOUT, give_up
    from mtl_cli.config.errors import UserError
    from mtl_cli.config.machine import user_error

    names = ["mtl"]
    try:
        return _command(argv, names)
    except UserError as error:
        return _refused(names[-1], error)
    except KeyboardInterrupt:
        _say(signals.told(names[-1], signal.SIGINT))
        return 130
    except SystemExit as stop:
        if stop.code == 128 + signal.SIGTERM:
            _say(signals.told(names[-1], signal.SIGTERM))
        raise
    except BrokenPipeError:
        give_up(sys.stdout)
        return 141
    except (OSError, MemoryError, RuntimeError) as error:  # RecursionError is one, and so is torch's own want of memory
        found = user_error(error)
        if found is None:
            raise
        if isinstance(error, OSError) and error.filename == STDOUT:
            give_up(sys.stdout)
        return _refused(names[-1], found)


def _command(argv: list[str], names: list[str]) -> int:
    """Run the command, and add to ``names`` what it is called; return its status once stdout has what it printed."""
    from mtl_cli.config.errors import UserError

    for word in argv:
        if not word.isprintable() and any(0xD800 <= ord(letter) < 0xE000 for letter in word):
            shown = word.encode("utf-8", "backslashreplace").decode()
            raise UserError(shown, "is not UTF-8", "rename the file, or set a locale such as LC_ALL=C.UTF-8")
    command = None
    if argv and not argv[0].startswith("-"):
        from mtl_cli.cli.commands import find  # here, so that signals are seen to from the first instant

        command = find(argv[0])
    if command is not None:
        names.append(f"mtl {argv[0]}")
        os.getcwd()  # noqa: PTH109  a folder that is gone is told here: torch's own libraries end the process without it
    try:
        status = _without_command(argv) if command is None else command(argv[1:])
    except SystemExit as stop:  # of argparse, after --help or an error
        if stop.code == 128 + signal.SIGTERM:
            raise
        status = stop.code if isinstance(stop.code, int) else 0
    sys.stdout.flush()
    return status


def _refused(name: str, error: UserError) -> int:
    """Print each problem in a line, the first ones of many; return the exit status."""
    for problem in error.problems[:SHOWN]:
        print(f"{name}: error: {problem}", file=sys.stderr)
    if len(error.problems) > SHOWN:
        print(f"{name}: error: and {len(error.problems) - SHOWN:,} more", file=sys.stderr)
    return 2


def _say(line: str) -> None:
    try:
        print(line, file=sys.stderr)
    except OSError:  # the terminal is gone: what is still to be told must not change the status
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _without_command(argv: list[str]) -> int:
    if not argv:
        print(_help(), end="", file=sys.stderr)
        return 2
    word = argv[0]
    if word in ("-sc", "--shell-completion"):
        from mtl_cli.cli.completion import complete

        return complete(argv[1:])
    if word in ("-h", "--help"):
        print(_help(), end="")
        return 0
    if word in ("--version", "-V"):
        print(f"mtl {__version__}")
        return 0
    from mtl_cli.cli.commands import commands
    from mtl_cli.config.errors import UserError, did_you_mean

    what = "unknown option" if word.startswith("-") else "unknown command"
    raise UserError(word, what, did_you_mean(word, [*commands(), "--help", "--version"]))


def _help() -> str:
    from mtl_cli.cli.commands import commands, help_of

    lines = "\n".join(f"  {name:<10} {help_of(command)}" for name, command in commands().items())
    return HELP.format(commands=lines, version=f"print the version ({__version__})")
