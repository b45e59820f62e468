"""The `mtl` command: finds the subcommand, and turns what happens into exit codes.

Imports nothing at the top but what has to be there before signals can be seen to.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

from mtl_cli import __version__

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
    from mtl_cli.config.errors import UserError

    name = "mtl"
    try:
        command = None
        if argv and not argv[0].startswith("-"):
            from mtl_cli.cli.commands import find  # here, so that signals are seen to from the first instant

            command = find(argv[0])
        if command is not None:
            name = f"mtl {argv[0]}"
        status = _without_command(argv) if command is None else command(argv[1:])
        sys.stdout.flush()
        return status
    except UserError as error:
        for problem in error.problems:
            print(f"{name}: error: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        _say(signals.told(name, signal.SIGINT))
        return 130
    except SystemExit as stop:
        if stop.code == 128 + signal.SIGTERM:
            _say(signals.told(name, signal.SIGTERM))
        raise
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit would fail again
        return 141


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
