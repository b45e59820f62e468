"""What an exported graph is to be asked, and what `mtl predict` says of the same rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mtl_cli.inference.answer import predictions
from mtl_cli.inference.export.graph import Graph, GraphInput
from mtl_cli.inference.trained import TrainedModel
from tests.conftest import houses

Feed = dict[str, np.ndarray]


def rows() -> pd.DataFrame:
    """A thousand rows of every kind of column: missing values, unknown texts, numbers far out, leap days."""
    table = houses(1000, 7).drop(columns=["price", "sold", "kind", "tags"])
    table.loc[5::50, "city"] = "Rome"
    table.loc[7::50, "area"] = 5000.0
    table.loc[9::50, "built"] = "2024-02-29"
    table.loc[11::50, "built"] = None
    return table


def days_of(column: pd.Series) -> np.ndarray:
    """Days since 1970, as a graph takes dates."""
    return ((pd.to_datetime(column) - pd.Timestamp(0)).dt.total_seconds() / 86400).to_numpy("float64")


def feed_of(table: pd.DataFrame, graph: Graph) -> Feed:
    """Return columns as a graph takes them, texts as texts."""
    found = {}
    for given in graph.inputs:
        column = table[given.name]
        if given.form.startswith("days"):
            found[given.name] = days_of(column)
        elif given.levels is None:
            found[given.name] = column.to_numpy("float64")
        else:
            found[given.name] = column.map(str, na_action="ignore").fillna("").to_numpy(object)
    return found


def said_by_predict(run: Path, file: Path) -> Feed:
    """Return what predict says of the rows of a file, by the names of a graph's outputs."""
    model = TrainedModel.load(str(run))
    examples = model.read(str(file), lambda line: None)
    answer = model.answer(examples, lambda line: None)
    table = predictions(answer, model.tasks, examples.table.index, examples.inputs.lengths, None, True)
    found: Feed = {}
    for output in Graph(model).outputs:
        task, name = model.tasks[output["task"]], output["name"]
        end = name.removeprefix("predicted_").removeprefix(task.name)
        labels = [str(label) for label in task.class_labels] if task.kind != "residue" else []
        if end == "_set":
            found[name] = np.array([[label in row.split("|") for label in labels] for row in table[f"{task.name}_set"]])
        elif end:
            column = f"{task.name}{end}" if f"{task.name}{end}" in table else f"predicted_{task.name}{end}"
            found[name] = table[column].to_numpy("float64")
        elif task.kind == "binary":
            found[name] = table[f"predicted_{task.name}_prob"].to_numpy("float64")
        elif labels:
            found[name] = table[[f"predicted_{task.name}_prob_{label}" for label in labels]].to_numpy("float64")
        elif task.kind == "residue":
            scores = torch.from_numpy(answer.outputs[task.name]).double()
            found[name] = scores.softmax(-1).numpy()
        else:
            found[name] = table[f"predicted_{task.name}"].to_numpy("float64")
    return found


def agree(found: Mapping[str, np.ndarray], said: Feed) -> None:
    """Compare a graph's outputs with what predict says, to 1e-5 of them and of how much they vary."""
    assert found.keys() == said.keys()
    for name, expected in said.items():
        there = ~np.isnan(expected)  # nothing is said of residues beyond a row's end
        own = np.asarray(found[name], "float64")
        assert own.shape == expected.shape, name
        middle = expected[there].mean() if expected.ndim == 1 else 0.0  # which a number may be far from, by its units
        own, expected = own[there] - middle, expected[there] - middle
        np.testing.assert_allclose(own, expected, rtol=1e-5, atol=1e-5 * max(expected.std(), 1.0), err_msg=name)


def in_torch(graph: Graph, feed: Feed) -> Feed:
    """Return what a graph says before it is written, whose texts are codes of levels."""
    given = [torch.tensor(_codes(i, feed[i.name]) if i.levels is not None else feed[i.name]) for i in graph.inputs]
    with torch.no_grad():
        outputs = graph.eval()(*given)
    return {output["name"]: values.numpy() for output, values in zip(graph.outputs, outputs, strict=True)}


def _codes(given: GraphInput, texts: np.ndarray) -> np.ndarray:
    levels = given.levels or []
    other = len(levels) if given.other else -2
    return np.array([-1 if text == "" else levels.index(text) if text in levels else other for text in texts])


def in_onnxruntime(file: Path) -> tuple[Callable[[Feed], Feed], dict[str, Any]]:
    """Return what runs an ONNX file, and its metadata."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file)
    names = [output.name for output in session.get_outputs()]
    run = lambda feed: dict(zip(names, session.run(None, feed), strict=True))  # noqa: E731
    return run, dict(session.get_modelmeta().custom_metadata_map)
