"""Everything that can be known to be wrong before a run starts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mtl_cli.config.assemble import Assembled, Assembler
from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.hints import improve
from mtl_cli.config.keys import known_keys
from mtl_cli.config.overrides import Settings, read_settings, split_word
from mtl_cli.config.parse import parse
from mtl_cli.config.paths import options
from mtl_cli.config.schema import Config


@dataclass(frozen=True)
class Checked:
    """A run's config, found to be right.

    Parameters
    ----------
    overrides : list of str
        The words that it was made of.
    assembled : Assembled
    config : Config
    """

    overrides: list[str]
    assembled: Assembled
    config: Config


def check_words(words: list[str], assembler: Assembler, problems: Iterable[Problem] = ()) -> Assembled:
    """Return the config that the words make, whether or not a run could have it.

    Raises
    ------
    UserError
        With every word that cannot be read, and with ``problems``, what was found already.
    """
    settings = _read(words, assembler)
    if found := [*problems, *settings.problems]:
        raise UserError.of(found)
    return assembler(settings)


def check_runs(runs: Sequence[list[str]], assembler: Assembler, problems: Iterable[Problem] = ()) -> list[Checked]:
    """Return the checked config of each run.

    Parameters
    ----------
    runs : sequence of list of str
        The words of each.
    assembler : Assembler
    problems : iterable of Problem, optional
        What was found already.

    Raises
    ------
    UserError
        With every problem of any of the runs, each once.
    """
    found: dict[Problem, list[int]] = {problem: [] for problem in problems}
    checked = []
    for number, words in enumerate(runs):
        settings = _read(words, assembler)
        for problem in settings.problems:
            found.setdefault(problem, []).append(number)
        known, said = {}, _said(words)
        try:
            assembled = assembler(_with_some_dataset(settings))
            known = known_keys(assembled.plain)
            checked.append(Checked(words, assembled, parse(assembled.plain)))
        except UserError as error:
            own = [improve(problem, known, said) for problem in error.problems]
            for problem in _of_their_own(own, settings):
                found.setdefault(problem, []).append(number)
    if found:
        raise UserError.of(_in_their_runs(problem, numbers, runs) for problem, numbers in found.items())
    return checked


def _in_their_runs(problem: Problem, numbers: Sequence[int], runs: Sequence[list[str]]) -> Problem:
    """Return a problem with the combination of values that has it, where one value alone does not say so.

    Parameters
    ----------
    problem : Problem
    numbers : sequence of int
        Of the runs that have it.
    runs : sequence of list of str
        All runs' words, in the same order.
    """
    having = [runs[number] for number in numbers]
    if not having or len(having) == len(runs):
        return problem
    swept = [place for place, values in enumerate(zip(*runs, strict=True)) if len(set(values)) > 1]
    common = {place: having[0][place] for place in swept if len({words[place] for words in having}) == 1}
    alone = [place for place, word in common.items() if all(run in having for run in runs if run[place] == word)]
    named = common.values() if not alone else [common[alone[0]]]
    if len(swept) == 1 or not common or (alone and having[0][alone[0]].startswith(f"{problem.where}=")):
        return problem
    return replace(problem, what=f"{problem.what} (with {' '.join(named)})")


def _read(words: list[str], assembler: Assembler) -> Settings:
    settings = read_settings(words, assembler.folders)
    if assembler.primary is None and not {"dataset", "experiment"} & {*settings.choices, *settings.wrong}:
        names = ", ".join(options("dataset", assembler.folders))
        settings.problems.append(Problem("dataset", "needs a value", f"give dataset=FILE.csv or one of {names}"))
    return settings


def _with_some_dataset(settings: Settings) -> Settings:
    """Replace a data set that is wrong by another, so that the rest can be checked."""
    if "dataset" in settings.wrong:
        settings.choices["dataset"] = "wine"
    return settings


def _of_their_own(problems: Iterable[Problem], settings: Settings) -> list[Problem]:
    """Leave out what only follows from other problems, such as keys of a component that was misspelt."""
    wrong = tuple(f"{where}." for where in settings.wrong)
    if "dataset." in wrong:
        wrong += ("dataset", "tasks", "model.heads.", "balancer.weights.")
    return [problem for problem in problems if not problem.where.startswith(wrong)]


def _said(words: Iterable[str]) -> dict[str, str]:
    parts = [word for word in map(split_word, words) if word is not None]
    return {word.name: word.text for word in parts if word.text is not None}
