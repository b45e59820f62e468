"""The protocol of a benchmark, as ``conf/benchmark/NAME.yaml`` has it, and the words of the runs that it asks for."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from mtl_cli.config.convert import Converter, NonNegativeFloat, PositiveInt
from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.config.overrides import split_word
from mtl_cli.config.paths import PROTOCOLS, conf_dir, plugin_conf_dirs
from mtl_cli.config.user_files import read_file
from mtl_cli.studies.grid import combinations

SMALL = "small"
Words = list[str]


@dataclass(frozen=True)
class Protocol:
    """What a benchmark runs and what is made of it. Words are those of `mtl train -m`, several values and all.

    Parameters
    ----------
    problems : dict of str to list of str
        What is learnt, by name; their words hold over those of ``train``, and what they set is not searched.
    methods : list of list of str
        What is compared: the combinations of each list.
    search : list of str
        What each method may choose from, all the same: by the score, on validation rows.
    repeats : list of str
        What means are over.
    train : list of str
        What holds for all runs.
    baseline : str
        The method that the others are set against.
    measure : {"test", "primary", "distance"}
        What is compared, on the test rows: the mean skill; each task's primary metric; or how far a run lies behind the
        front of static weights.
    rivals : list of str
        The models of ``trainer.baselines`` that are methods too.
    weights : int, optional
        Steps of the grid of static weights on the simplex, which the front is swept with.
    tolerance : float
        How far a figure may always lie from the reference, beside what the seeds' spread allows.
    small : dict
        Other values of these keys, for a bounded version.
    """

    problems: dict[str, Words]
    methods: list[Words]
    search: Words = field(default_factory=list)
    repeats: Words = field(default_factory=lambda: ["seed=0,1,2,3,4"])
    train: Words = field(default_factory=list)
    baseline: str = ""
    measure: Literal["test", "primary", "distance"] = "test"
    rivals: list[str] = field(default_factory=list)
    weights: PositiveInt | None = None
    tolerance: NonNegativeFloat = 0.02
    small: dict[str, Any] = field(default_factory=dict)


def names() -> list[str]:
    """Return the benchmarks there are."""
    return sorted(_files())


def _files() -> dict[str, Path]:
    folders = [conf_dir(), *plugin_conf_dirs()]
    return {file.stem: file for folder in reversed(folders) for file in (folder / PROTOCOLS).glob("*.yaml")}


def reference_file(name: str) -> Path:
    """Return where the figures of a benchmark are that it is checked against."""
    file = _files()[name]
    return file.with_name(f"{name}.reference.csv")


def header(name: str) -> list[str]:
    """Return the comment at the head of a protocol, which says what it is."""
    lines = _files()[name].read_text(encoding="utf-8").splitlines()
    return [line.removeprefix("#").strip() for line in itertools.takewhile(lambda line: line.startswith("#"), lines)]


def read_protocol(name: str, small: bool = False) -> Protocol:
    """Read the protocol of a benchmark, or its bounded version.

    Raises
    ------
    UserError
        If there is none of that name, or the file says what no protocol can.
    """
    files = _files()
    if name not in files:
        raise UserError(name, "there is no such benchmark", did_you_mean(name, files))
    found = _converted(read_file(files[name]), str(files[name]))
    return _bounded(found, str(files[name])) if small else found


def _converted(content: Any, where: str) -> Protocol:
    converter = Converter()
    found = converter.build(Protocol, content, where)
    if converter.problems:
        raise UserError.of(converter.problems)
    assert isinstance(found, Protocol)
    return found


def _bounded(whole: Protocol, where: str) -> Protocol:
    return _converted({**vars(whole), **whole.small, "small": {}}, f"{where}.small")


def adapted(protocol: Protocol, words: Sequence[str]) -> Protocol:
    """Return a protocol with words of the user's own: in the place of those that set the same key, or for all runs."""
    for word in words:
        protocol = _with(protocol, word)
    return protocol


def _with(protocol: Protocol, word: str) -> Protocol:
    key = _key(word)

    def put(words: Words) -> Words:
        return [word if _key(other) == key else other for other in words]

    def has(words: Words) -> bool:
        return any(_key(other) == key for other in words)

    grids = [grid for grid in protocol.methods if has(grid)]
    there = bool(grids) or has(protocol.search) or has(protocol.repeats) or has(protocol.train)
    return replace(
        protocol,
        problems={name: [other for other in own if _key(other) != key] for name, own in protocol.problems.items()},
        methods=[put(grid) for grid in grids] or protocol.methods,
        search=put(protocol.search),
        repeats=put(protocol.repeats),
        train=put(protocol.train) if there else [*protocol.train, word],
    )


def _key(word: str) -> str:
    found = split_word(word)
    return word if found is None else found.name


@dataclass(frozen=True)
class Wanted:
    """A run that a protocol asks for.

    Parameters
    ----------
    words : list of str
    method, search, repeat : dict of str to str
        What its words set of each.
    weights : list of float, optional
        Of the tasks, if it is a point of the sweep of static weights.
    """

    words: Words
    method: dict[str, str]
    search: dict[str, str]
    repeat: dict[str, str]
    weights: list[float] | None = None

    @property
    def settings(self) -> dict[str, str]:
        """What sets it apart from the other runs."""
        return {**self.method, **self.search, **self.repeat}


def wanted(protocol: Protocol, problem: str, tasks: int, folders: list[Path]) -> list[Wanted]:
    """Return the runs of a problem, one repetition after the other.

    Parameters
    ----------
    protocol : Protocol
    problem : str
    tasks : int
        How many it has: static weights are swept for so many.
    folders : list of Path
        Where the files of config groups are.
    """
    found: dict[tuple[tuple[str, str], ...], list[Wanted]] = {}
    swept = static_weights(protocol.weights, tasks)
    for grid in [*protocol.methods, *swept]:
        own = {_key(word) for word in protocol.problems[problem]}
        varied = [*protocol.repeats, *grid, *(word for word in protocol.search if _key(word) not in own)]
        fixed = _fixed(protocol, problem, {_key(word) for word in varied})
        runs, problems = combinations([*fixed, *varied], folders)
        if problems:
            raise UserError.of(problems)
        after, last = len(protocol.repeats), len(protocol.repeats) + len(grid)
        for words in runs:
            said = [(word.name, str(word.text)) for word in map(split_word, words[len(fixed) :]) if word is not None]
            one = Wanted(words, dict(said[after:last]), dict(said[last:]), dict(said[:after]))
            one = replace(one, weights=_weights(one.method[STATIC])) if grid in swept else one
            found.setdefault(tuple(said[:after]), []).append(one)
    return [one for own in found.values() for one in own]


def _fixed(protocol: Protocol, problem: str, varied: set[str]) -> Words:
    """Return the words that all runs of a problem have: those of ``train``, and its own, which hold over them."""
    own = protocol.problems[problem]
    keys = {_key(word) for word in own}
    rivals = [f"trainer.baselines=[{','.join(protocol.rivals)}]"] if protocol.rivals else []
    words = [*own, *(word for word in [*protocol.train, *rivals] if _key(word) not in keys)]
    return [word for word in words if _key(word) not in varied]


def first_words(protocol: Protocol, problem: str) -> Words:
    """Return the words of a problem alone, to see what it is: its data and its tasks."""
    return _fixed(protocol, problem, set())


STATIC = "balancer.in_order"


def static_weights(steps: int | None, tasks: int) -> list[Words]:
    """Return the words that sweep static weights over a grid of the simplex: above 0, their sum the number of tasks."""
    if steps is None:
        return []
    parts = [cut for cut in itertools.product(range(1, steps), repeat=tasks) if sum(cut) == steps]
    lists = [f"[{','.join(f'{part * tasks / steps:.4g}' for part in cut)}]" for cut in parts]
    return [["balancer=static", f"{STATIC}={','.join(lists)}"]] if lists else []


def _weights(text: str) -> list[float]:
    return [float(part) for part in text.strip("[]").split(",")]
