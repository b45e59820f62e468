"""Errors that are for the user: where, what, and the nearest thing that would work."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LONGEST = 200
"""Characters of a key or a path in a message."""


@dataclass(frozen=True)
class Problem:
    """One thing the user can mend.

    Parameters
    ----------
    where : str
        The key, file or argument at fault, as the user wrote it.
    what : str
        What is wrong with it.
    hint : str, optional
        The nearest valid name, or the command that helps.
    """

    where: str
    what: str
    hint: str | None = None

    def __str__(self) -> str:
        line = f"{shortened(self.where, LONGEST)}: {self.what}" + (f"; {self.hint}" if self.hint else "")
        return " ".join(shortened(line, 10 * LONGEST).split())


def shortened(text: str, longest: int) -> str:
    """Return a text, or if it is longer than may be, its first and its last letters."""
    return text if len(text) <= longest else f"{text[: longest - 20]} … {text[-16:]}"


class UserError(Exception):
    """The user's input is wrong: one line a problem on stderr, exit status 2."""

    def __init__(self, where: str, what: str, hint: str | None = None) -> None:
        self.problems: tuple[Problem, ...] = (Problem(where, what, hint),)
        super().__init__(where, what, hint)

    @classmethod
    def of(cls, problems: Iterable[Problem]) -> UserError:
        """Make one error of several problems, each listed once, in the order found."""
        unique = tuple(dict.fromkeys(problems))
        error = cls(unique[0].where, unique[0].what, unique[0].hint)
        error.problems = unique
        return error

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


def did_you_mean(name: str, options: Iterable[str], prefix: str = "") -> str | None:
    """Name the option nearest to ``name``, or list the options if none is near.

    Parameters
    ----------
    name : str
        What the user wrote.
    options : iterable of str
        The valid names.
    prefix : str
        Text put before the suggestion, such as ``"balancer="``.

    Returns
    -------
    str or None
        None where there are no options at all.
    """
    known = [str(option) for option in options]
    lowered = {option.lower(): option for option in reversed(known)}
    close = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    if close:
        return f"did you mean {prefix}{lowered[close[0]]}?"
    if not known:
        return None
    shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
    return f"choose from {shown}"


def unknown_tasks(found: Mapping[str, Any] | Sequence[str], names: Sequence[str], where: str) -> Iterator[Problem]:
    """Yield a problem for each of ``found`` that is no task."""
    for name in found:
        if name not in names:
            key = f"{where}.{name}" if isinstance(found, Mapping) else where
            yield Problem(key, f"no task is called '{name}'", did_you_mean(name, names))
