"""What is in a model file: tasks, features, layers, versions, and where it came from; no row of data is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import SELECTORS
from mtl_cli.data.feature import Feature
from mtl_cli.data.inputs import Inputs, InputSpec
from mtl_cli.inference.trained import TrainedModel
from mtl_cli.models.linear import mean_shares
from mtl_cli.models.network import Network
from mtl_cli.runs import directory
from mtl_cli.runs.model_file import find_model, load_model
from mtl_cli.runs.pack import beside
from mtl_cli.tasks.task import Task

NOT_A_LABEL = ("name", "columns", "weight", "auxiliary", "unseen")
"""What the state of every task holds; the rest is of its kind."""


@dataclass(frozen=True)
class Layer:
    """A module with parameters of its own.

    Parameters
    ----------
    name, kind : str
    shape : str
        Of its weight.
    parameters : int
    tasks : list of str
        Those whose gradients reach it: several share it.
    """

    name: str
    kind: str
    shape: str
    parameters: int
    tasks: list[str]


@dataclass(frozen=True)
class Description:
    """A trained model.

    Parameters
    ----------
    path : str
        Of the model file.
    bytes : int
        Its size.
    format : int
        Of the file.
    mtl : str
        The version that wrote it.
    plugins : dict of str to str
        By part, the package that it needs.
    license : str, optional
    fingerprints : dict of str to str
        Of the training data, by data set.
    data : dict of str to str
        The files or names that they were read from, likewise.
    tasks : list of dict
    inputs : str
        What the network reads.
    shape : list of int
    features : list of Feature
    parts : dict of str to str
        Trunk, sharing, balancer … by name.
    layers : list of Layer
        Of one member.
    parameters : int
        Of one member.
    shared : int
        How many of them several tasks share.
    members : int
    run : dict
        What ``run.json`` says of how it was made; empty where the model file is alone.
    """

    path: str
    bytes: int
    format: int
    mtl: str
    plugins: dict[str, str]
    license: str | None
    fingerprints: dict[str, str]
    data: dict[str, str]
    tasks: list[dict[str, Any]]
    inputs: str
    shape: list[int]
    features: list[Feature]
    parts: dict[str, str]
    layers: list[Layer]
    parameters: int
    shared: int
    members: int
    run: dict[str, Any]

    def plain(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        features = [
            {key: value for key, value in asdict(feature).items() if key != "inputs"} | {"inputs": len(feature.inputs)}
            for feature in self.features
        ]
        return asdict(self) | {"features": features}


def describe(path: str) -> Description:
    """Return what a run's model is. Raises UserError if there is none or it is damaged."""
    content, file, model = load_model(path), find_model(path), TrainedModel.load(path)
    config = content["config"]
    shares = mean_shares([member.network.linear for member in model.members])
    layers = layers_of(model.network, model.reader.spec, own_datasets(model))
    return Description(
        str(file),
        file.stat().st_size,
        content["format"],
        content["mtl"],
        dict(content.get("plugins", {})),
        config.get("license"),
        model.reader.fingerprints,
        _data(config["dataset"]),
        [described(task) | ({"linear": shares[name]} if name in shares else {}) for name, task in model.tasks.items()],
        model.reader.spec.kind,
        list(model.reader.spec.shape),
        model.reader.features(),
        _parts(config),
        layers,
        sum(layer.parameters for layer in layers),
        sum(parameter.numel() for parameter in model.network.shared_parameters()),
        len(model.members),
        _run(file),
    )


def described(task: Task) -> dict[str, Any]:
    """Return a task in plain values."""
    own = {key: value for key, value in task.state().items() if key not in NOT_A_LABEL}
    return {
        "name": task.name,
        "kind": task.kind,
        "columns": task.columns,
        "outputs": task.outputs,
        "weight": task.weight,
        "auxiliary": task.auxiliary,
        **own,
        "post_hoc": task.post_hoc.state(),
    }


def own_datasets(model: TrainedModel) -> dict[str, str]:
    """Return the data set whose rows each task labels, where several are joined; else nothing."""
    if model.reader.spec.kind != "joint":
        return {}
    return {name: task.dataset for name, task in model.config.tasks.items() if name in model.tasks}


def example_inputs(spec: InputSpec, rows: int = 2) -> Inputs:
    """Return inputs of the shape that a network reads, all of one kind of row."""
    if spec.kind in ("text", "pieces"):  # a piece is a number, and whether it is a word's first
        words = torch.ones(rows, 8, *(spec.shape if spec.kind == "text" else (2,)), dtype=torch.int64)
        return (words, *(torch.zeros(rows, *part.shape) for part in spec.parts.values())) if spec.parts else words
    if spec.kind == "sequence":
        return torch.ones(rows, 8, dtype=torch.int64)
    return torch.zeros(rows, *spec.shape, dtype=torch.uint8 if spec.kind == "image" else torch.float32)


def layers_of(network: Network, spec: InputSpec, datasets: Mapping[str, str]) -> list[Layer]:
    """Return the layers with parameters, and the tasks that each is trained by: those whose gradients reach it.

    Parameters
    ----------
    network : Network
    spec : InputSpec
    datasets : mapping of str to str
        See ``own_datasets``.
    """
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    reached = {task: _reached(network, task, _inputs_of(spec, datasets.get(task))) for task in network.heads}
    heads = {id(p): task for task in network.heads for p in network.head_parameters(task)}
    found = []
    for name, module in network.named_modules():
        own = list(module.parameters(recurse=False))
        if not own:
            continue
        tasks = [task for task, seen in reached.items() if any(id(parameter) in seen for parameter in own)]
        weight = max(own, key=lambda parameter: parameter.dim())
        head = heads.get(id(own[0]))
        shown = name if head is None else f"head of {head}{name.removeprefix('_heads.').lstrip('0123456789')}"
        shape = " × ".join(map(str, weight.shape))
        found.append(Layer(shown, type(module).__name__, shape, sum(p.numel() for p in own), tasks))
    return found


def _inputs_of(spec: InputSpec, dataset: str | None) -> Inputs:
    if dataset is None:
        return example_inputs(spec)
    found = [example_inputs(part, 2 if name == dataset else 0) for name, part in spec.parts.items()]
    return tuple(tensor for own in found for tensor in (own if isinstance(own, tuple) else (own,)))


def _reached(network: Network, task: str, inputs: Inputs) -> set[int]:
    """Return the parameters, by id, on which a task's output depends."""
    parameters: list[nn.Parameter] = list(network.parameters())
    output = network.heads[task](network.representations(inputs)[task])
    found = torch.autograd.grad(output.sum(), parameters, allow_unused=True)
    return {id(p) for p, gradient in zip(parameters, found, strict=True) if gradient is not None}


def _data(config: Mapping[str, Any]) -> dict[str, str]:
    if "datasets" in config:
        return {name: source for name, own in config["datasets"].items() for source in _data(own).values()}
    return {"": str(config.get("path") or config.get("images") or config["kind"])}


def _parts(config: Mapping[str, Any]) -> dict[str, str]:
    model = config["model"]
    found = {"trunk": model["trunk"]["kind"], "sharing": model["sharing"]["kind"]}
    names = ("balancer", "regularizer", "optimizer", "scheduler")
    return found | {name: config[name][SELECTORS[name]] for name in names if config.get(name)}


MADE = ("command", "mtl", "python", "torch", "device", "seed", "status")
"""What a run's record always says of how it was made."""


def _run(file: Path) -> dict[str, Any]:
    """Return how a run was made, from its files as far as they are there. Raises UserError if they lack a part."""
    found: dict[str, Any] = beside(file, directory.RUN) or {}
    if missing := [key for key in MADE if found and key not in found]:
        what = f"is not what mtl wrote: it has no {missing[0]}"
        raise UserError(str(file.with_name(directory.RUN)), what, "it was changed")
    metrics = beside(file, directory.METRICS)
    return found | {"score": metrics.get("score")} if found and metrics is not None else found
