"""Reading joined data sets again, or more of what one of them is like."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from mtl_cli.config.errors import Problem, UserError, did_you_mean
from mtl_cli.data.images.dataset import MissingFiles
from mtl_cli.data.inputs import DenseRows, InputRows, InputSpec
from mtl_cli.data.joint.rows import JointRows, Sampling
from mtl_cli.data.prepared import Examples, Notice, Origin, Reader

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


def told(name: str, notice: Notice) -> Callable[[str], None]:
    """Return a notice that says which of the data sets it is about."""
    return lambda line: notice(f"{name}: {line}")


def column_of(dataset: str, column: str) -> str:
    """Return what a data set's label column is called in the table of all of them."""
    return f"{dataset}.{column}"


@dataclass(frozen=True)
class JointReader:
    """Reads data like those of one of several joined data sets, ``NAME=PATH``, or all of them again.

    Parameters
    ----------
    readers : dict of str to Reader
        By data set.
    spec : InputSpec
    of_tasks : dict of str to str
        The data set whose rows each task labels.
    """

    readers: dict[str, Reader]
    spec: InputSpec
    of_tasks: dict[str, str]

    hierarchy: ClassVar[None] = None

    def state(self) -> dict[str, Any]:
        """Return plain values for the model file."""
        readers = {name: reader.state() for name, reader in self.readers.items()}
        return {"readers": readers, "spec": self.spec.state(), "of_tasks": self.of_tasks}

    def read(self, path: str, notice: Notice) -> Examples:
        """Read ``NAME=PATH``: data like those of the data set called NAME. Raises UserError if it is none of them."""
        name, equals, rest = path.partition("=")
        if not equals or name not in self.readers:
            hint = (
                did_you_mean(name, self.readers) if equals else f"give {' or '.join(f'{n}=PATH' for n in self.readers)}"
            )
            raise UserError(path, "does not say which of the joined data sets it is like", hint)
        return self._join({name: self.readers[name].read(rest, notice)}, rest)

    def read_own(self, notice: Notice) -> Examples:
        """Read all data sets again. Raises UserError if one is not as it was."""
        found = {}
        for name, reader in self.readers.items():
            with named(name):
                found[name] = reader.read_own(told(name, notice))
        return self._join(found, " and ".join(examples.where for examples in found.values()))

    def _join(self, found: dict[str, Examples], where: str) -> Examples:
        inputs = [found[name].inputs if name in found else _none(reader.spec) for name, reader in self.readers.items()]
        if self.spec.kind != "joint":
            inputs = [found[name].inputs for name in found]
        tables = [
            examples.table.set_axis([column_of(name, str(column)) for column in examples.table.columns], axis=1)
            for name, examples in found.items()
        ]
        kin = None
        if all(examples.kin is not None for examples in found.values()):
            kin = np.concatenate(_apart([examples.kin for examples in found.values() if examples.kin is not None]))
        return Examples(
            JointRows(inputs, self.spec.kind != "joint", Sampling()),
            pd.concat(tables, ignore_index=True),
            join_ids([examples.ids for examples in found.values()]),
            where,
            kin,
            origin_of({name: len(examples.inputs) for name, examples in found.items()}, self.of_tasks),
            {column_of(name, key): what for name, part in found.items() for key, what in part.unusable.items()},
        )


def _none(spec: InputSpec) -> InputRows:
    return DenseRows(np.zeros((0, *spec.shape), dtype="float32"))


def _apart(numbers: list[np.ndarray]) -> list[np.ndarray]:
    """Shift each data set's numbers behind those before it."""
    starts = np.cumsum([0, *(part.max(initial=-1) + 1 for part in numbers[:-1])])
    return [part + start for part, start in zip(numbers, starts, strict=True)]


def origin_of(rows: Mapping[str, int], of_tasks: dict[str, str]) -> Origin:
    """Return which data set each row is of, given how many rows each has."""
    return Origin(np.repeat(np.array(list(rows), dtype=object), list(rows.values())), of_tasks)


def join_ids(ids: Sequence[pd.Series]) -> pd.Series:
    """Return the ids of all rows, under their name if they share one."""
    names = {str(series.name) for series in ids}
    name = names.pop() if len(names) == 1 else "row"
    return pd.concat([series.rename(name) for series in ids], ignore_index=True)
