"""The space of a search: the keys that are varied, what each may be, and that every part of it is right.

A key of a component that is itself chosen, such as ``balancer.alpha`` beside ``balancer=choice(uniform,gradnorm)``, is
varied only where the component has it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Any

from mtl_cli.config.assemble import Assembler
from mtl_cli.config.check import Checked, check_runs
from mtl_cli.config.domains import Choice, Domain, read_domain
from mtl_cli.config.errors import Problem, UserError, did_you_mean
from mtl_cli.config.hints import UNKNOWN_KEY
from mtl_cli.config.overrides import group_of, split_word
from mtl_cli.config.paths import SPACES, options
from mtl_cli.config.user_files import read_file
from mtl_cli.io import user_path

MOST = 40
"""Combinations of choices that are all checked; of more, each choice is, beside the first of the others."""
SAME_FOR_ALL = ("dataset", "dataset.split", "trainer.folds", "trainer.repeats", "seed", "run_dir", "resume", "device")
"""Keys that say what trials are judged by, or where they run; ``dataset`` is that itself, and not its other keys."""
OF_TASKS = ("kind", "target", "auxiliary", "dataset")
"""Keys of a task of which the same is so."""


@dataclass(frozen=True)
class Parameter:
    """A key that is varied.

    Parameters
    ----------
    name : str
        Such as ``optimizer.lr``.
    head : str
        What is written in front of its value: ``optimizer.lr=``.
    domain : Domain
    text : str
        The domain, as written.
    parent : str, optional
        The choice of a component, among the others, whose key it is.
    within : frozenset of str
        The options of that choice that know the key.
    """

    name: str
    head: str
    domain: Domain
    text: str
    parent: str | None = None
    within: frozenset[str] = frozenset()

    def active(self, chosen: Mapping[str, str]) -> bool:
        """Whether it is varied, given the values of others."""
        return self.parent is None or chosen.get(self.parent) in self.within


@dataclass(frozen=True)
class Space:
    """What a search varies, and what it leaves as it is.

    Parameters
    ----------
    fixed : list of str
        The other words, ``KEY=VALUE``.
    parameters : list of Parameter
        Choices of components before the keys of these.
    start : dict of str to str
        The values that the config has where nothing is varied, of the keys whose domain has them.
    """

    fixed: list[str]
    parameters: list[Parameter]
    start: dict[str, str] = field(default_factory=dict)

    def words(self, values: Mapping[str, str]) -> list[str]:
        """Return the words of a config with these values of the parameters."""
        return [*self.fixed, *(one.head + values[one.name] for one in self.parameters if one.name in values)]

    @property
    def written(self) -> dict[str, str]:
        """Each key's domain, as written."""
        return {one.name: one.text for one in self.parameters}


def with_file(words: Sequence[str], name: str, folders: Sequence[Path]) -> list[str]:
    """Return the words with those in front that a file holds: a space of ``conf/tune``, or the user's own.

    Raises
    ------
    UserError
        If there is none, or it holds something else than ``KEY: DOMAIN``.
    """
    file = user_path(name)
    if not name.endswith((".yaml", ".yml")):
        found = next((path for base in reversed(folders) if (path := base / SPACES / f"{name}.yaml").is_file()), None)
        if found is None:
            known = options(SPACES, list(folders))
            raise UserError(SPACES, f"there is no '{name}'", f"{did_you_mean(name, known, 'tune=')} (or a .yaml file)")
        file = found
    elif not file.is_file():
        raise UserError(SPACES, f"there is no file {name}")
    said = {word.key for text in words if (word := split_word(text)) is not None}
    content = []
    for key, value in read_file(file).items():
        word = split_word(f"{key}={value}")
        if word is None or isinstance(value, dict | list):
            what = f"in {file}: must be a value, or what may be chosen"
            raise UserError(str(key), what, "such as log(1e-4,1e-1) or choice(a,b), one key with its dots a line")
        if word.key not in said:
            content.append(f"{key}={value}")
    return [*content, *words]


def read_space(words: Sequence[str], assembler: Assembler) -> Space:
    """Sort words into those that are varied and the others, and check that every config of the space is right.

    Raises
    ------
    UserError
        With every problem of any config, and if nothing is varied.
    """
    fixed, found, problems = _sorted(words, assembler.folders)
    if problems:
        raise UserError.of(problems)
    if not found:
        hint = "optimizer.lr='log(1e-4,1e-1)', balancer='choice(uniform,gradnorm)', or tune=NAME"
        raise UserError("space", "is empty: no key is varied", hint)
    whole = check_runs([fixed], assembler)[0]
    found = list(_for_each_task(found, list(whole.assembled.plain["tasks"])))
    found.sort(key=lambda one: not (isinstance(one.domain, Choice) and _group(one, assembler) is not None))
    found, problems = _within(fixed, found, assembler)
    problems += _checked(fixed, found, assembler) if not problems else []
    if problems:
        raise UserError.of(problems)
    start = {one.name: value for one in found if (value := _default(one, whole, assembler)) is not None}
    return Space(fixed, found, start)


def _sorted(words: Sequence[str], folders: list[Path]) -> tuple[list[str], list[Parameter], list[Problem]]:
    fixed, found, problems = list[str](), list[Parameter](), list[Problem]()
    plain: set[str] = set()
    for text in words:
        word = split_word(text)
        if word is None or word.text is None:
            fixed.append(text)
            continue
        group = group_of(word, folders)
        try:
            domain = read_domain(word.text, [] if group is None else options(group, folders), group is not None)
        except UserError as error:
            problems += [Problem(word.name, f"{p.where} {p.what}", p.hint) for p in error.problems]
            continue
        if domain is None:
            fixed.append(text)
            plain.add(word.name)
        elif any(one.name == word.name for one in found):
            problems.append(Problem(word.name, "is given twice", "leave one of them out"))
        elif fault := _fault(word.name):
            problems.append(Problem(word.name, fault, "choose one"))
        else:
            found.append(Parameter(word.name, text.removesuffix(word.text), domain, word.text))
    both = [one.name for one in found if one.name in plain]
    problems += [Problem(name, "both has a value and is varied", "leave one of them out") for name in both]
    return fixed, found, problems


def _fault(name: str) -> str | None:
    """Say why a key cannot be varied, if it cannot."""
    inner = name.startswith("tasks.") and name.rpartition(".")[2] in OF_TASKS
    if name in SAME_FOR_ALL or name.startswith("dataset.split.") or inner:
        return "is the same in all trials: it says what they are judged by"
    return None


def _for_each_task(found: Sequence[Parameter], tasks: Sequence[str]) -> Iterator[Parameter]:
    """Put a parameter for each task in the place of one with ``*``: ``tasks.*.weight``."""
    for one in found:
        if "*" not in one.name:
            yield one
            continue
        for task in tasks:
            quoted = f"'{task}'" if "." in task else task
            yield replace(one, name=one.name.replace("*", task), head=one.head.replace("*", quoted))


def _group(one: Parameter, assembler: Assembler) -> str | None:
    word = split_word(one.head + "x")
    return None if word is None else group_of(word, assembler.folders)


def _within(
    fixed: list[str], found: Sequence[Parameter], assembler: Assembler
) -> tuple[list[Parameter], list[Problem]]:
    """Find the parameters that belong to one that is chosen, and for which of its options they are known."""
    choices = [one for one in found if isinstance(one.domain, Choice) and _group(one, assembler) is not None]
    sorted_out, problems = [], []
    for one in found:
        above = [other for other in choices if one.name.startswith(f"{other.name}.")]
        if not above:
            sorted_out.append(one)
            continue
        parent = max(above, key=lambda other: len(other.name))
        known = frozenset(
            option
            for option in parent.domain.ends
            if not _unknown([*fixed, parent.head + option, one.head + one.domain.ends[0]], one.name, assembler)
        )
        if not known:
            hint = f"choose one that has it too: {parent.name}={parent.text}"
            problems.append(Problem(one.name, f"is a key of none of {', '.join(parent.domain.ends)}", hint))
        sorted_out.append(replace(one, parent=parent.name, within=known))
    return sorted_out, problems


def _unknown(words: list[str], name: str, assembler: Assembler) -> bool:
    try:
        check_runs([words], assembler)
    except UserError as error:
        return any(p.what == UNKNOWN_KEY and f"{name}.".startswith(f"{p.where}.") for p in error.problems)
    return False


def _checked(fixed: list[str], found: Sequence[Parameter], assembler: Assembler) -> list[Problem]:
    """Return what is wrong in configs of the space: every combination of choices, and both ends of every range."""
    problems: dict[str, Problem] = {}
    space = Space(fixed, list(found))
    for values in _variations(found):
        try:
            check_runs([space.words(values)], assembler)
        except UserError as error:
            for problem in error.problems:
                problems.setdefault(str(problem), _with(problem, found, values))
    return list(problems.values())


def _variations(found: Sequence[Parameter]) -> Iterator[dict[str, str]]:
    first = {one.name: one.domain.ends[0] for one in found}
    choices = [one for one in found if isinstance(one.domain, Choice)]
    if math.prod(len(one.domain.ends) for one in choices) <= MOST:
        every = itertools.product(*(one.domain.ends for one in choices))
        varied = [dict(zip((one.name for one in choices), values, strict=True)) for values in every]
    else:
        varied = [{one.name: option} for one in choices for option in one.domain.ends]
    for one in found:
        if not isinstance(one.domain, Choice):
            above = {} if one.parent is None else {one.parent: min(one.within)}
            varied.append({one.name: one.domain.ends[-1], **above})
    for own in varied:
        values = {**first, **own}
        yield {one.name: values[one.name] for one in found if one.active(values)}


def _with(problem: Problem, found: Sequence[Parameter], values: Mapping[str, str]) -> Problem:
    """Return a problem with the choices under which it is found, unless it names one of them itself."""
    choices = {one.name: values[one.name] for one in found if isinstance(one.domain, Choice) and one.name in values}
    if not choices or any(problem.where == one.name for one in found):
        return problem
    named = " ".join(f"{key}={value}" for key, value in choices.items())
    return replace(problem, what=f"{problem.what} (with {named})")


def _default(one: Parameter, whole: Checked, assembler: Assembler) -> str | None:
    """Return the value of a key in the config as it is, if that may be chosen."""
    if (group := _group(one, assembler)) is not None:
        value: Any = whole.assembled.choices.get(group)
    else:
        word = split_word(one.head + "x")
        value = whole.config
        for key in () if word is None else word.key:
            inner = value if isinstance(value, Mapping) else vars(value) if is_dataclass(value) else {}
            value = inner.get(key)
    if isinstance(one.domain, Choice):
        text = str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)
        text = text.replace(", ", ",") if isinstance(value, list) else text
        return text if text in one.domain.options else None
    return one.domain.text(float(value)) if one.domain.holds(value) else None


def check_values(space: Space, values: Mapping[str, str], assembler: Assembler) -> Checked:
    """Return the checked config of a trial. Raises UserError if these values do not go together."""
    return check_runs([space.words(values)], assembler)[0]
