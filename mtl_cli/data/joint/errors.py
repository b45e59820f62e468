"""Errors and notices that say which of several joined data sets they are about."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from mtl_cli.config.errors import Problem, UserError
from mtl_cli.data.base import Notice
from mtl_cli.data.images.base import MissingFiles

WHERE = "dataset.datasets"


@contextlib.contextmanager
def named(name: str) -> Iterator[None]:
    """Say in errors which of the data sets they are about."""
    try:
        yield
    except MissingFiles:  # says itself which
        raise
    except UserError as error:
        raise UserError.of([within(name, problem) for problem in error.problems]) from error


def within(name: str, problem: Problem) -> Problem:
    """Return a problem of the data set ``name`` with its key as the user wrote it."""
    if problem.where == "dataset" or problem.where.startswith("dataset."):
        return replace(problem, where=f"{WHERE}.{name}{problem.where.removeprefix('dataset')}")
    return problem


def told(name: str, notice: Notice) -> Notice:
    """Return a notice that says which of the data sets it is about."""
    return lambda line: notice(f"{name}: {line}")
