"""A trained model, from its run's folder: predicting and evaluating new tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import components
from mtl_cli.config.schema import Config, parse
from mtl_cli.data.inputs import InputRows
from mtl_cli.data.prepared import Examples, Notice, Origin, Part, Reader, row_names
from mtl_cli.inference.evaluate import evaluate, outputs
from mtl_cli.models.network import Network, build_network, shapes
from mtl_cli.runs.directory import SPLITS
from mtl_cli.runs.model_file import find_model, load_model
from mtl_cli.tasks.task import Task

CPU = torch.device("cpu")


@dataclass(frozen=True)
class TrainedModel:
    """What a run learned, and what it needs to read data like those it learned from."""

    path: Path
    config: Config
    network: Network
    reader: Reader
    tasks: dict[str, Task]

    @classmethod
    def load(cls, path: str) -> TrainedModel:
        """Load a run's model. Raises UserError if there is none or it is damaged."""
        content = load_model(path)
        try:
            config = parse(content["config"], check=False)
            data = content["data"]
            kinds = components("task")
            tasks: dict[str, Task] = {}
            for entry in data["tasks"]:
                task = kinds[entry["kind"]].restore(entry["state"])  # type: ignore[attr-defined]
                tasks[task.name] = task
            reader: Reader = config.dataset.restore(data["reader"])
            network = build_network(config.model, reader.spec, shapes(tasks))
            network.load_state_dict(content["weights"])
        except (KeyError, TypeError, RuntimeError) as error:
            raise UserError(path, f"is damaged, or of another version of mtl: {error}") from error
        return cls(find_model(path).parent, config, network.eval(), reader, tasks)

    def read(self, path: str, notice: Notice) -> Examples:
        """Read what the model is to predict or to be evaluated on."""
        return self.reader.read(path, notice)

    def predict(self, examples: Examples) -> pd.DataFrame:
        """Return the row ids and each task's predictions, in the rows' order; labels are not needed."""
        found, origin = self.outputs(examples.inputs), examples.origin
        tasks = {name: task for name, task in self.tasks.items() if origin is None or origin.rows(name).any()}
        names = row_names(examples.ids, origin)
        return pd.concat([names, predictions(found, tasks, examples.table.index, origin)], axis=1)

    def outputs(self, inputs: InputRows) -> dict[str, np.ndarray]:
        """Return each task's raw outputs."""
        return {name: output.numpy() for name, output in outputs(self.network, inputs.to(CPU)).items()}

    def evaluate(self, examples: Examples, notice: Notice) -> dict[str, Any]:
        """Return the metrics on rows with labels, of the tasks whose columns are there."""
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
        if examples.kin is not None:
            seen = np.isin(examples.kin, examples.kin[(part == "train") | (part == "val")])
            if (test & seen).any():
                report["unseen"] = self._evaluate(examples.select(test & ~seen), self.tasks)
        return report, examples.where

    def _evaluate(self, examples: Examples, tasks: dict[str, Task]) -> dict[str, Any]:
        part = examples.part(tasks)
        return evaluate(self.outputs(part.inputs), part, tasks)


def predictions(
    found: dict[str, np.ndarray], tasks: Mapping[str, Task], index: pd.Index, origin: Origin | None = None
) -> pd.DataFrame:
    """Return the columns ``predicted_<task>`` and ``predicted_<task>_prob`` for each task.

    Where data sets are joined, they are empty in the rows that are not of a task's data set.
    """
    frames = [pd.DataFrame(index=index)]
    for name, task in tasks.items():
        frame = pd.DataFrame(task.decode(found[name]), index=index)
        if origin is not None and not (own := origin.rows(name)).all():
            frame = frame.astype("object").where(np.broadcast_to(own[:, None], frame.shape))
        frames.append(frame)
    return pd.concat(frames, axis=1)


def predictions_with_labels(found: dict[str, np.ndarray], tasks: dict[str, Task], part: Part) -> pd.DataFrame:
    """Return the row ids, and for each task its label and its predictions side by side."""
    columns = [row_names(part.ids, part.origin)]
    for name, task in tasks.items():
        predicted = predictions(found, {name: task}, part.labels.index, part.origin)
        columns += [part.labels[[name]].convert_dtypes(), predicted]
    return pd.concat(columns, axis=1)
