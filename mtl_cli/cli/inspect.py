"""`mtl inspect`: a first look at a data set, without training; or at a trained model, without its data."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from mtl_cli.cli.arguments import notice, take_format
from mtl_cli.config.errors import UserError
from mtl_cli.io import user_path

if TYPE_CHECKING:
    from mtl_cli.data.look import Look

HELP = """\
usage: mtl inspect DATA [KEY=VALUE …] [--format table|json]
       mtl inspect RUN [--format table|csv|json|md]

For a data set: show how it is read, without training: the rows of each part,
each target's labels, the features by kind, the columns that are left out and
why, and what looks wrong: a column that alone determines a target, a label that
is used as a feature, values far from all others, duplicate columns, categories
with one row each. Without tasks, only the columns are looked at.

For a trained model: its tasks, features and how they are encoded, layers and
the tasks that train them, members, versions, plugins that it needs, licence,
and the fingerprint of the data that it was trained on.

examples:
  mtl inspect houses.csv
  mtl inspect houses.csv tasks='{price: regression}' dataset.id=house
  mtl inspect wine --format json | jq .features.findings
  mtl inspect outputs/2026-01-31_12-00-00_wine_gradnorm
  mtl inspect RUN --format json | jq '.layers[] | .name, .parameters'

RUN is the folder of a run, or its mtl_model.pt. DATA is a file or the name of
a data set (mtl list datasets); KEY=VALUE is what mtl train takes.

flags:
  --format table|json|csv|md                on stdout; table by default
  --config-dir DIR, --config-name NAME      as for mtl train
  -h, --help                                this text
"""
FORMATS = ("table", "json")


def run(argv: list[str]) -> int:
    """Run ``mtl inspect`` with these arguments."""
    if "-h" in argv or "--help" in argv:
        print(HELP, end="")
        return 0
    given, rest = take_format(argv)
    style = given or "table"
    words = [word for word in rest if "=" not in word]
    if len(words) == 1 and is_model(words[0]):
        return _inspect_model(words[0], rest, style)
    if style not in FORMATS:
        raise UserError("--format", f"'{style}' is for trained models", "a data set is shown as table or json")
    look = _look([_as_data(word, i, rest) for i, word in enumerate(rest)])
    from mtl_cli.data.look import plain
    from mtl_cli.io import to_json
    from mtl_cli.reports.first_look import full_lines

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 100
    print(to_json(plain(look), indent=2) if style == "json" else "\n".join(full_lines(look, width)))
    return 0


def is_model(word: str) -> bool:
    """Whether a word names a run's folder or model file, rather than a data set."""
    from mtl_cli.runs.directory import MODEL, RUN

    path = user_path(word)
    return path.suffix in (".pt", ".zip") or (path / MODEL).is_file() or (path / RUN).is_file()


def _inspect_model(path: str, words: list[str], style: str) -> int:
    if others := [word for word in words if word != path]:
        raise UserError(others[0], "is for a data set", "a trained model is shown as it is")
    from mtl_cli.runs.model_file import find_model

    find_model(path)
    from mtl_cli.inference.description import describe
    from mtl_cli.io import to_json
    from mtl_cli.reports.described import long_rows, markdown_of, text_of
    from mtl_cli.reports.rows import rendered, width

    found = describe(path)
    if style == "json":
        print(to_json(found.plain(), indent=2))
    elif style == "csv":
        print(rendered(long_rows(found), "csv"), end="")
    else:
        print(markdown_of(found) if style == "md" else text_of(found, width()), end="")
    return 0


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
