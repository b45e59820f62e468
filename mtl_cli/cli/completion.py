"""Tab completion: `eval "$(mtl -sc install=bash)"` makes the shell ask `mtl -sc query=bash` at each TAB."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mtl_cli.cli import config, tune
from mtl_cli.cli.arguments import Parser
from mtl_cli.cli.commands import commands
from mtl_cli.cli.complete_columns import columns_of, named, task_keys, task_kinds, tasks, that_start
from mtl_cli.cli.help import topics
from mtl_cli.cli.list import GROUPS
from mtl_cli.cli.words import FLAGS, read_words
from mtl_cli.config.assemble import Assembler
from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.config.keys import known_keys
from mtl_cli.config.overrides import read_settings
from mtl_cli.config.paths import SPACES, group_names, options
from mtl_cli.config.primary import NESTED
from mtl_cli.config.registry import kind_of_file
from mtl_cli.studies.executors import LAUNCHERS, OPTIONS
from mtl_cli.studies.protocol import names

WITH_PARSER = ("predict", "evaluate", "explain", "init", "report", "card", "pack", "export", "serve", "benchmark")
"""Commands of ours whose flags their parser knows."""
BASH = """\
_mtl_completion() {
    local line=${COMP_LINE:0:$COMP_POINT} answer
    local typed=${line##* }
    COMPREPLY=()
    while IFS= read -r answer; do
        if [[ $COMP_WORDBREAKS == *=* && $typed == *=* ]]; then
            answer=${answer#"${typed%%=*}="}
        fi
        COMPREPLY+=("$answer")
    done < <(COMP_LINE=$line COMP_POINT=$COMP_POINT ${line%% *} -sc query=bash 2>/dev/null)
}
complete -o nospace -o default -F _mtl_completion mtl
"""
FISH = """\
function _mtl_completion
    set -lx COMP_LINE (commandline -cp)
    mtl -sc query=fish 2>/dev/null
end
complete -c mtl -a '(_mtl_completion)'
"""
INSTALL = {"bash": BASH, "zsh": BASH, "fish": FISH}
UNINSTALL = {
    **dict.fromkeys(("bash", "zsh"), "complete -r mtl\nunset -f _mtl_completion\n"),
    "fish": "complete -e -c mtl\nfunctions -e _mtl_completion\n",
}


def complete(argv: list[str]) -> int:
    """Answer the shell's ``query=bash``, or print the script that makes it ask (``install=bash``)."""
    what, _, shell = (argv[0] if argv else "").partition("=")
    if what not in ("query", "install", "uninstall") or shell not in INSTALL:
        hint = f"{what}={did_you_mean(shell, INSTALL)}" if what == "install" else "mtl -sc install=bash, zsh or fish"
        raise UserError(" ".join(argv) or "-sc", "cannot be completed", hint)
    if what != "query":
        print((INSTALL if what == "install" else UNINSTALL)[shell], end="")
        return 0
    before, typed, quote = _words(os.environ.get("COMP_LINE", ""))
    for answer in _answers(before, typed):
        print(_as_typed(answer, typed, quote, shell))
    return 0


def _words(line: str) -> tuple[list[str], str, str]:
    """Return the words of a line that are done, without quotes, the one that is typed, and the quote that is open."""
    words, typed, quote, begun = [], "", "", False
    for letter in line:
        if quote:
            quote, typed = ("", typed) if letter == quote else (quote, typed + letter)
        elif letter in "'\"":
            quote, begun = letter, True
        elif not letter.isspace():
            typed, begun = typed + letter, True
        elif begun:
            words.append(typed)
            typed, begun = "", False
    return words, typed, quote


def _as_typed(answer: str, typed: str, quote: str, shell: str) -> str:
    """Return an answer as the shell is to write it.

    A value with blanks needs quotes. Where some are open, bash takes what is within them for the word.
    """
    key, equals, value = answer.partition("=")
    if not equals or (not quote and " " not in value):
        return answer
    if quote and shell != "fish":
        return value if "=" in typed else answer
    return f"{key}={quote or chr(39)}{value}"


def _answers(before: list[str], typed: str) -> list[str]:
    """Return how the word that is typed may go on, ``before`` being the words in front of it, from ``mtl`` on."""
    command, rest = (before[1], before[2:]) if len(before) > 1 else (None, [])
    if command is None:
        return that_start(commands(), typed)
    if command == "data":
        from mtl_cli.data.images.downloads import DATASETS

        return that_start(list(DATASETS) if rest else ["fetch"], typed)
    if command == "list":
        return that_start(GROUPS, typed)
    if command == "help":
        return [] if rest else that_start(topics(), typed)
    if command == "config" and not rest:
        return that_start(config.COMMANDS, typed)
    if command == "config":
        return _key_values(rest[1:], typed) if rest[0] in ("show", "check") else []
    if command == "benchmark" and not rest and not typed.startswith("-"):
        return that_start(names(), typed)
    if command in WITH_PARSER:
        return _flags(command, rest, typed)
    if command == "inspect":
        data = [] if any("=" not in word for word in rest) else _data(typed)
        chosen = [word if "=" in word else f"dataset={word}" for word in rest if not word.startswith("-")]
        return [*data, *(["--format"] if "--format".startswith(typed) and typed else []), *_key_values(chosen, typed)]
    if command == "tune":
        return _search(rest, typed)
    return _key_values(rest, typed) if command == "train" else []  # the shell completes file names by itself


def _search(before: list[str], typed: str) -> list[str]:
    """Return the words of a search: its own, those of a sweep, and names within ``choice(…)``."""
    key, equals, value = typed.partition("=")
    others = ["-m", *(word for word in before if word.partition("=")[0] not in tune.OWN)]
    if typed.startswith("-"):
        return [flag for flag in that_start(FLAGS, typed) if flag != "--multirun"]
    if equals and key in tune.OWN:
        known = tune.OWN[key] or (options(key, read_words([]).assembler().folders) if key == SPACES else [])
        return [f"{key}={word}" for word in that_start(known, value)]
    if equals and value.startswith("choice("):
        done = value[: max(value.rfind("("), value.rfind(",")) + 1]
        found = _key_values(others, f"{key}={value.removeprefix(done)}")
        return [f"{key}={done}{word.partition('=')[2]}" for word in found]
    own = [] if equals else that_start([f"{name}=" for name in tune.OWN], typed)
    return [*own, *_key_values(others, typed)]


def _flags(command: str, before: list[str], typed: str) -> list[str]:
    """Return the flags of a command that start with what is typed, or the values that the flag in front may have."""
    parser: Parser = importlib.import_module(f"mtl_cli.cli.{command}").parser()
    flag, equals, value = typed.partition("=")
    if equals:
        return [f"{flag}={choice}" for choice in parser.choices_of(flag) if choice.startswith(value)]
    if before and (choices := parser.choices_of(before[-1])):
        return that_start(choices, typed)
    return that_start(parser.flags, typed) if typed.startswith("-") else []


def _data(typed: str) -> list[str]:
    """Return the data sets, by name or file, that start with what is typed."""
    return that_start(options("dataset", read_words([]).assembler().folders) or [], typed) if typed else []


def _key_values(before: list[str], typed: str) -> list[str]:
    try:
        words = read_words(before)
    except UserError:
        words = read_words([])
    assembler = words.assembler()
    if typed.startswith("-"):
        return that_start(FLAGS, typed)
    key, equals, value = typed.partition("=")
    if equals and (names := options(key.replace(".", "/"), assembler.folders)):
        done, comma, last = value.rpartition(",") if words.multirun else ("", "", value)
        files = _data_files(last) if key == "dataset" else []
        return [f"{key}={done}{comma}{name}" for name in [*that_start(names, last), *files]]
    plain = _config(words.overrides, assembler)
    if equals and (found := _columns(plain, key, value)) is not None:
        return found
    known = known_keys(plain)
    if assembler.primary is None and not any(word.startswith("dataset") for word in words.overrides):
        known = {name: allowed for name, allowed in known.items() if not name.startswith("dataset.")}  # chosen first
    groups = [group.replace("/", ".") for group in (*group_names(assembler.folders), *NESTED)]
    if words.multirun:
        known |= {"launcher": list(LAUNCHERS), **{option: [] for option in OPTIONS}}
    if equals:
        return [f"{key}={word}" for word in that_start(known.get(key, []), value)]
    return [*_task_keys(plain, typed, known), *_next_steps([*known, *groups], groups, typed)]


def _columns(plain: dict[str, Any], key: str, value: str) -> list[str] | None:
    """Return how a value may go on that names columns of the data; None if it is none."""
    if key != "tasks" and not key.startswith(("tasks.", "dataset.")):
        return None
    columns = columns_of(plain.get("dataset", {}))
    found = tasks(value, columns) if key == "tasks" else task_kinds(key, value, columns) or named(key, value, columns)
    return [f"{key}={answer}" for answer in found] if found else None


def _task_keys(plain: dict[str, Any], typed: str, known: dict[str, list[str]]) -> list[str]:
    """Return `tasks.COLUMN=` for columns that are no tasks yet."""
    found = task_keys(typed, columns_of(plain.get("dataset", {}))) if typed.startswith("tasks.") else []
    return [key for key in found if key.removesuffix("=") not in known]


def _next_steps(keys: Iterable[str], groups: list[str], typed: str) -> list[str]:
    """Return the keys one level below what is typed: ``optimizer.`` is followed by ``lr=``, ``lr_scale.``, …"""
    found: dict[str, None] = {}
    for key in keys:
        if key.startswith(typed):
            level, dot, _ = key[len(typed) :].partition(".")
            found[f"{typed}{level}{dot or '='}"] = None
    inner = {step.removesuffix(".") for step in found if step.endswith(".")}
    return sorted(step for step in found if step.removesuffix("=") not in inner or step.removesuffix("=") in groups)


def _config(overrides: list[str], assembler: Assembler) -> dict[str, Any]:
    """Return the config of what is typed so far, or of a table if that is wrong or without a data set."""
    for words in (overrides, [*overrides, "dataset=csv"], ["dataset=csv"]):
        settings = read_settings(words, assembler.folders)
        if settings.problems or (assembler.primary is None and "dataset" not in settings.choices):
            continue
        try:
            return assembler(settings).plain
        except UserError:
            continue
    return {}


def _data_files(typed: str) -> list[str]:
    folder = Path(typed).parent if not typed.endswith("/") else Path(typed)
    head = typed[: typed.rfind("/") + 1]
    if not folder.is_dir():
        return []
    names = [f"{head}{path.name}{'/' if path.is_dir() else ''}" for path in sorted(folder.iterdir())]
    return [name for name in that_start(names, typed) if name.endswith("/") or kind_of_file(name)]
