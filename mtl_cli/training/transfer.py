"""Starting from the trunk of another run: what must be the same, and what is taken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from torch import nn

from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.registry import components
from mtl_cli.config.schema import Config, Model
from mtl_cli.data.inputs import InputSpec, feature_problems
from mtl_cli.data.prepared import Notice, Prepared
from mtl_cli.inference.trained import TrainedModel
from mtl_cli.models.network import Network


def read_source(config: Config) -> TrainedModel:
    """Return the run that ``init_from`` names.

    Raises
    ------
    UserError
        If there is no such run, or with each key of the model in which the two trunks differ.
    """
    assert config.init_from is not None
    try:
        source = TrainedModel.load(config.init_from)
    except UserError as error:
        raise UserError.of(Problem("init_from", f"{p.where}: {p.what}", p.hint) for p in error.problems) from error
    if problems := list(_differences(config.model, source.config.model, config.init_from)):
        raise UserError.of(problems)
    return source


def _differences(model: Model, other: Model, run: str) -> Iterator[Problem]:
    """Yield each key that changes what a trunk computes and is not the same; those of training alone may differ."""
    yield from _between("trunk", "model", _settled(model.trunk), _settled(other.trunk), run)
    yield from _between("sharing", "model/sharing", model.sharing, other.sharing, run)


def _settled(trunk: Any) -> Any:
    """Return a trunk's config without the files that it reads: as a model file keeps it."""
    return trunk.settled() if hasattr(trunk, "settled") else trunk


def _between(group: str, choice: str, mine: Any, theirs: Any, run: str) -> Iterator[Problem]:
    names = {cls: name for name, cls in components(group).items()}
    if type(mine) is not type(theirs):
        what = f"is {names[type(mine)]}, and {run} has {names[type(theirs)]}"
        yield Problem(f"model.{group}.kind", what, f"{choice}={names[type(theirs)]}")
        return
    for field in fields(mine):
        key, own, other = f"model.{group}.{field.name}", getattr(mine, field.name), getattr(theirs, field.name)
        if own != other and field.name not in getattr(mine, "training_only", ()):
            hint = f"{key}={_written(other)}" if isinstance(other, str | int | float | list) else None
            yield Problem(key, f"is {_written(own)}, and {run} has {_written(other)}", hint)


def _written(value: Any) -> str:
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)


def prepare_like(config: Config, source: TrainedModel, notice: Notice) -> Prepared:
    """Prepare the data set for the trunk of ``source``, which reads features by name and in units of its own.

    A table is encoded and scaled as it was there: refitted to the new rows, the same measurement would become another
    number, and the trunk, which knows the old one, would take it for another measurement. A data set that cannot keep
    another's encoder has its own, and must have the same features.

    Raises
    ------
    UserError
        With each feature that only one of the two has, or as ``prepare`` of the data set.
    """
    assert config.init_from is not None
    if getattr(config.dataset, "keeps_encoder", False):
        data: Prepared = config.dataset.prepare(config.tasks, notice, like=source.reader)
    else:
        data = config.dataset.prepare(config.tasks, notice)
    _check_inputs(data.reader.spec, source.reader.spec, config.init_from)
    return data


def _check_inputs(own: InputSpec, theirs: InputSpec, run: str) -> None:
    """Raise UserError if inputs are not those that the trunk of ``run`` reads, naming the features that differ."""
    if own.kind != theirs.kind:
        raise UserError("init_from", f"{run} reads {theirs.kind} inputs, and this data set gives {own.kind} inputs")
    problems = feature_problems(own.names, theirs.names)
    if not problems and (own.names != theirs.names or own.shape != theirs.shape):
        what = "inputs of another order" if own.shape == theirs.shape else f"inputs of shape {theirs.shape}"
        problems = [Problem("init_from", f"{run} reads {what}, and this data set gives {own.shape}")]
    for name in own.parts.keys() & theirs.parts.keys():
        _check_inputs(own.parts[name], theirs.parts[name], run)
    if own.parts.keys() != theirs.parts.keys():
        parts = ", ".join(theirs.parts)
        problems.append(Problem("init_from", f"{run} joins the data sets {parts}, and this run {', '.join(own.parts)}"))
    if problems:
        raise UserError.of(problems)


def take_trunk(network: Network, source: TrainedModel, config: Config, notice: Notice) -> None:
    """Copy the trunk of ``source`` into ``network``, batch norm's running statistics included, and say what was taken.

    Where both runs have the same tasks, what a sharing scheme adds for each task is taken too.

    Raises
    ------
    UserError
        If trunks are the tasks' own and the tasks are others, or a shape differs.
    """
    run, old, new = config.init_from, source.network, network
    if list(source.tasks) == list(network.heads):
        pairs: list[tuple[nn.Module, nn.Module]] = [(new.shared, old.shared)]
    elif network.trunks_of_tasks:
        what = f"some of its trunks are of one task, and {run} has the tasks {', '.join(source.tasks)}"
        raise UserError("init_from", what, "give both runs the same tasks, or share one trunk")
    else:
        pairs = list(zip(new.trunks(), old.trunks(), strict=True))
    tensors = numbers = 0
    taken: set[int] = set()
    for mine, theirs in pairs:
        try:
            mine.load_state_dict(theirs.state_dict())
        except RuntimeError as error:
            raise UserError("init_from", f"the trunk of {run} does not fit: {error}") from error
        parameters = list(mine.parameters())
        tensors, numbers = tensors + len(parameters), numbers + sum(p.numel() for p in parameters)
        taken |= {id(p) for p in parameters}
    fresh = sum(p.numel() for p in network.parameters() if id(p) not in taken)
    kept = getattr(config.dataset, "keeps_encoder", False)
    inputs = "inputs are encoded and scaled as there" if kept else "inputs are encoded anew"
    notice(
        f"init_from: the trunk is that of {run}, {numbers:,} parameters in {tensors} tensors; {inputs}; new are"
        f" {fresh:,} parameters, with the heads of {', '.join(network.heads)}"
    )
