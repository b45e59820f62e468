"""What -m means: every combination of the values that keys are given."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

from mtl_cli.config.compose import MOST_VALUES
from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.overrides import Key, group_of, split_word
from mtl_cli.config.paths import options
from mtl_cli.config.values import as_written, values_of


def combinations(overrides: list[str], folders: list[Path]) -> tuple[list[list[str]], list[Problem]]:
    """Return the overrides of each job, the values of the last key changing fastest, and what is wrong with them.

    ``seed=0,1 balancer=uniform,uw`` is four jobs. Values are in Hydra's grammar: lists such as ``0,1``,
    ``choice(a,b)``, ``range(1,5)``, and ``glob(*)`` for the files of a config group.

    Parameters
    ----------
    overrides : list of str
    folders : list of Path
        Where the files of config groups are.
    """
    choices, problems = [], []
    said: set[Key] = set()
    swept: dict[Key, int] = {}
    for override in overrides:
        word = split_word(override)
        if word is None or word.text is None:
            choices.append([override])
            continue
        group = group_of(word, folders)
        names = [] if group is None else options(group, folders)
        try:
            values = [word.text] if word.text in names else values_of(word.text, names)
            if group is not None and len(values) > 1:  # a file's name, which is taken as it stands
                values = [as_written(value) for value in values]
        except UserError as error:
            problems += [
                Problem(word.name, f"{problem.where} {problem.what}", problem.hint) for problem in error.problems
            ]
            continue
        twice = [value for i, value in enumerate(values) if value in values[:i]]
        problems += [Problem(word.name, f"has the value {value} twice") for value in dict.fromkeys(twice)]
        swept[word.key] = max(swept.get(word.key, 0), len(values))
        if word.key in said and swept[word.key] > 1:
            problems.append(Problem(word.name, "is given twice, and several values", "leave one of them out"))
        said.add(word.key)
        head = override.removesuffix(word.text)
        choices.append([f"{head}{value}" for value in values])
    jobs = math.prod(len(values) for values in choices)
    if jobs > MOST_VALUES:
        problems.append(Problem("-m", f"asks for {jobs:,} jobs", f"at most {MOST_VALUES:,} can be run at once"))
        choices = [values[:1] for values in choices]
    return [list(job) for job in itertools.product(*choices)], problems
