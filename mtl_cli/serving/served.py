"""The models that a server has, by name, loaded from their runs and loaded again while others use them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.data.base import Reader
from mtl_cli.data.feature import Field
from mtl_cli.inference.answer import predictions
from mtl_cli.inference.trained import TrainedModel
from mtl_cli.io import user_path
from mtl_cli.tasks.task import Task


@dataclass(frozen=True)
class Served:
    """A model that is ready to predict.

    Parameters
    ----------
    name : str
        By which requests ask for it.
    path : str
        Of its run, as the user gave it.
    model : TrainedModel
    fields : list of Field
        What a row is given by.
    columns : dict of str to list of str
        Of its answers, with the probabilities of every class, by task.
    importance : list of dict
        What each feature is worth, once somebody has asked; see ``importance_of``.
    """

    name: str
    path: str
    model: TrainedModel
    fields: list[Field]
    columns: dict[str, list[str]] = field(default_factory=dict)
    importance: list[dict[str, Any]] = field(default_factory=list)

    @property
    def tasks(self) -> dict[str, Task]:
        """Its tasks by name."""
        return self.model.tasks

    def usual_row(self) -> dict[str, Any]:
        """Return a row of usual values; without what names rows."""
        return {one.name: one.usual for one in self.fields if one.kind != "id"}


def load(name: str, path: str) -> dict[str, Served]:
    """Load a run's model, and predict a usual row with it, so that the first request waits for nothing.

    Returns
    -------
    dict of str to Served
        By name; of joined data sets one each, as ``NAME.DATASET``.

    Raises
    ------
    UserError
        If there is none, it is damaged, or its rows are not given one by one.
    """
    model = TrainedModel.load(path)
    parts = {f"{name}.{part}": reader for part, reader in model.reader.parts().items()} or {name: model.reader}
    found = {part: _ready(part, path, model, reader) for part, reader in parts.items() if reader.fields()}
    if not found:
        what = "cannot be served: it reads images or cells, whose rows are not given one by one"
        raise UserError(path, what, "mtl predict RUN FILE predicts a file")
    return found


def _ready(name: str, path: str, model: TrainedModel, reader: Reader) -> Served:
    """Return a model with what reads its rows, and the columns of its answers."""
    served = Served(name, path, dataclasses.replace(model, reader=reader), reader.fields())
    rows = reader.read_rows([served.usual_row()], "a usual row", lambda line: None)
    tasks = {task: own for task, own in model.tasks.items() if rows.origin is None or rows.origin.rows(task).any()}
    own = dataclasses.replace(model, reader=reader, tasks=tasks)
    answer = own.answer(rows, lambda line: None)
    columns = {
        name: list(
            map(str, predictions(answer, {name: task}, rows.table.index, rows.inputs.lengths, rows.origin, True))
        )
        for name, task in tasks.items()
    }
    return dataclasses.replace(served, model=own, columns=columns)


def named_runs(words: Sequence[str]) -> dict[str, str]:
    """Return runs by name, of the words ``RUN`` or ``NAME=RUN``.

    Raises
    ------
    UserError
        If two have one name, or a name is none that an address can hold as it is.
    """
    found: dict[str, str] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not equals or "/" in name or user_path(word).exists():
            name, path = _name_of(word), word
        if not name or not name.isprintable() or "/" in name or name in (".", ".."):
            raise UserError(word, f"'{name}' is not a name that an address can hold", "NAME=RUN gives another")
        if name in found:
            raise UserError(word, f"two runs are called '{name}'", "NAME=RUN gives one of them another name")
        found[name] = path
    return found


def _name_of(path: str) -> str:
    given = Path(user_path(path))
    if given.suffix == ".zip":
        return given.stem
    folder = given.parent if given.is_file() else given
    return folder.name or folder.absolute().name


class Models:
    """The models that are served; they are replaced all at once.

    Parameters
    ----------
    runs : dict of str to str
        Paths by name.
    """

    def __init__(self, runs: dict[str, str]) -> None:
        self.runs = runs
        self.found = self._load()

    def _load(self) -> dict[str, Served]:
        found: dict[str, Served] = {}
        for name, path in self.runs.items():
            found |= load(name, path)
        return found

    def reload(self) -> None:
        """Load all runs again. Raises UserError if one cannot be loaded: then all stay as they were."""
        self.found = self._load()

    def __getitem__(self, name: str) -> Served:
        """Return a model. Raises KeyError if there is none of that name."""
        return self.found[name]

    @property
    def first(self) -> Served:
        """The one that was named first."""
        return next(iter(self.found.values()))

    def near(self, name: str) -> str | None:
        """Return a hint at the name that was meant."""
        return did_you_mean(name, self.found)
