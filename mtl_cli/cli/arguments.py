"""What the subcommands with fixed arguments share."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any, NoReturn

from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.io import user_path


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, with the nearest valid name."""

    @property
    def flags(self) -> list[str]:
        """The long flags."""
        return [flag for flag in self._option_string_actions if flag.startswith("--")]

    def choices_of(self, flag: str) -> list[str]:
        """Return the values that a flag may have; none where they are not listed."""
        action = self._option_string_actions.get(flag)
        return [] if action is None or action.choices is None else [str(choice) for choice in action.choices]

    def error(self, message: str) -> NoReturn:
        if found := re.search(r"unrecognized arguments: (-[^ =]+)", message):
            message = f"unknown flag {found[1]}; {did_you_mean(found[1], self._option_string_actions)}"
        elif found := re.search(r"argument (\S+): invalid choice: '(.*)' \(choose from (.*)\)", message):
            options = [option.strip("' ") for option in found[3].split(",")]
            message = f"{found[1]}: there is no '{found[2]}'; {did_you_mean(found[2], options)}"
        print(f"{self.prog}: error: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


READING_KEYS = """\
how a new file is read, where not as the training file was: keys of the data
set, such as
  dataset.separator=';' dataset.decimal=, dataset.encoding=latin-1
                             tables; a separator is also found by itself
  dataset.layer=counts dataset.use_raw=true dataset.genes.names=symbol
                             cells
  dataset.max_length=500 dataset.truncate=true
                             sequences
"""


def add_format(parser: argparse.ArgumentParser) -> None:
    """Give a command the flag ``--format``, of the rows that it prints."""
    from mtl_cli.reports.rows import FORMATS

    shown = "of the rows on stdout; by default a table on a terminal, and CSV in a pipe"
    parser.add_argument("--format", choices=FORMATS, help=shown)


def take_format(argv: list[str]) -> tuple[str | None, list[str]]:
    """Take ``--format`` out of the words of a command that takes those of `mtl train`; None if it is not there."""
    from mtl_cli.reports.rows import FORMATS

    style, rest, words = None, list[str](), list(argv)
    while words:
        word = words.pop(0)
        flag, equals, value = word.partition("=")
        if flag != "--format":
            rest.append(word)
            continue
        if not equals and not words:
            raise UserError(flag, "needs a value", " or ".join(FORMATS))
        style = value if equals else words.pop(0)
        if style not in FORMATS:
            raise UserError(flag, f"'{style}' is not a format", did_you_mean(style, FORMATS))
    return style, rest


def take_keys(argv: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Take the words ``dataset.KEY=VALUE`` out of the arguments; return the others, and the values by key."""
    rest = [word for word in argv if not word.startswith("dataset.") or "=" not in word]
    if len(rest) == len(argv):
        return rest, {}
    from mtl_cli.config.values import read_value

    pairs = [word.removeprefix("dataset.").split("=", 1) for word in argv if word not in rest]
    return rest, {key: read_value(text) for key, text in pairs}


def refuse_settings(data: str | None, prog: str) -> None:
    """Raise UserError if what stands for the data is a setting of training, such as ``trainer.epochs=3``."""
    name, equals, _ = (data or "").partition("=")
    if equals and "." in name and "/" not in name:
        raise UserError(name, f"{prog} takes no such key", f"{prog} --help lists those of how a file is read")


def free_folder(name: str) -> Path:
    """Return the folder to draw in. Raises UserError if it holds anything, or cannot be made."""
    folder = user_path(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(name, "already exists", "give another folder for the figures")
    if not folder.absolute().parent.is_dir():
        raise UserError(name, "its folder does not exist")
    return folder


def new_file(name: str, force: bool | None = None) -> Path:
    """Return the path of a file that is to be written.

    Parameters
    ----------
    name : str
    force : bool, optional
        Whether a file that is there may be replaced; None where the command has no such flag.

    Raises
    ------
    UserError
        If it is there and must not be replaced, or its folder is not there.
    """
    path = user_path(name)
    if path.is_dir():
        raise UserError(name, "is a folder, not a file")
    if path.exists() and not force:
        hint = "give another file" + (", or add --force to replace it" if force is not None else "")
        raise UserError(name, "already exists", hint)
    if not path.absolute().parent.is_dir():
        raise UserError(name, "its folder does not exist")
    return path


def notice(line: str) -> None:
    """Print a line that the user should see."""
    print(f"note: {line}", file=sys.stderr)


def tell_unfinished(run: str) -> None:
    """Say so if a model is of a run that has not ended well: its weights are those of the best epoch until then."""
    from mtl_cli.runs.directory import RUN
    from mtl_cli.runs.model_file import find_model
    from mtl_cli.runs.pack import beside

    status = (beside(find_model(run), RUN) or {}).get("status", "done")
    if status != "done":
        how = {"running": "has not ended", "failed": "failed"}.get(status, f"was {status}")
        notice(f"the run of {run} {how}: the model is that of its best epoch so far; mtl train resume={run} goes on")
