"""A trained model as one module: columns in, a prediction per task out; encoding, members' mean and links within."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from mtl_cli.config.errors import UserError
from mtl_cli.data.tables.features import FeatureEncoder
from mtl_cli.data.tables.reader import TableReader
from mtl_cli.inference.description import example_inputs
from mtl_cli.inference.export.answers import described, graph_answer, left_out
from mtl_cli.inference.export.columns import FORMS, ColumnEncoder
from mtl_cli.inference.trained import TrainedModel

WEIGHTS = "--format safetensors has all weights; mtl predict and mtl_cli.load(RUN).predict read such data"
FORMS_OF_ROWS = {
    "features": "the numbers of a row, in the order of `names`, as they are after dataset.transform",
    "image": "bytes, channels × height × width",
    "sequence": "the place of each residue in `names`, 0 behind the end of a row",
}
"""What a graph takes of each kind of input that is no table."""


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
    names : list of str
        Of the numbers of a row, or of what its numbers stand for.
    """

    name: str
    form: str
    levels: list[str] | None = None
    other: bool = False
    names: list[str] = field(default_factory=list)


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
        What they are.
    outputs : list of dict
        By name and task, what each output is.
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
            raise UserError("export", f"{what} cannot be in one graph", WEIGHTS)
        if model.reader.spec.reference:
            what = "differences from a reference cannot be in a graph: their number varies from row to row"
            raise UserError("export", what, WEIGHTS)
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
            kind = reader.spec.kind
            form = FORMS_OF_ROWS.get(kind, f"{kind} as mtl encodes it")
            self.inputs = [GraphInput(kind, form, names=reader.spec.names)]
            example = example_inputs(reader.spec)
            assert isinstance(example, torch.Tensor)  # a text's columns are parts of it, and were refused above
            self.examples = (example,)
        self.networks = nn.ModuleList(member.network for member in model.members)
        self._answers = {
            name: graph_answer(task, [m.tasks[name] for m in model.members]) for name, task in model.tasks.items()
        }
        self.tasks = [described(task) for task in model.tasks.values()]
        self.outputs = self._named()
        levels = model.hierarchy()
        enforced = levels is not None and levels.mode == "enforce"
        self.left_out = [step for task in model.tasks.values() for step in left_out(task)]
        self.left_out += ["labels of levels that fit together"] if enforced else []

    @property
    def lengths(self) -> bool:
        """Whether a row may be of any length, the second dimension of the input."""
        return self.inputs[0].name == "sequence" and self.columns is None

    def _named(self) -> list[dict[str, Any]]:
        """Return what each output is, named as a column of predictions without ``predicted_`` where that is free."""
        taken, found = {given.name for given in self.inputs}, []
        for task, answer in self._answers.items():
            for end, about in answer.about.items():
                name = f"{task}{end}" if f"{task}{end}" not in taken else f"predicted_{task}{end}"
                taken.add(name)
                found.append({"name": name, "task": task, "output": about})
        return found

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return each task's prediction, and what else is said of it."""
        if self.columns is None:
            rows = inputs[0]
        else:
            pairs = zip(self.columns, inputs, strict=True)
            rows = torch.cat([encoder(values) for encoder, values in pairs], 1).float()
        every = [network(rows) for network in self.networks]
        found = [answer.make([each[name] for each in every]) for name, answer in self._answers.items()]
        return tuple(output for outputs in found for output in outputs)
