"""What each feature adds to the prediction of a single row: integrated gradients, and Shapley values.

- Integrated gradients (Sundararajan, Taly & Yan 2017, arXiv 1703.01365) by captum, along the line from a baseline to
  the row: the mean of the rows, or of a sequence unknown residues. They sum to the difference of the two outputs.
- Shapley values (Lundberg & Lee 2017, arXiv 1705.07874) by shap's permutation explainer, over features rather than
  inputs: those that are left out have the values of rows of the background. They sum to the row's output less the mean
  output of the background.

What is explained is the model's own output: a number in units of its label (of log(1 + label) under ``log1p``), or
log-odds of the class that is predicted; of several members the mean.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from mtl_cli.config.errors import UserError
from mtl_cli.data.base import Examples
from mtl_cli.data.feature import Feature
from mtl_cli.data.inputs import DenseRows, InputRows
from mtl_cli.inference.members import Member
from mtl_cli.inference.trained import TrainedModel

Method = Literal["integrated-gradients", "shap"]
PACKAGES = {"integrated-gradients": "captum", "shap": "shap"}
KINDS = ("regression", "binary", "multiclass", "multilabel")
STEPS = 64
"""Of the line from baseline to row."""
BACKGROUND = 50
"""Rows that stand for what is left out."""
ROUNDS = 10
"""Permutations of the features."""


@dataclass(frozen=True)
class Attribution:
    """What one feature adds to one prediction.

    Parameters
    ----------
    row : Any
        The row's id, or number.
    task, output : str
        The class whose log-odds are explained; the task's name for a number.
    feature : Feature
    value : float
    """

    row: Any
    task: str
    output: str
    feature: Feature
    value: float


def check_method(method: Method) -> None:
    """Raise UserError if the package of a method is not there."""
    package = PACKAGES[method]
    if importlib.util.find_spec(package) is None:
        raise UserError("--method", f"{method} needs the package {package}", f"pip install 'mtl-cli[{package}]'")


def _check_suits(model: TrainedModel, examples: Examples, method: Method) -> None:
    """Raise UserError if a method does not suit the data."""
    spec = model.reader.spec
    if examples.origin is not None:
        hint = "mtl explain RUN NAME=DATA --method permutation explains them together"
        raise UserError("--method", f"{method} is not made for joined data sets", hint)
    if spec.kind in ("text", "pieces"):
        raise UserError("--method", f"{method} is not made for texts", "--method permutation shuffles their words")
    if spec.reference:
        what = f"{method} is not made for families, which are read as differences from a reference"
        raise UserError("--method", what, "--method permutation shuffles their positions")
    if spec.kind == "sequence" and method == "shap":
        raise UserError("--method", "shap has no values for sequences", "--method integrated-gradients has")


def attributions(
    model: TrainedModel, examples: Examples, rows: Sequence[int], method: Method, seed: int = 0
) -> list[Attribution]:
    """Return what each feature adds, for some of the rows of ``examples`` and each of the ``explained_tasks``.

    Raises
    ------
    UserError
        If the package is missing, or the method does not suit the data.
    """
    _check_suits(model, examples, method)
    check_method(method)
    inputs = examples.inputs.dense()
    whole = replace(examples, inputs=inputs)
    features = model.reader.places(whole)
    found = []
    for name in explained_tasks(model):
        outputs = model.outputs(inputs.select(np.asarray(rows)))[name]
        for place, row in enumerate(rows):
            chosen, called = _explained_output(model, name, outputs[place])
            explain = _integrated if method == "integrated-gradients" else _shapley
            values = explain(model, name, chosen, inputs, row, features, seed)
            whose = examples.ids.iloc[row]
            found += [Attribution(whose, name, called, f, float(v)) for f, v in zip(features, values, strict=True)]
    return found


def explained_tasks(model: TrainedModel) -> list[str]:
    """Return the tasks whose outputs are plain numbers or log-odds, as those of the other kinds are not."""
    return [name for name, task in model.tasks.items() if task.kind in KINDS]


def _explained_output(model: TrainedModel, name: str, output: np.ndarray) -> tuple[int, str]:
    """Return which of a task's outputs is explained, and what to call it."""
    task = model.tasks[name]
    if task.explained_as is not None:
        return 0, f"{name}: {task.explained_as}"
    if task.learns == "number":
        return len(output) // 2, name
    classes = [str(label) for label in task.state().get("classes", task.state().get("labels", []))]
    if len(output) == 1:
        return 0, classes[-1]
    chosen = int(np.argmax(output))
    return chosen, classes[chosen] if chosen < len(classes) else name


def scores(model: TrainedModel, name: str, chosen: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the function from inputs to the output that is explained, (n,), the mean over members."""

    def of_member(member: Member, inputs: torch.Tensor) -> torch.Tensor:
        task = model.tasks[name]
        outputs: torch.Tensor = member.network(inputs)[name]
        if task.explained_as is not None:
            return member.tasks[name].explained(outputs)
        output = outputs[:, chosen]
        if task.learns == "number":
            fitted = member.tasks[name].state()
            scale, center = float(fitted.get("scale", 1.0)), float(fitted.get("center", 0.0))
            return output * scale + center
        if task.one_class and task.outputs > 1:
            others = torch.cat([outputs[:, :chosen], outputs[:, chosen + 1 :]], 1)
            return output - torch.logsumexp(others, 1)  # log p / (1 − p)
        return output

    return lambda inputs: torch.stack([of_member(member, inputs) for member in model.members]).mean(0)


def _integrated(
    model: TrainedModel, name: str, chosen: int, inputs: InputRows, row: int, features: list[Feature], seed: int
) -> np.ndarray:
    from captum.attr import IntegratedGradients

    output_of = scores(model, name, chosen)
    one = inputs.select(np.array([row])).take(slice(0, 1))
    assert isinstance(one, torch.Tensor)
    if inputs.lengths is not None:
        values = _by_token(model, output_of, one)
        return np.array([values[[p for p in f.inputs if p < len(values)]].sum() for f in features])
    assert isinstance(inputs, DenseRows)
    baseline = inputs.values.float().mean(0, keepdim=True)
    found = IntegratedGradients(output_of).attribute(one.float(), baseline, n_steps=STEPS)
    values = found.flatten().detach().numpy()
    return np.array([values[list(feature.inputs)].sum() for feature in features])


def _by_token(model: TrainedModel, output_of: Callable[..., torch.Tensor], one: torch.Tensor) -> np.ndarray:
    """Return what each token adds, (tokens,), by the layers that make vectors of tokens; the mean over members."""
    from captum.attr import LayerIntegratedGradients

    layers = [
        next(module for module in member.network.modules() if isinstance(module, nn.Embedding))
        for member in model.members
    ]
    names = model.reader.spec.names
    baseline = torch.full_like(one, names.index("X") if "X" in names else 0)
    found = LayerIntegratedGradients(output_of, layers).attribute(one, baseline, n_steps=STEPS)
    return np.asarray(sum(each.sum(-1)[0].detach().numpy() for each in found))


def _shapley(
    model: TrainedModel, name: str, chosen: int, inputs: InputRows, row: int, features: list[Feature], seed: int
) -> np.ndarray:
    import shap

    assert isinstance(inputs, DenseRows)
    output_of, random = scores(model, name, chosen), np.random.default_rng(seed)
    some = np.sort(random.choice(len(inputs), min(BACKGROUND, len(inputs)), replace=False))
    flat = inputs.values.flatten(1)
    background, one = flat[torch.from_numpy(some)], flat[row]
    owner = torch.zeros(flat.shape[1], dtype=torch.int64)
    for number, feature in enumerate(features):
        owner[list(feature.inputs)] = number

    @torch.no_grad()
    def value(masks: np.ndarray) -> np.ndarray:
        """Return the mean output over the background, for masks of the features that are there, (m, features)."""
        kept = torch.from_numpy(masks.astype(bool))[:, owner]
        means = [
            output_of(torch.where(mask, one, background).view(-1, *inputs.values.shape[1:])).mean() for mask in kept
        ]
        return torch.stack(means).numpy()

    absent, present = np.zeros((1, len(features))), np.ones((1, len(features)))
    explainer = shap.PermutationExplainer(value, absent, seed=seed)
    found = explainer(present, max_evals=(2 * len(features) + 1) * ROUNDS, silent=True)
    return np.asarray(found.values[0])
