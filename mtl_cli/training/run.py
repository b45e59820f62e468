"""One run from a checked config to its folder, in five steps: prepare, build, fit, measure, write."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.optim import Optimizer

from mtl_cli import __version__
from mtl_cli.balancing.step import TrainingStep
from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import SELECTORS
from mtl_cli.config.schema import Config
from mtl_cli.config.yaml_text import to_yaml
from mtl_cli.data.base import Notice, Part, Prepared
from mtl_cli.data.batches import Batches
from mtl_cli.data.look import look_at
from mtl_cli.inference.evaluate import Validation, evaluate, outputs
from mtl_cli.inference.trained import TrainedModel, predictions_with_labels
from mtl_cli.models.network import Network, build_network, fit_layers, shapes
from mtl_cli.models.regularizer import Training
from mtl_cli.runs import directory
from mtl_cli.runs.directory import RunDirectory
from mtl_cli.runs.model_file import save_model
from mtl_cli.tasks.task import Task
from mtl_cli.training.callbacks.base import Best, Callback, RunInfo
from mtl_cli.training.callbacks.early_stopping import EarlyStopping
from mtl_cli.training.callbacks.freeze import Freeze
from mtl_cli.training.callbacks.history import History
from mtl_cli.training.callbacks.learning_rate import LearningRate
from mtl_cli.training.callbacks.penalties import Penalties
from mtl_cli.training.callbacks.progress import Progress, ShowProgress
from mtl_cli.training.callbacks.task_weights import TaskWeights
from mtl_cli.training.callbacks.validation import Validate
from mtl_cli.training.device import choose_device, choose_threads, multiply_adds, seed_everything
from mtl_cli.training.parameter_groups import parameter_groups
from mtl_cli.training.trainer import Trainer
from mtl_cli.training.transfer import prepare_like, read_source, take_trunk

RERUN = """\
# mtl train THIS_FILE
# The config of a run, complete; `mtl train THIS_FILE KEY=VALUE` changes a key of it.
"""


@dataclass(frozen=True)
class Ready:
    """What a run starts from: its config and its data.

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
    """

    config: Config
    plain: dict[str, Any]
    progress: Progress
    device: torch.device
    data: Prepared
    source: TrainedModel | None

    @property
    def weights_name(self) -> str:
        """The name of the file with the balancer's weights."""
        return directory.weights_name(self.plain["balancer"][SELECTORS["balancer"]])


@dataclass(frozen=True)
class Run:
    """A run that is built and may be trained.

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
    stopping: EarlyStopping | None
    kept: dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """How good the trained model is.

    Parameters
    ----------
    best : Best
        The epoch whose weights were kept.
    metrics : dict
        What ``metrics.json`` holds.
    outputs : dict of str to ndarray
        The model's outputs on the test rows; empty if there are none.
    """

    best: Best
    metrics: dict[str, Any]
    outputs: dict[str, np.ndarray]


@dataclass(frozen=True)
class Finished:
    """A run that is done.

    Parameters
    ----------
    run : RunDirectory
    tasks : dict of str to Task
    metrics : dict
        What ``metrics.json`` holds.
    best : Best
        The epoch whose weights were kept.
    part : Part, optional
        The test rows.
    outputs : dict of str to ndarray
        The model's outputs on them.
    predictions : DataFrame, optional
        What ``predictions.csv`` holds.
    weights_name : str
        The name of the file with the balancer's weights.
    """

    run: RunDirectory
    tasks: dict[str, Task]
    metrics: dict[str, Any]
    best: Best
    part: Part | None
    outputs: dict[str, np.ndarray]
    predictions: pd.DataFrame | None
    weights_name: str


def train(
    config: Config,
    plain: dict[str, Any],
    command: list[str],
    make_directory: Callable[[], Path],
    progress: Progress,
    finish: Callable[[Finished], object] | None = None,
) -> Finished:
    """Train a model and write its run folder.

    Parameters
    ----------
    config : Config
    plain : dict
        The same config as plain values, to be kept with the run.
    command : list of str
        What the user wrote, to be kept too.
    make_directory : callable
        Makes the run's folder; called once the data are known to be right, so that wrong input leaves none.
    progress : Progress
    finish : callable, optional
        Adds to the folder what rooms above make of a run, such as figures; the run is done only after it.

    Raises
    ------
    UserError
        If the data or the device are not as the config says, or a loss is no longer finite.
    """
    started = time.perf_counter()
    run = build(prepare(config, plain, progress))
    progress.look(look_at(run.ready.data))
    folder = RunDirectory(make_directory())
    with _recorded(folder, {"command": command, **_record(run)}, started, run):
        best = fit(run, folder)
        finished = write(run, folder, measure(run, best))
        if finish is not None:
            finish(finished)
    return finished


def prepare(config: Config, plain: dict[str, Any], progress: Progress) -> Ready:
    """Choose the device, seed all generators and read the data."""
    device = choose_device(config.device)
    seed_everything(config.seed, device)
    source = read_source(config) if config.init_from is not None else None
    if source is None:
        data: Prepared = config.dataset.prepare(config.tasks, progress.notice)
    else:
        data = prepare_like(config, source, progress.notice)
    return Ready(config, plain, progress, device, data, source)


def build(ready: Ready) -> Run:
    """Build the network and all that trains it."""
    config, data, device, notice = ready.config, ready.data, ready.device, ready.progress.notice
    network, batches = _build_network(config, data, device)
    if ready.source is not None:
        take_trunk(network, ready.source, config, notice)
    kept = _self_contained(ready.plain, config)
    choose_threads(batches.batch_size, multiply_adds(network, batches.inputs.take(slice(0, 1))))
    validation = _validation(config, data, device, notice)
    step = TrainingStep(network, data.tasks, config.balancer, device, config.seed, config.trainer.precision)
    optimizer = config.optimizer.build(parameter_groups(network, config.optimizer), device)
    penalties = _penalties(ready, Training(network, data.tasks, batches, notice), optimizer)
    freeze = _freeze(config, network, step, notice)
    advance = config.scheduler.build(optimizer, config.trainer.epochs)
    callbacks: list[Callback] = [] if freeze is None else [freeze]
    callbacks.append(penalties)
    if validation is not None:
        callbacks.append(Validate(validation))
    if any(config.tasks[name].weight_schedule is not None for name in data.tasks):
        callbacks.append(TaskWeights(lambda epoch: {name: config.tasks[name].weight_at(epoch) for name in data.tasks}))
    callbacks.append(LearningRate(advance))
    stopping = None
    if validation is not None and config.trainer.early_stopping is not None:
        stopping = EarlyStopping(config.trainer.early_stopping, 0 if freeze is None else freeze.until)
    return Run(ready, network, batches, step, optimizer, callbacks, stopping, kept)


def fit(run: Run, folder: RunDirectory) -> Best:
    """Train, and leave the config, the splits, the history and the model in the folder.

    The model is saved however the training ends, if any epoch ended well.
    """
    ready, plain, data = run.ready, run.ready.plain, run.ready.data
    config, progress = ready.config, ready.progress
    folder.write(directory.CONFIG, lambda file: file.write_text(RERUN + to_yaml(plain), encoding="utf-8"))
    folder.write(directory.SPLITS, lambda file: data.splits.to_csv(file, index=False))
    history = History(folder.path / directory.HISTORY, folder.path / ready.weights_name)
    info = RunInfo(folder.path, plain, progress.notice)
    chosen = [callback.build(info) for callback in config.trainer.callbacks.values()]
    callbacks = [*run.callbacks, history, ShowProgress(progress, len(data.parts["train"])), *chosen]
    if run.stopping is not None:  # last, so that it restores the best weights before the others are told of the end
        callbacks.append(run.stopping)
    trainer = Trainer(run.step, run.optimizer, config.trainer, callbacks)
    try:
        trainer.fit(run.batches)
    finally:
        if trainer.best.epoch > 0 and all(p.isfinite().all() for p in run.network.parameters()):
            save_model(folder, run.kept, data.state(), run.network.state_dict())
    if not (folder.path / directory.MODEL).exists():
        raise UserError("training", "the model is no longer finite", "a lower optimizer.lr may help")
    return trainer.best


def measure(run: Run, best: Best) -> Measured:
    """Measure the trained model on every part of the data."""
    data = run.ready.data
    metrics: dict[str, Any] = {"score": None, "epoch": best.epoch, "splits": {}}
    test_outputs: dict[str, np.ndarray] = {}
    for name, part in data.parts.items():
        tensors = outputs(run.network, part.inputs.to(run.ready.device))
        found = {task: output.cpu().numpy() for task, output in tensors.items()}
        metrics["splits"][name] = evaluate(found, part, data.tasks)
        if name == "test":
            test_outputs = found
            if part.duplicates.any():
                metrics["splits"]["test_unseen"] = evaluate(found, part, data.tasks, ~part.duplicates)
    if "val" in metrics["splits"]:
        metrics["score"] = metrics["splits"]["val"]["score"]
    return Measured(best, metrics, test_outputs)


def write(run: Run, folder: RunDirectory, measured: Measured) -> Finished:
    """Write the metrics, and the predictions of the test rows."""
    data = run.ready.data
    folder.write_json(directory.METRICS, measured.metrics)
    test, table = data.parts.get("test"), None
    if test is not None:
        notice = run.ready.progress.notice
        table = predictions_with_labels(measured.outputs, data.tasks, test, data.reader.hierarchy, notice)
        folder.write(directory.PREDICTIONS, lambda file: table.to_csv(file, index=False))
    return Finished(
        folder, data.tasks, measured.metrics, measured.best, test, measured.outputs, table, run.ready.weights_name
    )


@contextmanager
def _recorded(folder: RunDirectory, record: dict[str, Any], started: float, run: Run) -> Iterator[None]:
    """Write ``run.json`` when what is done inside has ended, with how it ended."""
    status = "failed"
    try:
        yield
        status = "done"
    except KeyboardInterrupt:
        status = "interrupted"
        run.ready.progress.notice(f"what was reached so far is in {folder.path}")
        raise
    except SystemExit:
        status = "terminated"
        raise
    finally:
        record |= {
            "status": status,
            "gradients": run.step.backend,  # as used in the last step: the way may change with the size of a batch
            "seconds": time.perf_counter() - started,
            "peak_memory_bytes": _peak_memory(run.ready.device),
        }
        folder.write_json(directory.RUN, record)


def _build_network(config: Config, data: Prepared, device: torch.device) -> tuple[Network, Batches]:
    rows, batch_size, smallest = len(data.parts["train"]), config.trainer.batch_size, config.model.trunk.smallest_batch
    if smallest > 1 and batch_size is not None and not smallest <= batch_size <= rows:
        what = (
            f"is {batch_size}, but there are {rows} training rows, and batch norm needs whole batches of at least two"
        )
        raise UserError("trainer.batch_size", what, "trainer.batch_size=null takes all rows at once")
    network = build_network(config.model, data.reader.spec, shapes(data.tasks))
    fit_layers(network, data.parts["train"].inputs)
    network.to(device)
    return network, Batches(data.parts["train"], device, batch_size, config.seed, smallest)


def _validation(config: Config, data: Prepared, device: torch.device, notice: Notice) -> Validation | None:
    """Return what scores the model on the validation rows; None if none of them has a label."""
    part = data.parts.get("val")
    if part is not None and any(target.mask.any() for target in part.targets.values()):
        return Validation(Batches(part, device), data.tasks)
    if config.trainer.early_stopping is not None:
        what = "row is left for validation" if part is None else "validation row has a label"
        notice(f"no {what}: all epochs are trained, and the last one's weights are kept")
    return None


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


def _record(run: Run) -> dict[str, Any]:
    """Return what ``run.json`` says about a run from its start."""
    data = run.ready.data
    return {
        "mtl": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "device": str(run.ready.device),
        "threads": torch.get_num_threads(),
        "seed": run.ready.config.seed,
        "rows": {name: len(part) for name, part in data.parts.items()},
        "inputs": data.reader.spec.names or list(data.reader.spec.shape),
        "parameters": sum(p.numel() for p in run.network.parameters()),
    }


def _peak_memory(device: torch.device) -> int | None:
    """Return the most memory the process has held, or on CUDA the most that torch has."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
