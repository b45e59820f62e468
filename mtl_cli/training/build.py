"""What a run is made of: its data, and for each of its members the network and all that trains it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch.optim import Optimizer

from mtl_cli.balancing.step import TrainingStep
from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import SELECTORS
from mtl_cli.config.schema import Config
from mtl_cli.data import held_out
from mtl_cli.data.base import Notice, Prepared
from mtl_cli.data.batches import Batches
from mtl_cli.data.folding import Folding
from mtl_cli.inference.evaluate import Validation
from mtl_cli.inference.trained import TrainedModel
from mtl_cli.models.network import Network, build_network, fit_layers, shapes
from mtl_cli.models.regularizer import Training
from mtl_cli.models.size import TRAINED, within_memory
from mtl_cli.runs import directory
from mtl_cli.training.budget import SO_FAR, settled
from mtl_cli.training.callbacks.base import Callback
from mtl_cli.training.callbacks.early_stopping import EarlyStopping
from mtl_cli.training.callbacks.freeze import Freeze
from mtl_cli.training.callbacks.learning_rate import LearningRate
from mtl_cli.training.callbacks.penalties import Penalties
from mtl_cli.training.callbacks.progress import Progress
from mtl_cli.training.callbacks.stop_after import StopAfter
from mtl_cli.training.callbacks.task_weights import TaskWeights
from mtl_cli.training.callbacks.validation import Validate
from mtl_cli.training.device import choose_device, choose_threads, multiply_adds, seed_everything
from mtl_cli.training.linear import Chosen, fit_linear
from mtl_cli.training.parameter_groups import parameter_groups
from mtl_cli.training.spent import Spent
from mtl_cli.training.transfer import prepare_like, read_source, take_trunk
from mtl_cli.training.trial import Trial, without_test_rows


@dataclass(frozen=True)
class Member:
    """Which of a run's networks.

    Parameters
    ----------
    number : int
        From 0. Its seed is the run's plus this.
    repeat, fold : int, optional
        Which rows are held out of its training, from 0: see ``HeldOut``. None if no folds were made.
    steps : int, optional
        Train so many steps, on all rows that are not test rows.
    linear : Chosen, optional
        What validation rows said of linear models to networks that had some.
    """

    number: int = 0
    repeat: int | None = None
    fold: int | None = None
    steps: int | None = None
    linear: Chosen | None = None


@dataclass(frozen=True)
class Ready:
    """What a run, or one member of it, starts from: its config and its data.

    Parameters
    ----------
    config : Config
    plain : dict
        The same config as plain values.
    progress : Progress
    device : torch.device
    data : Prepared
    source : TrainedModel, optional
        The run whose trunk this one starts from.
    member : Member
        Whose data and seed these are.
    trial : Trial, optional
        What the run is told if it is a trial: then the data have no test rows.
    spent : Spent
        By all of the run's members.
    """

    config: Config
    plain: dict[str, Any]
    progress: Progress
    device: torch.device
    data: Prepared
    source: TrainedModel | None
    member: Member = field(default_factory=Member)
    trial: Trial | None = None
    spent: Spent = field(default_factory=Spent)

    def of(self, member: Member) -> Ready:
        """Return what a member starts from."""
        data, trainer = self.data, self.config.trainer
        if member.steps is not None:
            data = replace(data, parts={"train": data.parts["train"]})
            batches = Batches(data.parts["train"], torch.device("cpu"), trainer.batch_size)
            epochs = math.ceil(member.steps * trainer.accumulate / len(batches))
            trainer = replace(trainer, epochs=epochs)
        elif member.repeat is not None and member.fold is not None:
            data = held_out.without_fold(data, member.repeat, member.fold)
        config = replace(self.config, seed=self.config.seed + member.number, trainer=trainer)
        return replace(self, config=config, data=data, member=member)

    def notice(self, line: str) -> None:
        """Tell a line to the user; what is so for each member is told for the first."""
        if self.member.number == 0:
            self.progress.notice(line)

    @property
    def weights_name(self) -> str:
        """The name of the file with the balancer's weights."""
        return directory.weights_name(self.plain["balancer"][SELECTORS["balancer"]])


@dataclass(frozen=True)
class Run:
    """A run, or one member of it, that is built and may be trained.

    Parameters
    ----------
    ready : Ready
    network : Network
    batches : Batches
        The training rows.
    step : TrainingStep
    optimizer : Optimizer
    callbacks : list of Callback
        Those that need no folder.
    penalties : Penalties
        One of them.
    stopping : EarlyStopping, optional
    kept : dict
        The config as the model file keeps it.
    """

    ready: Ready
    network: Network
    batches: Batches
    step: TrainingStep
    optimizer: Optimizer
    callbacks: list[Callback]
    penalties: Penalties
    stopping: EarlyStopping | None
    kept: dict[str, Any]


def prepare(config: Config, plain: dict[str, Any], progress: Progress, trial: Trial | None = None) -> Ready:
    """Choose the device, seed all generators and read the data.

    Raises
    ------
    UserError
        If the data are not as the config says, or a trial has no validation rows to be judged by.
    """
    device = choose_device(config.device)
    seed_everything(config.seed, device)
    source = read_source(config) if config.init_from is not None else None
    if source is not None:
        data = prepare_like(config, source, progress.notice, asked_folding(config))
    else:
        data = prepare_data(config, progress.notice)
    if trial is not None:
        data = without_test_rows(data)
        if "val" not in data.parts and data.held_out is None:
            hint = "dataset.split.val=0.1, or trainer.folds=5"
            raise UserError("dataset.split.val", "leaves no validation rows, by which settings are chosen", hint)
    return Ready(config, plain, progress, device, data, source, trial=trial)


def prepare_data(config: Config, notice: Notice) -> Prepared:
    """Read a run's data, and let its rows fall into parts and folds."""
    folding = asked_folding(config)
    asked = {} if folding is None else {"folding": folding}  # no word of it to a source that makes none
    data: Prepared = config.dataset.prepare(config.tasks, notice, **asked)
    return data


def asked_folding(config: Config) -> Folding | None:
    """Return how a data set's rows are to fall into folds; None if they are not."""
    trainer = config.trainer
    few = held_out.FEW_ROWS.get(config.dataset.input_kind)
    automatic = trainer.folds == "auto" and config.dataset.makes_folds and not config.dataset.members
    if automatic and few is not None and trainer.early_stopping is not None:
        return Folding(held_out.AUTO_FOLDS[config.dataset.input_kind], trainer.repeats, few, trainer.refit)
    if isinstance(trainer.folds, int):
        return Folding(trainer.folds, trainer.repeats)
    return Folding(1) if trainer.refit and config.dataset.makes_folds else None


def build(ready: Ready) -> Run:
    """Build the network and all that trains it."""
    config, data, device, notice = ready.config, ready.data, ready.device, ready.notice
    network, batches = _build_network(config, data, device, notice)
    steps = math.ceil(len(batches) / config.trainer.accumulate)
    config = replace(config, trainer=settled(config.trainer, steps, ready.member.fold is not None))
    ready = replace(ready, config=config)
    if ready.source is not None:
        take_trunk(network, ready.source, config, notice, ready.member.number)
    kept = _self_contained(ready.plain, config)
    choose_threads(batches.batch_size, multiply_adds(network, batches.inputs.take(slice(0, 1))))
    validation = (
        None
        if ready.member.steps is not None
        else _validation(config, data, device, notice, ready.member.fold is not None)
    )
    if network.linear is not None and validation is None and ready.member.linear is None:
        notice("model.linear: without validation rows, linear models get no share in the predictions")
    elif network.linear is not None:
        fit_linear(network.linear, data, validation, ready.member.linear, notice)
    step = TrainingStep(network, data.tasks, config.balancer, device, config.seed, config.trainer.precision)
    optimizer = config.optimizer.build(parameter_groups(network, config.optimizer), device)
    penalties = _penalties(ready, Training(network, data.tasks, batches, notice), optimizer)
    freeze = _freeze(config, network, step, notice)
    advance = config.scheduler.build(optimizer, int(config.trainer.epochs))
    callbacks: list[Callback] = [] if freeze is None else [freeze]
    callbacks.append(penalties)
    if validation is not None:
        callbacks.append(Validate(validation))
    if any(config.tasks[name].weight_schedule is not None for name in data.tasks):
        callbacks.append(TaskWeights(lambda epoch: {name: config.tasks[name].weight_at(epoch) for name in data.tasks}))
    callbacks.append(LearningRate(advance))
    if ready.member.steps is not None:
        callbacks.append(StopAfter(ready.member.steps))
    stopping = None
    if validation is not None and validation.tasks and config.trainer.early_stopping is not None:
        after = 0 if freeze is None else freeze.until
        after = int(config.trainer.epochs) if config.scheduler.needs_end else after
        so_far = SO_FAR.get(config.dataset.input_kind, math.inf)
        stopping = EarlyStopping(config.trainer.early_stopping, after, so_far)
    return Run(ready, network, batches, step, optimizer, callbacks, penalties, stopping, kept)


def _build_network(config: Config, data: Prepared, device: torch.device, notice: Notice) -> tuple[Network, Batches]:
    part = data.parts["train"]
    rows, batch_size, smallest = len(part), config.trainer.batch_size, config.model.trunk.smallest_batch
    if batch_size is not None and min(batch_size, rows) < smallest:
        what = f"is {batch_size}, with {rows} training rows: batch norm needs batches of at least {smallest}"
        raise UserError("trainer.batch_size", what, "give more, or a trunk without batch norm")
    with within_memory(TRAINED):
        network = build_network(config.model, data.reader.spec, shapes(data.tasks))
    for line in fit_layers(network, part.inputs, list(part.targets.values())):
        notice(line)
    network.to(device)
    return network, Batches(part, device, batch_size, config.seed, smallest)


def _validation(
    config: Config, data: Prepared, device: torch.device, notice: Notice, folded: bool
) -> Validation | None:
    """Return what scores the model on the validation rows, if any has a label.

    A fold without one has no score, but the columns of the other folds in the history.
    """
    part, stopping = data.parts.get("val"), config.trainer.early_stopping
    labelled = part is not None and any(target.mask.any() for target in part.targets.values())
    if not labelled and stopping is not None:
        what = "row is left for validation" if part is None else "validation row has a label"
        notice(f"no {what}: all epochs are trained, and the last one's weights are kept")
    if part is None or not (labelled or folded):
        return None
    monitor = "score" if stopping is None else stopping.monitor
    return Validation(Batches(part, device), data.tasks, monitor, folded)


def _penalties(ready: Ready, training: Training, optimizer: Optimizer) -> Penalties:
    config = ready.config.regularizer
    regularizer = None if config is None else config.build(training)
    name = "" if regularizer is None else ready.plain["regularizer"][SELECTORS["regularizer"]]
    return Penalties(training.network, regularizer, name, optimizer)


def _freeze(config: Config, network: Network, step: TrainingStep, notice: Notice) -> Freeze | None:
    epochs = config.model.trunk.freeze
    if epochs == "none":
        return None
    freeze = Freeze(network, step, None if epochs == "all" else epochs)
    until = "" if epochs == "all" else " in the first epoch" if epochs == 1 else f" in the first {epochs} epochs"
    waits = "; the balancer, which looks at its gradients, begins then" if step.balancer.needs != "losses" else ""
    notice(f"model.trunk.freeze: the trunk's {freeze.size:,} parameters are not trained{until}{waits}")
    return freeze


def _self_contained(plain: dict[str, Any], config: Config) -> dict[str, Any]:
    """Return the config as the model file keeps it: a trunk that reads files is built from it without them."""
    settled = config.model.trunk.settled()
    if settled is config.model.trunk:
        return plain
    trunk = {"kind": plain["model"]["trunk"]["kind"], **asdict(settled)}
    return {**plain, "model": {**plain["model"], "trunk": trunk}}
