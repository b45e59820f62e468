"""The words ``KEY=VALUE``: what each of them sets.

- ``balancer=gradnorm`` chooses a file of a config group, ``model.sharing=mmoe`` (or ``model/sharing=mmoe``) one of a
  group inside a group.
- ``dataset=my.csv`` means ``dataset=csv dataset.path=my.csv``.
- ``trainer.epochs=3`` sets a key, ``tasks.größe.weight=2`` one with any name, ``"tasks.'a.b'.weight=2"`` one with a dot
  in it; ``~tasks.quality`` takes a key out. ``+`` and ``++`` in front, as Hydra has them, change nothing: the schema
  knows which keys there are.
- Their order never matters, and what cannot hold together is refused; but of one key that is given twice, as by a
  script that adds to another's words, the last holds, and a note says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtl_cli.config.errors import Problem, UserError, did_you_mean
from mtl_cli.config.paths import PROTOCOLS, group_names, options
from mtl_cli.config.registry import file_suffixes, kind_of_file, unread_file
from mtl_cli.config.user_files import OURS
from mtl_cli.config.values import as_text, is_sweep, read_value, values_of
from mtl_cli.io import user_path

_SEGMENT = r"""(?:"[^"]*"|'[^']*'|[^.='"][^.=]*|['"][^.=]*)"""
_WORD = re.compile(rf"([~+]*)({_SEGMENT}(?:\.{_SEGMENT})*)(?:=(.*))?", re.DOTALL)
PATH = ("dataset", "path")
OF_SEARCH = ("tune", "trials", "budget", "objective", "pruner", "sampler", "outer")
"""Keys that `mtl tune` takes out of the words."""
LONGEST = 200
"""Characters of a group's name; longer keys are no path of a folder."""

Key = tuple[str, ...]


@dataclass(frozen=True)
class Word:
    """A word of the command line in its parts: ``++tasks.price.weight=2``."""

    sign: str
    key: Key
    text: str | None

    @property
    def name(self) -> str:
        """The key as it is shown in messages."""
        return ".".join(self.key).replace("/", ".")

    @property
    def group(self) -> str:
        """The config group that it may be."""
        return "/".join(self.key)


@dataclass
class Settings:
    """What the words set, together, and what is wrong with them."""

    choices: dict[str, str] = field(default_factory=dict)
    """The file chosen, by group."""
    values: dict[Key, Any] = field(default_factory=dict)
    deleted: list[Key] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    meant: set[str] = field(default_factory=set)
    """The groups that a problem's hint chooses from: ``dataset`` for the word ``wine``."""
    path_of_file: bool = False
    """Whether ``dataset=FILE`` set the path, and not ``dataset.path=``."""

    @property
    def wrong(self) -> set[str]:
        """The keys that are at fault."""
        return {problem.where for problem in self.problems} | self.meant


def split_word(word: str) -> Word | None:
    """Return the parts of a word; None if it is no key."""
    match = _WORD.fullmatch(word)
    if match is None:
        return None
    segments = re.findall(_SEGMENT, match[2])
    key = tuple(s[1:-1] if len(s) > 1 and s[0] == s[-1] and s[0] in "'\"" else s for s in segments)
    return Word(match[1], key, match[3]) if all(key) else None


def group_of(word: Word, folders: list[Path]) -> str | None:
    """Return the config group of which the word chooses a file, if it does."""
    if word.text is None or word.text.startswith("{") or len(word.group) > LONGEST or ".." in word.group:
        return None
    if word.group == PROTOCOLS:
        return None
    return word.group if options(word.group, folders) else None


def read_settings(words: Iterable[str], folders: list[Path]) -> Settings:
    """Read the words of one run."""
    settings = Settings()
    said: dict[Key, str] = {}
    for text in words:
        word = split_word(text)
        if word is None or (word.text is None and word.sign != "~"):
            settings.problems.append(_no_setting(text, folders, settings))
        elif word.key[0].split("/")[0] == "hydra":
            settings.problems.append(Problem(".".join(word.key), "Hydra's own keys are not accepted", OURS))
        elif word.name in OF_SEARCH:
            settings.problems.append(Problem(word.name, "is for a search", "mtl tune --help says how to begin one"))
        elif word.sign == "~":
            what = None if word.text is None else "removes a key and takes no value"
            settings.deleted.append(word.key)
            settings.problems += [Problem(text, what, f"write ~{word.name}")] if what else []
        elif (group := group_of(word, folders)) is not None:
            _choose(group, word, folders, settings, said)
        else:
            _set(word, settings, said)
    for key in settings.deleted:
        if any(other[: len(key)] == key for other in settings.values):
            settings.problems.append(Problem(".".join(key), "is both set and removed", f"leave out ~{'.'.join(key)}"))
    return settings


def _set(word: Word, settings: Settings, said: dict[Key, str]) -> None:
    assert word.text is not None
    try:
        several = is_sweep(word.text)
    except UserError as error:
        settings.problems += [Problem(word.name, f"{p.where} {p.what}", p.hint) for p in error.problems]
        return
    if several:
        shown = ", ".join(f"{word.name}={value}" for value in values_of(word.text, []))
        settings.problems.append(Problem(word.name, "has several values", f"add -m to run each of {shown}"))
        return
    _put(word.key, read_value(word.text), word.text, settings, said)
    settings.path_of_file = settings.path_of_file and word.key != PATH


def _put(key: Key, value: Any, text: str, settings: Settings, said: dict[Key, str]) -> None:
    if key in settings.values and settings.values[key] != value:
        settings.notes.append(f"{'.'.join(key)} is given twice: {text} holds, not {said[key]}")
    settings.values[key], said[key] = value, text


def _choose(group: str, word: Word, folders: list[Path], settings: Settings, said: dict[Key, str]) -> None:
    assert word.text is not None
    known, name = options(group, folders), as_text(word.text)
    if group == "dataset" and name not in known and (kind := kind_of_file(name)):
        _put(PATH, str(user_path(name)), name, settings, said)
        settings.path_of_file, name = True, kind
    elif group == "dataset" and settings.path_of_file:  # another data set than that file
        del settings.values[PATH]
        settings.path_of_file = False
    if name == "null" and group == "experiment":
        settings.choices.pop(group, None)
        return
    if name not in known:
        settings.problems.append(_no_option(group, name, known))
        return
    if (before := settings.choices.get(group, name)) != name:
        settings.notes.append(f"{word.name} is given twice: {name} holds, not {before}")
    settings.choices[group] = name


def _no_option(group: str, name: str, known: list[str]) -> Problem:
    dotted = group.replace("/", ".")
    hint = did_you_mean(name, known, f"{dotted}=")
    if "," in name and {part.strip() for part in name.split(",")} <= set(known):
        hint = "with -m, each of them is a run of its own"
    if group == "dataset" and (fault := unread_file(name)):
        return Problem(dotted, f"'{name}' {fault[0]}", fault[1])
    if group == "dataset":
        hint = f"{hint} (or a file ending in {file_suffixes()})"
    return Problem(dotted, f"there is no '{name}'", hint)


def _no_setting(word: str, folders: list[Path], settings: Settings) -> Problem:
    if "=" in word:
        return Problem(word, "cannot be read as key=value")
    hint = did_you_mean(f"{word}=", [f"{group}=" for group in group_names(folders)])
    meant = next((group for group in group_names(folders) if word in options(group, folders)), None)
    if kind_of_file(word):
        meant = "dataset"
    if meant is not None:
        settings.meant.add(meant)
        hint = f"did you mean {meant}={word}?"
    elif (Path(word) / "config.yaml").is_file():
        hint = f"did you mean {Path(word) / 'config.yaml'}?"
    return Problem(word, "is neither a flag nor key=value", hint)
