"""A trained model, from its run's folder: predicting and evaluating new tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import torch

from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.config.parse import parse_trained
from mtl_cli.config.registry import components
from mtl_cli.config.schema import TrainedConfig
from mtl_cli.data.base import Examples, Notice, Origin, Part, Reader, check_usable, row_names
from mtl_cli.data.inputs import InputRows
from mtl_cli.inference.consistency import class_predictions
from mtl_cli.inference.evaluate import evaluate
from mtl_cli.inference.members import Member, Outputs, average, outputs_of, spread
from mtl_cli.models.network import Network, build_network, shapes
from mtl_cli.runs.directory import SPLITS
from mtl_cli.runs.model_file import find_model, load_model
from mtl_cli.tasks.hierarchy import Hierarchy, Mode
from mtl_cli.tasks.task import Task

CPU = torch.device("cpu")


@dataclass(frozen=True)
class TrainedModel:
    """What a run learned, and what it needs to read data like those it learned from.

    Parameters
    ----------
    path : Path
        The run's folder.
    config : TrainedConfig
    members : list of Member
        The networks whose mean prediction is the model's.
    reader : Reader
    tasks : dict of str to Task
        Fitted to the rows that any of the members was trained on.
    """

    path: Path
    config: TrainedConfig
    members: list[Member]
    reader: Reader
    tasks: dict[str, Task]

    @classmethod
    def load(cls, path: str) -> TrainedModel:
        """Load a run's model. Raises UserError if there is none or it is damaged."""
        content = load_model(path)
        try:
            config = parse_trained(content["config"], content.get("plugins", {}))
            data = content["data"]
            tasks = _restored(data["tasks"])
            reader: Reader = config.dataset.restore(data["reader"])
            members = []
            for member in content["members"]:
                network = build_network(config.model, reader.spec, shapes(tasks))
                network.load_state_dict(member["weights"])
                members.append(Member(network.eval(), _restored(member["tasks"])))
        except (KeyError, TypeError, RuntimeError) as error:
            raise UserError(path, f"is damaged, or of another version of mtl: {error}") from error
        return cls(find_model(path).parent, config, members, reader, tasks)

    @property
    def network(self) -> Network:
        """The network; of several members the first one's."""
        return self.members[0].network

    def read(self, path: str, notice: Notice) -> Examples:
        """Read what the model is to predict or to be evaluated on."""
        return self.reader.read(path, notice)

    def predict(
        self, examples: Examples, notice: Notice, hierarchy: Mode | None = None, vote: str | None = None
    ) -> pd.DataFrame:
        """Return the row ids and each task's predictions, in the rows' order; labels are not needed.

        Parameters
        ----------
        examples : Examples
        notice : callable
            Takes a line that the user should see.
        hierarchy : {"report", "enforce", "none"}, optional
            In place of what the run's config says.
        vote : str, optional
            A column of the rows: those of one value take the label that most of them have.

        Raises
        ------
        UserError
            If the run learned no hierarchy to enforce, or there is no such column.
        """
        levels = self.hierarchy(hierarchy)
        if vote is not None and vote not in examples.table.columns:
            hint = did_you_mean(vote, examples.table.columns)
            raise UserError("--vote", f"{examples.where} has no column '{vote}'", hint)
        clusters = None if vote is None else examples.table[vote]
        members, origin = self.outputs_of_members(examples.inputs), examples.origin
        found, apart = average(members, self.tasks), spread(members, self.tasks, examples.table.index)
        tasks = {name: task for name, task in self.tasks.items() if origin is None or origin.rows(name).any()}
        table = predictions(found, tasks, examples.table.index, origin, apart)
        for name, column in class_predictions(found, tasks, levels, clusters, notice).items():
            table[name] = column
        return pd.concat([row_names(examples.ids, origin), table], axis=1)

    def hierarchy(self, mode: Mode | None = None) -> Hierarchy | None:
        """Return what the run learned about levels, to be used as ``mode`` says or else as its config did."""
        levels: Hierarchy | None = self.reader.hierarchy
        if levels is None and mode in ("report", "enforce"):
            hint = "dataset.levels names them when a run of dataset=h5ad is made"
            raise UserError("--hierarchy", "the run learned no levels of labels", hint)
        if levels is None or mode == "none":
            return None
        return levels if mode is None else replace(levels, mode=mode)

    def outputs_of_members(self, inputs: InputRows) -> list[Outputs]:
        """Return each member's raw outputs by task."""
        return [outputs_of(member, inputs.to(CPU), self.tasks) for member in self.members]

    def outputs(self, inputs: InputRows) -> Outputs:
        """Return each task's raw outputs, whose predictions are the mean of the members'."""
        return average(self.outputs_of_members(inputs), self.tasks)

    def evaluate(self, examples: Examples, notice: Notice) -> dict[str, Any]:
        """Return the metrics on rows with labels, of the tasks whose columns are there."""
        columns_of = {f"task {name}": task.columns for name, task in self.tasks.items()}
        check_usable(columns_of, examples.unusable, examples.where)
        there = {name: task for name, task in self.tasks.items() if set(task.columns) <= set(examples.table.columns)}
        if not there:
            columns = ", ".join(f"'{column}'" for task in self.tasks.values() for column in task.columns)
            raise UserError(examples.where, f"has no label column; the tasks' are {columns}", "mtl predict needs none")
        for name in self.tasks.keys() - there.keys():
            notice(f"{examples.where} has no labels of task {name}")
        return self._evaluate(examples, there)

    def evaluate_test(self, notice: Notice) -> tuple[dict[str, Any], str]:
        """Return the metrics on the run's own test rows, read again, and where they are from.

        Raises
        ------
        UserError
            If the data are not to be read again, or are not what they were.
        """
        splits = self.path / SPLITS
        if not splits.is_file():
            raise UserError(str(self.path), "its test rows cannot be read again", "give a table to evaluate on")
        examples = self.reader.read_own(notice)
        part = pd.read_csv(splits)["split"].to_numpy()
        test = part == "test"
        report = self._evaluate(examples.select(test), self.tasks)
        if examples.duplicate_groups is not None:
            seen = np.isin(examples.duplicate_groups, examples.duplicate_groups[(part == "train") | (part == "val")])
            if (test & seen).any():
                report["unseen"] = self._evaluate(examples.select(test & ~seen), self.tasks)
        return report, examples.where

    def _evaluate(self, examples: Examples, tasks: dict[str, Task]) -> dict[str, Any]:
        part = examples.part(tasks)
        return evaluate(self.outputs(part.inputs), part, tasks)


def _restored(saved: list[dict[str, Any]]) -> dict[str, Task]:
    """Return tasks by name, as a model file keeps them."""
    kinds = components("task")
    tasks: list[Task] = [kinds[entry["kind"]].restore(entry["state"]) for entry in saved]
    return {task.name: task for task in tasks}


def predictions(
    found: Outputs,
    tasks: Mapping[str, Task],
    index: pd.Index,
    origin: Origin | None = None,
    apart: Mapping[str, pd.DataFrame] = MappingProxyType({}),
) -> pd.DataFrame:
    """Return the columns ``predicted_<task>`` and ``predicted_<task>_prob`` for each task.

    Where data sets are joined, they are empty in the rows that are not of a task's data set. ``apart`` are by task the
    further columns ``<task>_spread``.
    """
    frames = [pd.DataFrame(index=index)]
    for name, task in tasks.items():
        frame = pd.DataFrame(task.decode(found[name]), index=index)
        if name in apart:
            frame = pd.concat([frame, apart[name]], axis=1)
        if origin is not None and not (own := origin.rows(name)).all():
            frame = frame.astype("object").where(np.broadcast_to(own[:, None], frame.shape))
        frames.append(frame)
    return pd.concat(frames, axis=1)


def predictions_with_labels(
    found: Outputs,
    tasks: dict[str, Task],
    part: Part,
    hierarchy: Hierarchy | None,
    notice: Notice,
    apart: Mapping[str, pd.DataFrame] = MappingProxyType({}),
) -> pd.DataFrame:
    """Return the row ids, and for each task its label and its predictions side by side; see ``predictions``."""
    index = part.labels.index
    changed = class_predictions(found, tasks, hierarchy, None, notice)
    columns = [row_names(part.ids, part.origin)]
    for name, task in tasks.items():
        predicted = predictions(found, {name: task}, index, part.origin, apart)
        for column in predicted.columns.intersection(list(changed)):
            predicted[column] = changed[column]
        columns += [part.labels[[name]].convert_dtypes(), predicted]
    return pd.concat(columns, axis=1)
