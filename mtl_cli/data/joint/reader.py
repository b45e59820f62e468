"""Several data sets as one: what a network reads of them, their parts in one, and reading them or one of them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.data.base import Examples, Notice, Origin, Part, Prepared, Reader
from mtl_cli.data.feature import Feature
from mtl_cli.data.folding import HeldOut
from mtl_cli.data.inputs import DenseRows, InputRows, InputSpec, size_of
from mtl_cli.data.joint.errors import WHERE, named, told
from mtl_cli.data.joint.part import PartReader
from mtl_cli.data.joint.rows import JointRows, Sampling
from mtl_cli.tasks.task import Target, Task


def join_specs(specs: Mapping[str, InputSpec], rows: Sequence[int]) -> InputSpec:
    """Return what a network reads of joined data sets.

    Images of one size are one kind of input, normalised by the mean and deviation over all their training rows;
    tables with the same features, and sequences over the same tokens, are too. Tables with others are ``joint``.

    Parameters
    ----------
    specs : mapping of str to InputSpec
    rows : sequence of int
        Each data set's training rows.

    Raises
    ------
    UserError
        If no trunk reads both.
    """
    names, found = list(specs), list(specs.values())
    first = found[0]
    if first.kind not in ("features", "joint") and any(spec.parts for spec in found):
        key = f"dataset.datasets.{next(name for name, spec in specs.items() if spec.parts)}.features.include=[]"
        raise UserError(WHERE, f"{first.kind} inputs with features beside them cannot be joined", f"{key} takes none")
    for name, spec in zip(names[1:], found[1:], strict=True):
        if spec.kind == "image" and spec.shape != first.shape:
            what = f"{names[0]} gives images of {size_of(first.shape)}, {name} of {size_of(spec.shape)}"
            raise UserError(WHERE, f"{what}: they have no common trunk", "join images of one size")
        if spec.kind == "sequence" and (spec.shape, spec.names) != (first.shape, first.names):
            raise UserError(
                WHERE, f"{names[0]} and {name} give sequences over different tokens: they have no common trunk"
            )
        if spec.kind not in ("features", "image", "sequence") and spec != first:
            what = f"{names[0]} and {name} give {spec.kind} inputs that differ in more than their rows"
            raise UserError(WHERE, f"{what}: they have no common trunk")
    if first.kind == "image":
        weights = np.array(rows, dtype="float64") / sum(rows)
        means, deviations = np.array([spec.center for spec in found]), np.array([spec.scale for spec in found])
        mean = weights @ means
        deviation = np.sqrt(weights @ (deviations**2 + means**2) - mean**2)
        return replace(first, center=mean.tolist(), scale=deviation.tolist())
    if all(replace(spec, center=first.center, scale=first.scale) == first for spec in found):
        return first
    return InputSpec("joint", (), parts=dict(specs))


def column_of(dataset: str, column: str) -> str:
    """Return what a data set's label column is called in the table of all of them."""
    return f"{dataset}.{column}"


@dataclass(frozen=True)
class JointReader(Reader):
    """Reads data like those of one of several joined data sets, ``NAME=PATH``, or all of them again.

    Parameters
    ----------
    readers : dict of str to Reader
        By data set.
    input_spec : InputSpec
        What the network reads.
    of_tasks : dict of str to str
        The data set whose rows each task labels.
    """

    readers: dict[str, Reader]
    input_spec: InputSpec
    of_tasks: dict[str, str]

    @property
    def spec(self) -> InputSpec:
        return self.input_spec

    @property
    def fingerprints(self) -> dict[str, str]:
        found = {name: reader.fingerprints for name, reader in self.readers.items()}
        return {name: mark for name, marks in found.items() for mark in marks.values()}

    def features(self) -> list[Feature]:
        return [replace(f, dataset=name) for name, reader in self.readers.items() for f in reader.features()]

    def places(self, examples: Examples) -> list[Feature]:
        assert examples.origin is not None
        found = []
        for name in dict.fromkeys(examples.origin.of_rows):
            own = self._own(name, examples)
            found += [replace(feature, dataset=name) for feature in self.readers[name].places(own)]
        return found

    def grid(self, feature: Feature, examples: Examples, points: int) -> tuple[list[Any], np.ndarray] | None:
        own = self._own(feature.dataset, examples)
        return self.readers[feature.dataset].grid(replace(feature, dataset=""), own, points)

    def _own(self, name: str, examples: Examples) -> Examples:
        """Return the rows of one of the data sets, as its own reader knows them."""
        assert examples.origin is not None and isinstance(examples.inputs, JointRows)
        rows = examples.origin.of_rows == name
        prefix = column_of(name, "")
        table = examples.table.loc[rows, [c for c in examples.table.columns if str(c).startswith(prefix)]]
        table = table.set_axis([str(column).removeprefix(prefix) for column in table.columns], axis=1)
        return Examples(examples.inputs.part_of(rows), table, examples.ids[rows], name)

    def state(self) -> dict[str, Any]:
        """Return plain values for the model file."""
        readers = {name: reader.state() for name, reader in self.readers.items()}
        return {"readers": readers, "spec": self.spec.state(), "of_tasks": self.of_tasks}

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(key for reader in self.readers.values() for key in reader.keys))

    def with_keys(self, given: Mapping[str, Any]) -> JointReader:
        """Return the same with the keys given to each data set that has them."""
        if unknown := [key for key in given if key not in self.keys]:
            hint = did_you_mean(unknown[0], self.keys, "dataset.")
            raise UserError(f"dataset.{unknown[0]}", "is not a key for reading these files", hint)
        readers = {
            name: reader.with_keys({key: value for key, value in given.items() if key in reader.keys})
            for name, reader in self.readers.items()
        }
        return replace(self, readers=readers)

    def read(self, path: str, notice: Notice) -> Examples:
        """Read ``NAME=PATH``: data like those of the data set called NAME. Raises UserError if it is none of them."""
        name, equals, rest = path.partition("=")
        if not equals or name not in self.readers:
            hint = (
                did_you_mean(name, self.readers) if equals else f"give {' or '.join(f'{n}=PATH' for n in self.readers)}"
            )
            raise UserError(path, "does not say which of the joined data sets it belongs to", hint)
        return self.join({name: self.readers[name].read(rest, notice)}, rest)

    def read_own(self, notice: Notice) -> Examples:
        """Read all data sets again. Raises UserError if one is not as it was."""
        found = {}
        for name, reader in self.readers.items():
            with named(name):
                found[name] = reader.read_own(told(name, notice))
        return self.join(found, " and ".join(examples.where for examples in found.values()))

    def parts(self) -> dict[str, Reader]:
        return {name: PartReader(self, own, name, self.join) for name, own in self.readers.items()}

    def join(self, found: dict[str, Examples], where: str) -> Examples:
        """Return rows of some of the data sets, by name, as one."""
        inputs = [found[name].inputs if name in found else _none(reader.spec) for name, reader in self.readers.items()]
        if self.spec.kind != "joint":
            inputs = [found[name].inputs for name in found]
        tables = [
            examples.table.set_axis([column_of(name, str(column)) for column in examples.table.columns], axis=1)
            for name, examples in found.items()
        ]
        groups = [examples.duplicate_groups for examples in found.values()]
        known = [some for some in groups if some is not None]
        return Examples(
            JointRows(inputs, self.spec.kind != "joint", Sampling()),
            pd.concat(tables, ignore_index=True),
            join_ids([examples.ids for examples in found.values()]),
            where,
            np.concatenate(_apart(known)) if len(known) == len(groups) else None,
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


def join_prepared(found: Mapping[str, Prepared], tasks: Sequence[str], sampling: Sampling) -> Prepared:
    """Join data sets that are ready to train on.

    Parameters
    ----------
    found : mapping of str to Prepared
        By data set. Their tasks' label columns are renamed to those of the joined table.
    tasks : sequence of str
        All tasks, in the order that they are to have.
    sampling : Sampling
    """
    of_tasks = {task: name for name, prepared in found.items() for task in prepared.tasks}
    of_tasks = {task: of_tasks[task] for task in tasks}
    fitted: dict[str, Task] = {task: found[name].tasks[task] for task, name in of_tasks.items()}
    _rename_columns(fitted, of_tasks)
    spec = join_specs(
        {name: prepared.reader.spec for name, prepared in found.items()},
        [len(prepared.parts["train"]) for prepared in found.values()],
    )
    reader = JointReader({name: prepared.reader for name, prepared in found.items()}, spec, of_tasks)
    parts = {
        part: _join_parts({name: _part(prepared, part) for name, prepared in found.items()}, reader, sampling)
        for part in ("train", "val", "test")
        if any(part in prepared.parts for prepared in found.values())
    }
    splits = []
    for name, prepared in found.items():
        own = pd.DataFrame({"row": prepared.splits.iloc[:, 0], "split": prepared.splits["split"]})
        own.insert(0, "dataset", name)
        splits.append(own)
    table, held_out = pd.concat(splits, ignore_index=True), _join_held_out(found, of_tasks)
    looks = {name: prepared.look() for name, prepared in found.items()}
    return Prepared(fitted, reader, parts, table, held_out, looks=looks)


def _rename_columns(fitted: Mapping[str, Task], of_tasks: Mapping[str, str]) -> None:
    for task, name in of_tasks.items():
        fitted[task].columns = [column_of(name, column) for column in fitted[task].columns]


def _join_held_out(found: Mapping[str, Prepared], of_tasks: Mapping[str, str]) -> HeldOut | None:
    """Return the folds of all data sets as one: fold k holds out fold k of each."""
    folds = [prepared.held_out for prepared in found.values() if prepared.held_out is not None]
    if len(folds) < len(found):
        return None
    starts = np.cumsum([0, *(len(prepared.splits) for prepared in found.values())][:-1])
    tasks: list[list[dict[str, Task]]] = []
    for repeat in range(len(folds[0].tasks)):
        tasks.append([])
        for fold in range(len(folds[0].tasks[repeat])):
            own = {name: prepared.held_out.tasks[repeat][fold] for name, prepared in found.items() if prepared.held_out}
            tasks[-1].append({task: own[name][task] for task, name in of_tasks.items()})
            _rename_columns(tasks[-1][-1], of_tasks)
    rows = np.concatenate([one.rows + start for one, start in zip(folds, starts, strict=True)])
    return HeldOut(rows, np.concatenate([one.numbers for one in folds], axis=1), tasks)


def _part(prepared: Prepared, name: str) -> Part:
    """Return a part of a data set, of no rows if the data set has none such."""
    if name in prepared.parts:
        return prepared.parts[name]
    train = prepared.parts["train"]
    none = np.zeros(len(train), bool)
    targets = {task: Target(target.values[none], target.mask[none]) for task, target in train.targets.items()}
    return Part(train.inputs.select(none), targets, train.ids[none], train.labels[none], none[none])


def _join_parts(parts: Mapping[str, Part], reader: JointReader, sampling: Sampling) -> Part:
    rows = [len(part) for part in parts.values()]
    starts = dict(zip(parts, np.cumsum([0, *rows[:-1]]).tolist(), strict=True))
    targets = {
        task: _spread(parts[name].targets[task], starts[name], sum(rows)) for task, name in reader.of_tasks.items()
    }
    labels = pd.concat([part.labels for part in parts.values()], ignore_index=True)
    weights = {}
    for task, name in reader.of_tasks.items():
        if task in parts[name].weights:
            weights[task] = np.zeros(sum(rows), "float32")
            weights[task][starts[name] : starts[name] + len(parts[name])] = parts[name].weights[task]
    return Part(
        JointRows([part.inputs for part in parts.values()], reader.spec.kind != "joint", sampling),
        targets,
        join_ids([part.ids for part in parts.values()]),
        labels[list(targets)],
        np.concatenate([part.duplicates for part in parts.values()]),
        weights,
        origin_of({name: len(part) for name, part in parts.items()}, reader.of_tasks),
    )


def _spread(target: Target, start: int, rows: int) -> Target:
    """Return a target with no label in the rows of the other data sets."""
    end = start + len(target.mask)
    values = np.zeros((rows, *target.values.shape[1:]), dtype=target.values.dtype)
    mask = np.zeros(rows, dtype=bool)
    values[start:end], mask[start:end] = target.values, target.mask
    weights = None
    if target.weights is not None:
        weights = np.zeros(rows, dtype=target.weights.dtype)
        weights[start:end] = target.weights
    return Target(values, mask, weights)
