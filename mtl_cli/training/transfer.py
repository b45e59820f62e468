"""Starting from the trunk of another run: what must be the same, and what is taken."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields
from typing import Any

from torch import nn

from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.registry import components
from mtl_cli.config.schema import Config, Model
from mtl_cli.data.base import Notice, Prepared
from mtl_cli.data.folding import Folding
from mtl_cli.data.inputs import InputSpec, feature_problems
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
    mine, theirs = model.trunk.settled(), other.trunk.settled()  # without files, as a model file keeps it
    if type(mine) is type(theirs):
        free = (*mine.training_only, *mine.free_keys(theirs))
        yield from _changed("model.trunk", mine, theirs, run, free)
    else:
        yield _other_kind("trunk", "model", mine, theirs, run)
    if type(model.sharing) is type(other.sharing):
        yield from _changed("model.sharing", model.sharing, other.sharing, run)
    else:
        yield _other_kind("sharing", "model/sharing", model.sharing, other.sharing, run)


def _other_kind(group: str, choice: str, mine: Any, theirs: Any, run: str) -> Problem:
    names = {cls: name for name, cls in components(group).items()}
    what = f"is {names[type(mine)]}, and {run} has {names[type(theirs)]}"
    return Problem(f"model.{group}.kind", what, f"{choice}={names[type(theirs)]}")


def _changed(where: str, mine: Any, theirs: Any, run: str, free: Collection[str] = ()) -> Iterator[Problem]:
    """Yield each key that is not the same, but for those in ``free``."""
    for field in fields(mine):
        key, own, other = f"{where}.{field.name}", getattr(mine, field.name), getattr(theirs, field.name)
        if own != other and field.name not in free:
            hint = f"{key}={_written(other)}" if isinstance(other, str | int | float | list) else None
            yield Problem(key, f"is {_written(own)}, and {run} has {_written(other)}", hint)


def _written(value: Any) -> str:
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)


def prepare_like(config: Config, source: TrainedModel, notice: Notice, folding: Folding | None = None) -> Prepared:
    """Prepare the data set for the trunk of ``source``, which reads features by name and in units of its own.

    A table is encoded and scaled as it was there: refitted to the new rows, the same measurement would become another
    number, and the trunk, which knows the old one, would take it for another measurement. Cells give the genes that
    were read there. A data set that cannot keep another's encoder has its own, and must have the same features.

    Raises
    ------
    UserError
        With each feature that only one of the two has, or as ``prepare`` of the data set.
    """
    assert config.init_from is not None
    further: dict[str, Any] = {} if folding is None else {"folding": folding}
    if config.dataset.keeps_encoder or config.dataset.keeps_features:
        further["like"] = source.reader
    data: Prepared = config.dataset.prepare(config.tasks, notice, **further)
    _check_inputs(data.reader.spec, source.reader.spec, config.init_from)
    if data.reader.spec.kind == "joint":
        free = () if _same_parts(data.reader.spec.parts, source.reader.spec.parts) else ("activation",)
        mine, theirs = config.model.adapter, source.config.model.adapter
        if problems := list(_changed("model.adapter", mine, theirs, config.init_from, free)):
            raise UserError.of(problems)
    return data


def _same_parts(own: Mapping[str, InputSpec], theirs: Mapping[str, InputSpec]) -> list[str]:
    """Return the joined data sets that both runs have, with the same features: an adapter of theirs fits ours."""
    return [name for name in own if name in theirs and own[name].names == theirs[name].names]


def _check_inputs(own: InputSpec, theirs: InputSpec, run: str) -> None:
    """Raise UserError if inputs are not those that the trunk of ``run`` reads, naming the features that differ.

    Of joined data sets with features of their own the trunk reads what adapters make of them: they may be others.
    """
    if own.kind != theirs.kind:
        raise UserError("init_from", f"{run} reads {theirs.kind} inputs, but this data set has {own.kind} inputs")
    problems = feature_problems(own.names, theirs.names)
    if not problems and own.shape != theirs.shape:
        what = f"{run} reads inputs of shape {theirs.shape}, but this data set has {own.shape}"
        problems = [Problem("init_from", what)]
    elif not problems and own.names != theirs.names:
        here, there = next(pair for pair in zip(own.names, theirs.names, strict=True) if pair[0] != pair[1])
        what = f"the features are those of {run} in another order: first, '{here}' is where it reads '{there}'"
        order = ", ".join(theirs.names[:10]) + ", …" * (len(theirs.names) > 10)
        problems = [Problem("init_from", what, f"give the columns in the order {order}")]
    elif own.reference != theirs.reference:
        what = f"{run} reads differences from another sequence than this data set's"
        problems = [Problem("init_from", what, "give both runs the same dataset.reference, or none")]
    if problems:
        raise UserError.of(problems)


def take_trunk(network: Network, source: TrainedModel, config: Config, notice: Notice, member: int = 0) -> None:
    """Copy the trunk of ``source`` into ``network``, batch norm's running statistics included, and say what was taken.

    Of a run with several members it is the trunk of one: as many members as there are get one each, and further ones
    begin again with the first.

    Where both runs have the same tasks, what a sharing scheme adds for each task is taken too; and where both join data
    sets, the adapter of each that has the same name and features.

    Raises
    ------
    UserError
        If trunks are the tasks' own and the tasks are others, or a shape differs.
    """
    run, old, new = config.init_from, source.members[member % len(source.members)].network, network
    if list(source.tasks) == list(network.heads):
        pairs: list[tuple[nn.Module, nn.Module]] = [(new.shared, old.shared)]
    elif network.trunks_of_tasks:
        names, others = ", ".join(source.tasks), set(source.tasks) != set(network.heads)
        what = f"some of its trunks are of one task, and {run} has the tasks {names}"
        hint = "give both runs the same tasks, or share one trunk" if others else f"give the tasks in the order {names}"
        raise UserError("init_from", what, hint)
    else:
        pairs = list(zip(new.trunks(), old.trunks(), strict=True))
    entered: list[str] = []
    if new.entry is not None and old.entry is not None:
        entered = _same_parts(new.entry.specs, old.entry.specs)
        mine_of, theirs_of = new.entry.by_dataset(), old.entry.by_dataset()
        pairs += [(mine_of[name], theirs_of[name]) for name in entered]
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
    inputs = (
        "inputs are encoded and scaled as there"
        if config.dataset.keeps_encoder
        else "inputs are encoded as this config says"
    )
    adapters = f", with the adapters of {', '.join(entered)}" if entered else ""
    notice(
        f"init_from: the trunk is that of {run}, {numbers:,} parameters in {tensors} tensors{adapters}; {inputs};"
        f" new are {fresh:,} parameters, with the heads of {', '.join(network.heads)}"
    )
