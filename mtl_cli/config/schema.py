"""The keys of a run's config that do not depend on which components were chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal

from mtl_cli.config.convert import (
    Component,
    Converter,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Probability,
    Seed,
)
from mtl_cli.config.errors import Problem, UserError, did_you_mean
from mtl_cli.config.registry import components
from mtl_cli.config.short_forms import write_out

PrecisionName = Literal["float32", "bfloat16", "float16"]
Activation = Literal["relu", "gelu", "silu", "tanh", "leaky_relu"]


@dataclass(frozen=True)
class Head:
    """The layers between the trunk and one task's output."""

    hidden: list[PositiveInt] = field(default_factory=list)
    activation: Activation = "relu"
    dropout: Probability = 0.0


def _hard() -> Any:
    return components("sharing")["hard"]()


@dataclass(frozen=True)
class Adapter:
    """The layer that brings one of several joined data sets' features to the width that the trunk reads."""

    width: PositiveInt = 64
    activation: Activation = "relu"


@dataclass(frozen=True)
class Model:
    """The network: a trunk, how the tasks share it, and a head per task."""

    trunk: Annotated[Any, Component("trunk")]
    sharing: Annotated[Any, Component("sharing")] = field(default_factory=_hard)
    head: Head = field(default_factory=Head)
    heads: dict[str, Head] = field(default_factory=dict)
    adapter: Adapter = field(default_factory=Adapter)


@dataclass(frozen=True)
class EarlyStopping:
    """Stop when the validation score has not risen by ``min_delta`` for ``patience`` epochs; keep the best weights."""

    patience: PositiveInt = 30
    min_delta: NonNegativeFloat = 0.0


@dataclass(frozen=True)
class Trainer:
    """How long and in what pieces to train."""

    epochs: PositiveInt = 200
    batch_size: PositiveInt | None = 64
    accumulate: PositiveInt = 1
    precision: PrecisionName = "float32"
    clip_norm: PositiveFloat | None = None
    log_balance: Literal["epoch"] | PositiveInt = "epoch"
    early_stopping: EarlyStopping | None = field(default_factory=EarlyStopping)

    def check(self, config: Config) -> Iterator[Problem]:
        """Yield what does not go together."""
        if self.accumulate is not None and self.accumulate > 1 and self.batch_size is None:
            what = f"is {self.accumulate}, but trainer.batch_size=null makes all rows one batch"
            yield Problem("trainer.accumulate", what, "trainer.accumulate=1, or a trainer.batch_size")
        if self.precision == "float16" and config.device == "cpu":
            yield Problem("trainer.precision", "float16 is not for the CPU", "trainer.precision=bfloat16")


@dataclass(frozen=True)
class Config:
    """A whole run."""

    dataset: Annotated[Any, Component("dataset")]
    tasks: dict[str, Annotated[Any, Component("task")]]
    model: Model
    balancer: Annotated[Any, Component("balancer")]
    optimizer: Annotated[Any, Component("optimizer")]
    scheduler: Annotated[Any, Component("scheduler")]
    regularizer: Annotated[Any, Component("regularizer")] | None = None
    trainer: Trainer = field(default_factory=Trainer)
    init_from: str | None = None
    seed: Seed = 0
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    plots: bool = True
    run_dir: str | None = None


def parse(raw: Mapping[str, Any], check: bool = True) -> Config:
    """Turn a composed config into a ``Config``.

    Parameters
    ----------
    raw : mapping
        Plain values, as ``OmegaConf.to_container(resolve=True)`` gives them.
    check : bool, default True
        Also check parts against each other and against the files they name, as training needs.

    Raises
    ------
    UserError
        With every problem found, not only the first.
    """
    raw = normalise(raw)
    if isinstance(raw.get("tasks"), str):
        hint = "quote it, with a space after each colon: tasks='{price: {kind: regression, target: \"a b\"}}'"
        raise UserError("tasks", f"cannot be read: {raw['tasks']}", hint)
    converter = Converter()
    raw, converter.problems = _without_misspelt_tasks(raw)
    config = Config(**{f.name: None for f in fields(Config)} | converter.fields(Config, raw, ""))
    problems = converter.problems + (list(_check(config)) if check else [])
    if problems:
        raise UserError.of(problems)
    return config


def _without_misspelt_tasks(raw: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Take out tasks without a kind whose names are near another's: a key of that one was meant."""
    tasks = raw.get("tasks")
    if not isinstance(tasks, Mapping):
        return raw, []
    whole = [name for name, task in tasks.items() if not isinstance(task, Mapping) or "kind" in task]
    kept, problems = {}, []
    for name, task in tasks.items():
        hint = None if name in whole or not whole else did_you_mean(str(name), whole)
        if hint is not None and hint.startswith("did"):
            problems.append(Problem(f"tasks.{name}", f"no task is called '{name}'", hint))
        else:
            kept[name] = task
    return {**raw, "tasks": kept}, problems


def normalise(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Write the short forms out, and let heads inherit from ``model.head``."""
    plain = write_out(raw)
    model = plain.get("model")
    if isinstance(model, Mapping) and isinstance(model.get("heads"), Mapping):
        shared = model.get("head") or {}
        heads = {
            name: {**shared, **head} if isinstance(head, Mapping) else head for name, head in model["heads"].items()
        }
        plain["model"] = {**model, "heads": heads}
    return plain


def _check(config: Config) -> Iterator[Problem]:
    """Check what needs more than one key. A part that did not convert is None and has been reported."""
    names = list(config.tasks or {})
    if config.tasks is not None and not names:
        yield Problem("tasks", "no task is given", "for example tasks='{price: regression, sold: binary}'")
    if names and all(getattr(task, "auxiliary", False) for task in config.tasks.values()):
        yield Problem("tasks", "all are auxiliary: none is left to be scored by", "leave one without auxiliary: true")
    for name in names:
        if not name.strip() or "." in name or name == "total":
            why = (
                "names the sum of all losses" if name == "total" else "cannot stand in a key such as tasks.NAME.weight"
            )
            yield Problem(f"tasks.{name}", f"'{name}' {why}", f"choose another name, with target: '{name}'")
        task = config.tasks[name]
        if isinstance(getattr(task, "target", None), list) and not getattr(task, "several_columns", False):
            yield Problem(f"tasks.{name}.target", "must be one column", "several columns are for kind: multilabel")
        if getattr(task, "weight_schedule", None) is not None:
            yield from task.weight_schedule.check(f"tasks.{name}.weight_schedule")
        joined = config.dataset is None or hasattr(config.dataset, "datasets")  # None: it was meant to be, or may be
        if getattr(task, "dataset", None) is not None and not joined:
            yield Problem(f"tasks.{name}.dataset", "is for joined data sets, dataset=joint", "leave it out")
        if f"{name}_prob" in names:
            what = f"its probabilities would have the name of the predictions of '{name}_prob'"
            yield Problem(f"tasks.{name}", what, "rename one of the two")
    if config.model is not None:
        yield from unknown_tasks(config.model.heads, names, "model.heads")
    yield from _check_inputs(config)
    parts = {
        "dataset": config.dataset,
        "balancer": config.balancer,
        "model.trunk": config.model.trunk if config.model else None,
        "model.sharing": config.model.sharing if config.model else None,
        "regularizer": config.regularizer,
        "optimizer": config.optimizer,
        "scheduler": config.scheduler,
        "trainer": config.trainer,
        **{f"tasks.{name}": task for name, task in (config.tasks or {}).items()},
    }
    for part in parts.values():
        if hasattr(part, "check"):
            yield from part.check(config)


def _check_inputs(config: Config) -> Iterator[Problem]:
    """Check that the trunk reads what the data set gives, and has what the tasks label."""
    trunk, gives = config.model.trunk if config.model else None, getattr(config.dataset, "input_kind", None)
    if trunk is None:
        return
    takes: tuple[str, ...] = getattr(trunk, "accepts", (str(gives),))
    levels: tuple[str, ...] = getattr(trunk, "levels", ("row",))
    if gives is not None and gives not in takes:
        readers = [kind for kind, other in components("trunk").items() if gives in getattr(other, "accepts", ())]
        what = f"reads {' or '.join(takes)} inputs, and this data set gives {gives} inputs"
        hint = f"choose model={' or model='.join(readers)}" if readers else None
        if takes == ("sequence",) and hasattr(config.dataset, "sequence"):
            hint = "give dataset.sequence=COLUMN, the column of the sequences"
        yield Problem("model.trunk", what, hint)
    for name, task in (config.tasks or {}).items():
        if getattr(task, "level", "row") == "token" and gives not in (None, "sequence"):
            hint = "give dataset.sequence=COLUMN, or another kind" if hasattr(config.dataset, "sequence") else None
            what = f"residue tasks are for sequences, and this data set gives {gives} inputs"
            yield Problem(f"tasks.{name}", what, hint)
        elif getattr(task, "level", "row") not in levels:
            yield Problem(f"tasks.{name}", f"labels each {task.level}, and this trunk represents whole rows only")


def unknown_tasks(found: Mapping[str, Any] | list[str], names: list[str], where: str) -> Iterator[Problem]:
    """Yield a problem for each of ``found`` that is no task."""
    for name in found:
        if name not in names:
            key = f"{where}.{name}" if isinstance(found, Mapping) else where
            yield Problem(key, f"no task is called '{name}'", did_you_mean(name, names))
