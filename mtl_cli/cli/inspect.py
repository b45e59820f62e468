"""`mtl inspect`: a first look at a data set, without training."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from mtl_cli.cli.arguments import notice
from mtl_cli.config.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from mtl_cli.data.look import Look

HELP = """\
usage: mtl inspect DATA [KEY=VALUE …] [--format table|json]

Show how a data set is read, without training: the rows of each part, each
target's labels, the features by kind, the columns that are left out and why,
and what looks wrong: a column that alone determines a target, a label that is
used as a feature, values far from all others, columns that are twice there,
categories with one row each. Without tasks, the columns alone are looked at.

examples:
  mtl inspect houses.csv
  mtl inspect houses.csv tasks='{price: regression}' dataset.id=house
  mtl inspect wine --format json | jq .features.findings

DATA is a file or the name of a data set (mtl list datasets); KEY=VALUE is what
mtl train takes.

flags:
  --format table|json                       on stdout; table by default
  --config-dir DIR, --config-name NAME      as for mtl train
  -h, --help                                this text
"""
FORMATS = ("table", "json")


def run(argv: list[str]) -> int:
    """Run ``mtl inspect`` with these arguments."""
    if "-h" in argv or "--help" in argv:
        print(HELP, end="")
        return 0
    style, rest = _format(argv)
    look = _look([_as_data(word, i, rest) for i, word in enumerate(rest)])
    from mtl_cli.data.look import plain
    from mtl_cli.io import to_json
    from mtl_cli.reports.first_look import full_lines

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 100
    print(to_json(plain(look), indent=2) if style == "json" else "\n".join(full_lines(look, width)))
    return 0


def _format(argv: list[str]) -> tuple[str, list[str]]:
    """Take ``--format`` out of the words."""
    style, rest, words = "table", list[str](), list(argv)
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
            raise UserError(flag, f"'{style}' is no format", did_you_mean(style, FORMATS))
    return style, rest


def _as_data(word: str, place: int, words: list[str]) -> str:
    """Return the first word as ``dataset=WORD`` if it is a file or a name."""
    first = next((i for i, other in enumerate(words) if not other.startswith("-") and "=" not in other), None)
    is_config = word.endswith((".yaml", ".yml"))
    after_flag = place > 0 and words[place - 1].startswith("-") and "=" not in words[place - 1]
    return f"dataset={word}" if place == first and not is_config and not after_flag else word


def _look(argv: list[str]) -> Look:
    from mtl_cli.cli.words import read_words
    from mtl_cli.config.check import check_runs, check_words
    from mtl_cli.config.parse import parse

    words = read_words(argv)
    if words.multirun:
        raise UserError("-m", "is for mtl train", "mtl inspect looks at one data set")
    assembler = words.assembler()
    assembled = check_words(words.overrides, assembler, words.problems)
    if assembled.plain.get("tasks"):
        from mtl_cli.training.build import prepare_data

        return prepare_data(check_runs([words.overrides], assembler)[0].config, notice).look()
    look: Look | None = parse(assembled.plain, check=False).dataset.look(notice)
    if look is None:
        raise UserError("tasks", "no task is given", "tasks='{NAME: KIND}' says what is to be learnt")
    return look
