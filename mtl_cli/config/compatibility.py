"""Which parts of a config go together: every check that needs more than one part, over what the parts declare.

What is wrong within one part alone is for its own ``check``. A part that could not be converted is None here: that has
been reported, and nothing is said about it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mtl_cli.config.errors import Problem, did_you_mean, unknown_tasks
from mtl_cli.config.intervals import FORMS, read_interval
from mtl_cli.config.registry import components, name_of
from mtl_cli.config.schema import BASELINES, FAMILY_BASELINE, Config, Trainer


def problems_between(config: Config) -> Iterator[Problem]:
    """Yield everything that can be known to be wrong with a config whose values are of the right types."""
    yield from _tasks(config)
    if config.model is not None:
        yield from unknown_tasks(config.model.heads, list(config.tasks or {}), "model.heads")
    yield from _inputs(config)
    if config.dataset is not None:
        yield from config.dataset.check(config)
    yield from _balancer(config)
    yield from _trunk(config)
    yield from _sharing(config)
    yield from _regularizer(config)
    yield from _optimizer(config)
    yield from _scheduler(config)
    yield from _trainer(config)
    for name, task in (config.tasks or {}).items():
        if task is not None:
            yield from task.check(name)


def misfit(scheme: Any, trunk: Any, fixed_shape: bool) -> str | None:
    """Say why a sharing scheme cannot share a trunk, or return None.

    Parameters
    ----------
    scheme : Scheme, or a class of it
    trunk : TrunkConfig
    fixed_shape : bool
        Whether all rows are tensors of one shape.
    """
    if scheme.mixes and not fixed_shape:
        return "mixes trunks that read rows of one shape, and those of this data set differ in length"
    if scheme.stages and trunk.staged not in scheme.stages:
        return f"joins trunks stage by stage, and this one has no stages that return {' or '.join(scheme.stages)}"
    return None


def _tasks(config: Config) -> Iterator[Problem]:
    names = list(config.tasks or {})
    if config.tasks is not None and not names:
        yield Problem("tasks", "no task is given", "for example tasks='{price: regression, sold: binary}'")
    if names and all(task is not None and task.auxiliary for task in config.tasks.values()):
        yield Problem("tasks", "all are auxiliary: none is left to be scored by", "leave one without auxiliary: true")
    for name in names:
        if not name.strip() or "." in name or name == "total":
            why = (
                "names the sum of all losses" if name == "total" else "cannot stand in a key such as tasks.NAME.weight"
            )
            yield Problem(f"tasks.{name}", f"'{name}' {why}", f"choose another name, with target: '{name}'")
        if (task := config.tasks[name]) is not None:
            if isinstance(task.target, list) and not task.several_columns:
                yield Problem(f"tasks.{name}.target", "must be one column", "several columns are for kind: multilabel")
            if task.weight_schedule is not None:
                yield from task.weight_schedule.check(f"tasks.{name}.weight_schedule")
            if task.weight_column is not None and not _has_columns(config, task.dataset):
                yield Problem(f"tasks.{name}.weight_column", "this data set has no columns beside inputs and labels")
            if task.dataset is not None and _is_alone(config.dataset):
                yield Problem(f"tasks.{name}.dataset", "is for joined data sets, dataset=joint", "leave it out")
        if f"{name}_prob" in names:
            what = f"its probabilities would have the name of the predictions of '{name}_prob'"
            yield Problem(f"tasks.{name}", what, "rename one of the two")
        if config.tasks[name] is not None:
            yield from _post_hoc(config, name)


def _post_hoc(config: Config, name: str) -> Iterator[Problem]:
    """Check the steps behind the outputs of a task, and the columns that it writes."""
    task, kinds = config.tasks[name], components("task")
    for key in task.post_hoc_asked:
        if key not in task.post_hoc_keys:
            able = ", ".join(kind for kind, other in kinds.items() if key in other.post_hoc_keys)
            what = f"is for tasks of the kinds {able}, and this one is of kind {name_of('task', task)}"
            yield Problem(f"tasks.{name}.{key}", what, "leave it out")
    others = {column for other in config.tasks for column in (other, f"predicted_{other}")}
    for column in others.intersection(task.further_columns(name)):
        what = f"writes a column '{column}', and so does the task '{column.removeprefix('predicted_')}'"
        yield Problem(f"tasks.{name}", what, "rename one of the two")
    folded = config.trainer is not None and isinstance(config.trainer.folds, int)
    if config.dataset is not None and not config.dataset.validates and not folded:
        for key in task.post_hoc_fitted:
            what = "needs validation rows, which the model is not trained on"
            yield Problem(f"tasks.{name}.{key}", what, "give dataset.split.val, or trainer.folds=5")


def _has_columns(config: Config, member: str | None) -> bool:
    source = config.dataset
    if source is not None and member is not None:
        source = source.members.get(member)
    return source is None or bool(source.has_columns)


def _inputs(config: Config) -> Iterator[Problem]:
    """Check that the trunk reads what the data set gives, and has what the tasks label."""
    trunk = config.model.trunk if config.model else None
    if trunk is None:
        return
    gives, hint = _given(config), None
    if gives is not None and gives not in trunk.accepts:
        readers = [kind for kind, other in components("trunk").items() if gives in other.accepts]
        what = f"reads {' or '.join(trunk.accepts)} inputs, but this data set has {gives} inputs"
        hint = f"choose model={' or model='.join(readers)}" if readers else None
        if (key := config.dataset.input_hint(trunk.accepts[0])) is not None:
            kind = "sequences" if trunk.accepts[0] == "sequence" else "texts"
            hint = f"give {key}" + (f", the column of the {kind}" if key.endswith("COLUMN") else "")
        yield Problem("model.trunk", what, hint)
    for name, task in _known_tasks(config).items():
        wanted = task.token_inputs
        if (
            task.level == "token"
            and gives is not None
            and (config.dataset.fixed_shape or gives not in (wanted or gives))
        ):
            kinds = " or ".join(f"{kind}s" for kind in wanted[:1] or ("sequence",))
            what = f"{name_of('task', task)} tasks are for {kinds}, but this data set has {gives} inputs"
            key = config.dataset.input_hint(wanted[0]) if wanted else None
            yield Problem(f"tasks.{name}", what, None if key is None else f"give {key}, or another kind")
        elif task.level not in trunk.levels:
            yield Problem(f"tasks.{name}", f"labels each {task.level}, and this trunk represents whole rows only")


def _balancer(config: Config) -> Iterator[Problem]:
    balancer = config.balancer
    if balancer is None:
        return
    yield from balancer.check(list(config.tasks or {}))
    name = name_of("balancer", balancer)
    if balancer.needs == "losses" and balancer.backend != "auto":
        what = f"has no effect: {name} does not look at the tasks' gradients"
        yield Problem("balancer.backend", what, "leave it out, or choose a balancer that needs more than losses")
    if balancer.needs == "losses" or config.model is None:
        return
    if balancer.needs not in ("norms", "gramian", "jacobian", *(known := components("statistic"))):
        what = f"{name} needs '{balancer.needs}', and no statistic has that name"
        yield Problem(
            "balancer", what, did_you_mean(balancer.needs, ["losses", "norms", "gramian", "jacobian", *known])
        )
    trunk, sharing = config.model.trunk, config.model.sharing
    levels = {task.level for task in _known_tasks(config).values()}
    if trunk is not None and trunk.freeze == "all":
        what = f"is all: nothing shared is trained, and balancer={name} needs its gradients"
        yield Problem(
            "model.trunk.freeze", what, "a number of epochs, or a balancer that needs only losses, such as uniform"
        )
    if trunk is not None and not trunk.shares_layers:
        yield Problem("model.trunk.hidden", f"is empty: balancer={name} needs a shared layer", "give it one, [64]")
    elif sharing is not None and not sharing.shares_layers:
        able = [other for other, cls in components("sharing").items() if cls.shares_layers]
        what = f"shares no layer, and balancer={name} looks at gradients on shared layers"
        yield Problem("model.sharing", what, f"choose from {', '.join(able)}; or balancer=uniform")
    elif balancer.at_representation and sharing is not None and not sharing.one_representation:
        what = "representation needs one that all tasks share, and with this model.sharing each task has its own"
        yield Problem("balancer.geometry", what, "balancer.geometry=parameters")
    elif balancer.at_representation and len(levels) > 1:
        what = "representation needs one that all tasks share, and tasks of rows read another than tasks of tokens"
        yield Problem("balancer.geometry", what, "balancer.geometry=parameters")


def _trunk(config: Config) -> Iterator[Problem]:
    trunk = config.model.trunk if config.model else None
    if trunk is None:
        return
    epochs = None if config.trainer is None else config.trainer.epochs
    if isinstance(trunk.freeze, int) and isinstance(epochs, int) and trunk.freeze >= epochs:
        what = f"holds the trunk for {trunk.freeze} of {epochs} epochs"
        yield Problem("model.trunk.freeze", what, "give fewer than trainer.epochs, or all")
    yield from trunk.check(list(config.tasks or {}))
    yield from _strands(config, trunk)
    yield from _linear(config, trunk)
    gives, most = _given(config), trunk.longest
    if trunk.embeds_numbers and gives not in (None, "features"):
        what = f"embeds features, but this data set has {gives} inputs"
        yield Problem("model.trunk.embeddings.kind", what, "model.trunk.embeddings=null")
    if gives is not None and gives in trunk.accepts and most is not None and not config.dataset.fixed_shape:
        longest = config.dataset.longest
        if longest is None or longest > most:
            allowed = "any number" if longest is None else longest
            what = f"reads at most {most} tokens of a sequence, and this data set allows {allowed}"
            yield Problem("model.trunk", what, config.dataset.shorten_hint(most))


def _linear(config: Config, trunk: Any) -> Iterator[Problem]:
    """Check that linear models could be beside a trunk; whether they are depends on the data."""
    if config.model.linear == "auto" and not set(trunk.accepts) & {"sequence", "text"}:
        what = f"is for sequences and texts, and this trunk reads {' or '.join(trunk.accepts)} inputs"
        yield Problem("model.linear", what, "model.linear=none")


def _strands(config: Config, trunk: Any) -> Iterator[Problem]:
    """Check that there is a reverse complement where a trunk is to read it."""
    if not trunk.reads_both_strands or config.dataset is None:
        return
    if config.dataset.alphabet_known == "protein":
        yield Problem("model.trunk.reverse_complement", "is for DNA and RNA: proteins have no other strand", "none")
    for name, task in _known_tasks(config).items():
        if task.level == "token":
            what = f"cannot hold for '{name}', whose labels of each letter have no order on the other strand"
            yield Problem("model.trunk.reverse_complement", what, "none")


def _sharing(config: Config) -> Iterator[Problem]:
    trunk, sharing = (config.model.trunk, config.model.sharing) if config.model else (None, None)
    if trunk is None or sharing is None:
        return
    name = name_of("sharing", sharing)
    fixed = config.dataset is None or config.dataset.fixed_shape
    if not sharing.layerless and not trunk.shares_layers:
        yield Problem("model.trunk.hidden", f"is empty: model.sharing={name} needs a layer", "give it one, [64]")
    elif why := misfit(sharing, trunk, fixed):
        able = [other for other, cls in components("sharing").items() if misfit(cls, trunk, fixed) is None]
        yield Problem("model.sharing", f"{name} {why}", f"choose from {', '.join(able)}")
    width, mixed = trunk.output_width, sharing.mixed()
    if mixed is not None and width is not None and mixed[1] > width:
        what = f"a gate mixes {mixed[1]} experts, and what they return is {width} wide: more of them span no more"
        yield Problem(f"model.sharing.{mixed[0]}", what, f"at most {width}, or a wider model.trunk.hidden")
    if sharing.within_budget and not trunk.can_scale:
        what = "total makes trunks narrower, which this kind of trunk does not support"
        yield Problem("model.sharing.budget", what, "model.sharing.budget=each")
    yield from sharing.check(list(config.tasks or {}))


def _regularizer(config: Config) -> Iterator[Problem]:
    regularizer, tasks = config.regularizer, config.tasks or {}
    if regularizer is None:
        return
    sharing = config.model.sharing if config.model else None
    if regularizer.compares_heads and len(tasks) > 1 and sharing is not None and sharing.own_units:
        what = "compares the tasks' heads, and this sharing scheme gives each task units of its own"
        yield Problem("regularizer", what, "model.sharing=hard, or regularizer=l2")
    yield from regularizer.check(list(tasks))
    if not regularizer.reads_likelihoods:
        return
    known = _known_tasks(config)
    for name in dict.fromkeys(regularizer.acts_on(list(tasks))):
        if name in known and known[name].loss_name not in (None, "mse"):
            what = f"'{known[name].loss_name}' is not a likelihood that the prior supports"
            yield Problem(f"tasks.{name}.loss", what, "loss: mse, or leave the task out of regularizer.tasks")
        if name in known and known[name].level != "row":
            what = f"labels each {known[name].level}, and the shared prior counts rows"
            yield Problem(f"tasks.{name}", what, "leave it out of regularizer.tasks")


def _optimizer(config: Config) -> Iterator[Problem]:
    if config.optimizer is not None:
        yield from config.optimizer.check(list(config.tasks or {}))


def _scheduler(config: Config) -> Iterator[Problem]:
    scheduler = config.scheduler
    if scheduler is None:
        return
    if scheduler.needs_validation and config.dataset is not None and not config.dataset.validates:
        what = f"{name_of('scheduler', scheduler)} needs validation rows"
        yield Problem("scheduler", what, "give dataset.split.val, or another scheduler")
    epochs = None if config.trainer is None else config.trainer.epochs
    if isinstance(epochs, int) and scheduler.warmup >= epochs:
        what = f"warms up for {scheduler.warmup} of {epochs} epochs"
        yield Problem("scheduler.epochs", what, "give fewer than trainer.epochs")
    yield from scheduler.check(list(config.tasks or {}))


def _callbacks(config: Config, trainer: Trainer) -> Iterator[tuple[str, Any]]:
    """Yield the callbacks that could be converted, with the keys that choose them."""
    every = {"callback": config.callback}
    every |= {f"trainer.callbacks.{name}": own for name, own in (trainer.callbacks or {}).items()}
    return ((where, own) for where, own in every.items() if own is not None)


def _trainer(config: Config) -> Iterator[Problem]:
    trainer: Trainer | None = config.trainer
    if trainer is None:
        return
    if trainer.accumulate is not None and trainer.accumulate > 1 and trainer.batch_size is None:
        what = f"is {trainer.accumulate}, but trainer.batch_size=null makes all rows one batch"
        yield Problem("trainer.accumulate", what, "trainer.accumulate=1, or a trainer.batch_size")
    if isinstance(trainer.epochs, int) and trainer.steps not in (None, Trainer.steps):
        yield Problem("trainer.steps", f"has no effect with trainer.epochs={trainer.epochs}", "give one of the two")
    for where, callback in _callbacks(config, trainer):
        yield from callback.check(where)
    yield from _members(config, trainer)
    yield from _baselines(config, trainer)
    yield from _single(config, trainer)
    stopping = trainer.early_stopping
    if stopping is not None and stopping.monitor != "score":
        task = stopping.monitor.partition(".")[0]
        if task not in (names := list(config.tasks or {})):
            hint = did_you_mean(task, ["score", *names])
            yield Problem("trainer.early_stopping.monitor", f"no task is called '{task}'", hint)
    if trainer.checkpoint is not None and trainer.checkpoint.every is not None:
        try:
            read_interval(trainer.checkpoint.every)
        except ValueError:
            yield Problem("trainer.checkpoint.every", f"cannot be '{trainer.checkpoint.every}'", f"give {FORMS}")
    if trainer.precision == "float16" and config.device == "cpu":
        yield Problem("trainer.precision", "float16 is not supported on the CPU", "trainer.precision=bfloat16")


def _members(config: Config, trainer: Trainer) -> Iterator[Problem]:
    """Check what is asked of folds."""
    dataset, folded = config.dataset, trainer.folds not in ("none", "auto", None)
    if dataset is not None and not dataset.makes_folds and (folded or trainer.refit):
        key = "trainer.folds" if folded else "trainer.refit"
        what = "needs rows that can be held out in turn, and those of this data set cannot"
        yield Problem(key, what, "trainer.members=5 trains members of other seeds")
    if trainer.folds == "none" and trainer.repeats is not None and trainer.repeats > 1:
        yield Problem("trainer.repeats", "has no effect without folds", "give trainer.folds=5")


def _baselines(config: Config, trainer: Trainer) -> Iterator[Problem]:
    asked = trainer.baselines
    if asked is None or isinstance(asked, str):
        return
    for name in asked:
        if name is not None and name not in BASELINES:
            yield Problem("trainer.baselines", f"there is no baseline '{name}'", did_you_mean(name, BASELINES))
    if (gives := _given(config)) == "sequence":
        if set(asked) & set(BASELINES) - {FAMILY_BASELINE}:
            what = f"of sequences there is {FAMILY_BASELINE} alone, which reads in what those of a family differ"
            yield Problem("trainer.baselines", what, f"trainer.baselines=[{FAMILY_BASELINE}]")
    elif gives not in (None, "features"):
        what = f"learn from features, but this data set has {gives} inputs"
        yield Problem("trainer.baselines", what, "trainer.baselines=none")


def _single(config: Config, trainer: Trainer) -> Iterator[Problem]:
    if not trainer.compare_single:
        return
    main = [name for name, task in _known_tasks(config).items() if not task.auxiliary]
    if len(config.tasks or {}) == 1 and main:
        yield Problem("trainer.compare_single", f"'{main[0]}' is the only task: it shares nothing", "add a task")
    if config.dataset is not None and config.dataset.members:
        what = "is for one data set: those that are joined have no rows in common"
        yield Problem("trainer.compare_single", what, "train each of them, and compare the metrics")


def _is_alone(dataset: Any) -> bool:
    """Whether a data set is one of its own, as far as the config says: None was meant to be, or may be."""
    return dataset is not None and dataset.input_kind is not None and not dataset.members


def _given(config: Config) -> str | None:
    """Return the kind of inputs that the data set gives; None if it is not known."""
    kind: str | None = None if config.dataset is None else config.dataset.input_kind
    return kind


def _known_tasks(config: Config) -> dict[str, Any]:
    return {name: task for name, task in (config.tasks or {}).items() if task is not None}
