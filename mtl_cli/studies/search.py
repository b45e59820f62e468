"""What is asked of a search, and how its trials are named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mtl_cli.config.assemble import Assembler
from mtl_cli.config.space import Space, check_values
from mtl_cli.studies.job import Job
from mtl_cli.studies.results import SEARCH


@dataclass(frozen=True)
class Search:
    """What is asked of a search.

    Parameters
    ----------
    space : Space
    assembler : Assembler
        Makes the trials' configs.
    start : list of str
        Words that make them beside those of the space, such as a config file.
    base : Job
        The job in which nothing is varied.
    objective : str
        ``score``, or ``tasks``: each task's skill, of which a front is sought.
    tasks : list of str
        Those that count for the score.
    sampler : str
    pruner : str
    trials : int, optional
        How many the study is to have.
    minutes : float, optional
        After which no other trial begins.
    """

    space: Space
    assembler: Assembler
    start: list[str]
    base: Job
    tasks: list[str]
    objective: str = "score"
    sampler: str = "tpe"
    pruner: str = "median"
    trials: int | None = None
    minutes: float | None = None

    @property
    def names(self) -> list[str]:
        """What trials are judged by: the larger the better."""
        return ["score"] if self.objective == "score" else self.tasks

    def identity(self) -> Job:
        """Return what stands for the search in the file of its study: another one has another digest."""
        asked = {"space": self.space.written, "objective": self.objective}
        asked |= {"sampler": self.sampler, "pruner": self.pruner}
        return replace(self.base, plain={**self.base.plain, SEARCH: asked}, settings=self.space.written)

    def config(self, values: Mapping[str, str]) -> dict[str, Any]:
        """Return the config of a trial as the user would train it."""
        return check_values(self.space, values, self.assembler).assembled.plain


def settings_text(settings: Mapping[str, str]) -> str:
    """Return settings in a line, by as much of their keys' ends as tells them apart."""
    short = short_names(list(settings))
    return " ".join(f"{short[key]}={value}" for key, value in settings.items())


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return the shortest end of each key that no other key has."""
    found = {}
    for key in keys:
        parts = key.split(".")
        ends = [".".join(parts[-count:]) for count in range(1, len(parts) + 1)]
        found[key] = next(
            end for end in ends if end == key or sum(f".{other}".endswith(f".{end}") for other in keys) == 1
        )
    return found
