"""A trained model, from its run's folder: predicting and evaluating new tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import components, file_suffixes, kind_of_file
from mtl_cli.config.schema import Config, parse
from mtl_cli.data.features import FeatureEncoder
from mtl_cli.data.files import STDIN
from mtl_cli.data.prepared import Part
from mtl_cli.data.strata import repeats_of
from mtl_cli.data.table import encode_part, fingerprint, row_ids
from mtl_cli.inference.evaluate import evaluate, outputs
from mtl_cli.models.network import Network, build_network
from mtl_cli.runs.directory import SPLITS
from mtl_cli.runs.model_file import find_model, load_model
from mtl_cli.tasks.task import Task

Notice = Callable[[str], None]


@dataclass(frozen=True)
class TrainedModel:
    """What a run learned, and what it needs to read tables like the one it learned from."""

    path: Path
    config: Config
    network: Network
    encoder: FeatureEncoder
    tasks: dict[str, Task]
    id_column: str | None
    text_columns: list[str]
    fingerprint: str

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
            encoder = FeatureEncoder.from_state(data["features"])
            widths = {name: task.outputs for name, task in tasks.items()}
            network = build_network(config.model, len(encoder.names), widths)
            network.load_state_dict(content["weights"])
        except (KeyError, TypeError, RuntimeError) as error:
            raise UserError(path, f"is damaged, or of another version of mtl: {error}") from error
        kept = {key: data[key] for key in ("id_column", "text_columns", "fingerprint")}
        return cls(find_model(path).parent, config, network.eval(), encoder, tasks, **kept)

    def read(self, path: str, notice: Notice) -> pd.DataFrame:
        """Read a table of the kind that its name tells; text from standard input."""
        kind = "csv" if path == STDIN else kind_of_file(path)
        if kind is None:
            raise UserError(path, "is no table by its name", f"it must end in one of {file_suffixes()}")
        trained: Any = self.config.dataset
        made: Any = components("dataset")[kind]
        source = replace(trained, path=path) if isinstance(trained, made) else made(path=path)
        table: pd.DataFrame = source.read(self.text_columns, notice)
        return table

    def predict(self, table: pd.DataFrame, where: str, notice: Notice) -> pd.DataFrame:
        """Return the row ids and each task's predictions, in the table's order; labels are not needed."""
        id_column = self.id_column if self.id_column in table.columns else None
        inputs = self.encoder.transform(table, where)
        self.encoder.compare(table, where, notice)
        found = self.outputs(inputs)
        return pd.concat([row_ids(table, id_column).to_frame(), predictions(found, self.tasks, table.index)], axis=1)

    def outputs(self, inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Return each task's raw outputs."""
        return {name: output.numpy() for name, output in outputs(self.network, torch.from_numpy(inputs)).items()}

    def evaluate(self, table: pd.DataFrame, where: str, notice: Notice) -> dict[str, Any]:
        """Return the metrics on a table with labels, of the tasks whose columns it has."""
        there = {name: task for name, task in self.tasks.items() if set(task.columns) <= set(table.columns)}
        if not there:
            columns = ", ".join(f"'{column}'" for task in self.tasks.values() for column in task.columns)
            raise UserError(where, f"has no label column; the tasks' are {columns}", "mtl predict needs none")
        for name in self.tasks.keys() - there.keys():
            notice(f"{where} has no labels of task {name}")
        return self._evaluate(table, where, there)

    def evaluate_test(self, notice: Notice) -> tuple[dict[str, Any], str]:
        """Return the metrics on the run's own test rows, read again, and the name of their table.

        Raises
        ------
        UserError
            If the table is not to be read again, or is not the one it was.
        """
        source: Any = self.config.dataset
        splits = self.path / SPLITS
        if source.path == STDIN or not splits.is_file():
            raise UserError(str(self.path), "its test rows cannot be read again", "give a table to evaluate on")
        table: pd.DataFrame = source.read(self.text_columns, notice)
        if fingerprint(table) != self.fingerprint:
            raise UserError(source.path, "is not as it was when the run was made", "give a table to evaluate on")
        part = pd.read_csv(splits)["split"].to_numpy()
        names = [column.name for column in self.encoder.columns]
        repeat = repeats_of(table, names)
        test = part == "test"
        seen = np.isin(repeat, repeat[(part == "train") | (part == "val")])
        report = self._evaluate(table[test], source.path, self.tasks)
        if (test & seen).any():
            report["unseen"] = self._evaluate(table[test & ~seen], source.path, self.tasks)
        return report, source.path

    def _evaluate(self, table: pd.DataFrame, where: str, tasks: dict[str, Task]) -> dict[str, Any]:
        id_column = self.id_column if self.id_column in table.columns else None
        repeats = np.zeros(len(table), bool)
        part = encode_part(table, self.encoder, tasks, row_ids(table, id_column), repeats, where)
        return evaluate(self.outputs(part.inputs), part, tasks)


def predictions(found: dict[str, np.ndarray], tasks: dict[str, Task], index: pd.Index) -> pd.DataFrame:
    """Return the columns ``predicted_<task>`` and ``predicted_<task>_prob`` for each task."""
    columns: dict[str, np.ndarray] = {}
    for name, task in tasks.items():
        columns |= task.decode(found[name])
    return pd.DataFrame(columns, index=index)


def predictions_with_labels(found: dict[str, np.ndarray], tasks: dict[str, Task], part: Part) -> pd.DataFrame:
    """Return the row ids, and for each task its label and its predictions side by side."""
    index = part.labels.index
    columns = [part.ids.to_frame()]
    for name, task in tasks.items():
        columns += [part.labels[[name]].convert_dtypes(), pd.DataFrame(task.decode(found[name]), index=index)]
    return pd.concat(columns, axis=1)
