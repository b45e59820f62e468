"""Runs in groups: which settings set them apart, which of these are repetitions, and what a group is called."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mtl_cli.studies.results import Result

REPEATED = ("seed", "dataset.split.seed")
"""Keys whose values make repetitions of a run, and no other group."""
NO_SETTINGS = ("run_dir", "plots", "device", "callback")
"""Keys that change no result that is compared, nor do those below them."""
SELECTING = ("name", "kind")
"""Last parts of keys that choose a component, and are left out where it is named: ``balancer=uniform``."""
Repetition = tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """Runs with one setting.

    Parameters
    ----------
    label : str
        What it is called beside the others.
    settings : dict of str to str
        What sets it apart.
    results : list of Result
    """

    label: str
    settings: dict[str, str]
    results: list[Result]

    @property
    def alone(self) -> bool:
        """Whether its runs are single-task: the tasks share nothing."""
        return all(
            str(result.config.get("model", {}).get("sharing", {}).get("kind")) == "none" for result in self.results
        )

    def repetitions(self) -> list[Repetition]:
        """Return which repetition each of its runs is."""
        return [repetition(result) for result in self.results]


def repetition(result: Result) -> Repetition:
    """Return the values of the keys that a run is repeated over."""
    keys = dict(flat(result.config))
    return tuple(keys.get(key, "") for key in REPEATED)


def make_groups(results: Sequence[Result]) -> list[Group]:
    """Return the groups, in the order in which they come."""
    every = settings_of(results)
    found: dict[tuple[tuple[str, str], ...], list[Result]] = defaultdict(list)
    for result, settings in zip(results, every, strict=True):
        found[tuple(settings.items())].append(result)
    labels = labels_of([dict(settings) for settings in found])
    return [Group(label, dict(settings), own) for label, (settings, own) in zip(labels, found.items(), strict=True)]


def settings_of(results: Sequence[Result]) -> list[dict[str, str]]:
    """Return what sets each run apart from the others, without what only makes repetitions.

    The jobs of one study are apart in what its command varied. Else the runs' whole configs are compared.
    """
    studies = {result.path.parent for result in results if result.settings}
    if len(studies) == 1 and all(result.settings for result in results):
        return [{key: value for key, value in one.settings.items() if key not in REPEATED} for one in results]
    every = [dict(flat(result.config)) for result in results]
    found = dict.fromkeys(key for one in every for key in one)
    keys = [key for key in found if key not in REPEATED and key.partition(".")[0] not in NO_SETTINGS]
    differ = [key for key in keys if len({one.get(key) for one in every}) > 1]
    own = [key for key in differ if _differs_by_itself(key, differ, every)]
    return [{_shown(key): one[key] for key in own if key in one} for one in every]


def labels_of(every: Sequence[Mapping[str, str]]) -> list[str]:
    """Return short names of settings: the value alone of a single key, else the last part of keys if that is clear."""
    keys = list(dict.fromkeys(key for settings in every for key in settings))
    if len(keys) == 1:
        return [next(iter(settings.values()), "default") for settings in every]
    last = [key.rpartition(".")[2] for key in keys]
    short = {key: name if last.count(name) == 1 else key for key, name in zip(keys, last, strict=True)}
    labels = [" ".join(f"{short[key]}={value}" for key, value in settings.items()) for settings in every]
    return [label or "all runs" for label in labels]


def flat(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Yield the keys of a config, with their values as text."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from flat(item, f"{where}.{key}" if where else str(key))
    elif where:
        yield where, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _differs_by_itself(key: str, differ: Sequence[str], every: Sequence[Mapping[str, str]]) -> bool:
    """Whether a key differs among runs that have the same components above it; other balancers have other keys."""
    parts = key.split(".")
    above = [".".join(parts[:end]) for end in range(1, len(parts))]
    choosing = [f"{place}.{name}" for place in above for name in SELECTING if f"{place}.{name}" != key]
    chosen = [name for name in choosing if name in differ]
    values: dict[tuple[str | None, ...], set[str | None]] = defaultdict(set)
    for one in every:
        values[tuple(one.get(name) for name in chosen)].add(one.get(key))
    return any(len(own) > 1 for own in values.values())


def _shown(key: str) -> str:
    head, _, last = key.rpartition(".")
    return head if head and last in SELECTING else key
