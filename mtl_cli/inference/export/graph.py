"""A trained model as one module: columns in, a prediction per task out; encoding, members' mean and links within."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mtl_cli.config.errors import UserError
from mtl_cli.data.tables.features import FeatureEncoder
from mtl_cli.data.tables.reader import TableReader
from mtl_cli.inference.description import example_inputs
from mtl_cli.inference.export.columns import FORMS, ColumnEncoder
from mtl_cli.inference.trained import TrainedModel
from mtl_cli.tasks.task import Task

Outputs = Sequence[torch.Tensor]


@dataclass(frozen=True)
class GraphInput:
    """One input of a graph.

    Parameters
    ----------
    name : str
        Of the column, or of the kind of input.
    form : str
        In words, what it takes.
    levels : list of str, optional
        Of a text; their codes are their places. ``other`` says whether all other texts share the next code.
    other : bool
    """

    name: str
    form: str
    levels: list[str] | None = None
    other: bool = False


class Graph(nn.Module):
    """From one tensor per input to one per task.

    Parameters
    ----------
    model : TrainedModel

    Attributes
    ----------
    inputs : list of GraphInput
    examples : tuple of Tensor
        Two rows.
    tasks : list of dict
        What each output is.
    left_out : list of str
        What predict does and the graph does not.

    Raises
    ------
    UserError
        If some part of the model cannot be in a graph.
    """

    def __init__(self, model: TrainedModel) -> None:
        super().__init__()
        if model.reader.spec.parts or model.config.dataset.members:
            what = "joined data sets" if model.config.dataset.members else f"inputs of kind {model.reader.spec.kind}"
            raise UserError("export", f"{what} cannot be in one graph", "--format safetensors has all weights")
        if model.reader.spec.reference:
            what = "differences from a reference cannot be in a graph: their number varies from row to row"
            raise UserError("export", what, "--format safetensors has all weights")
        self.columns: nn.ModuleList | None = None
        reader = model.reader
        if isinstance(reader, TableReader) and isinstance(reader.encoder, FeatureEncoder):
            own = reader.encoder.columns
            encoders = [ColumnEncoder(column) for column in own]
            self.columns = nn.ModuleList(encoders)
            self.inputs = [
                GraphInput(c.name, FORMS[c.kind], c.levels if c.kind == "categorical" else None, c.has_other)
                for c in own
            ]
            self.examples = tuple(encoder.example for encoder in encoders)
        else:
            self.inputs = [GraphInput(reader.spec.kind, f"{reader.spec.kind} as mtl encodes it")]
            example = example_inputs(reader.spec)
            assert isinstance(example, torch.Tensor)  # a text's columns are parts of it, and were refused above
            self.examples = (example,)
        self.networks = nn.ModuleList(member.network for member in model.members)
        self._answers = {
            name: _answer(task, [m.tasks[name] for m in model.members]) for name, task in model.tasks.items()
        }
        self.tasks = [_described(task) for task in model.tasks.values()]
        self.left_out = [
            f"{step} of task {name}" for name, task in model.tasks.items() for step in task.post_hoc.state()
        ]

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return each task's prediction."""
        if self.columns is None:
            rows = inputs[0]
        else:
            pairs = zip(self.columns, inputs, strict=True)
            rows = torch.cat([encoder(values) for encoder, values in pairs], 1).float()
        every = [network(rows) for network in self.networks]
        return tuple(answer([found[name] for found in every]) for name, answer in self._answers.items())


def _answer(task: Task, fitted: Sequence[Task]) -> Callable[[Outputs], torch.Tensor]:
    """Return what makes a prediction of the members' outputs of one task."""
    if task.kind == "regression":
        states = [own.state() for own in fitted]
        if states[0]["quantiles"]:
            raise UserError(f"tasks.{task.name}", "quantiles are not exported", "loss: mse has one number")

        def number(outputs: Outputs) -> torch.Tensor:
            pairs = zip(outputs, states, strict=True)
            values = [output[:, 0].double() * own["scale"] + own["center"] for output, own in pairs]
            if states[0]["transform"] == "log1p":
                values = [value.expm1() for value in values]
            return torch.stack(values).mean(0)

        return number
    if task.kind in ("binary", "multilabel"):

        def each(outputs: Outputs) -> torch.Tensor:
            found = torch.stack([output.double().sigmoid() for output in outputs]).mean(0)
            return found[:, 0] if task.kind == "binary" else found

        return each
    if task.kind == "multiclass":
        return lambda outputs: torch.stack([output.double().softmax(1) for output in outputs]).mean(0)
    raise UserError(
        f"tasks.{task.name}", f"a task of kind {task.kind} is not exported", "--format safetensors has all weights"
    )


def _described(task: Task) -> dict[str, Any]:
    state = task.state()
    what = {
        "regression": "the predicted number", "binary": "the probability of the last class",
        "multiclass": "the probability of each class", "multilabel": "the probability of each label",
    }  # fmt: skip
    labels = state.get("classes") or state.get("labels")
    return {"name": task.name, "kind": task.kind, "output": what.get(task.kind, ""), "labels": labels}
