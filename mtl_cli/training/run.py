"""One run from a checked config to its folder: data, model, loop, and what they leave on disk."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from omegaconf import OmegaConf
from torch.optim import Optimizer

from mtl_cli import __version__
from mtl_cli.balancing.step import TrainingStep
from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import SELECTORS
from mtl_cli.config.schema import Config
from mtl_cli.data.base import Part, Prepared
from mtl_cli.data.batches import Batches
from mtl_cli.inference.evaluate import Validation, evaluate, outputs
from mtl_cli.inference.trained import predictions_with_labels
from mtl_cli.models.network import Network, build_network, fit_layers, shapes
from mtl_cli.models.regularizer import Training
from mtl_cli.runs import directory
from mtl_cli.runs.directory import RunDirectory
from mtl_cli.runs.history import CSVLog
from mtl_cli.runs.model_file import save_model
from mtl_cli.tasks.task import Task
from mtl_cli.training.device import choose_device, choose_threads, multiply_adds, seed_everything
from mtl_cli.training.freeze import Freeze
from mtl_cli.training.loop import Best, Epoch, fit
from mtl_cli.training.parameter_groups import parameter_groups
from mtl_cli.training.penalties import Penalties
from mtl_cli.training.transfer import prepare_like, read_source, take_trunk

RERUN = """\
# mtl train THIS_FILE
# The config of a run, complete; `mtl train THIS_FILE KEY=VALUE` changes a key of it.
"""


class Progress(Protocol):
    """What a run tells while it goes on."""

    def notice(self, line: str) -> None:
        """Take a line that the user should see."""

    def start(self, epochs: int, tasks: list[str], device: str, parameters: int, rows: int) -> None:
        """Begin training."""

    def part(self, epoch: int, share: float) -> None:
        """Take how much of an epoch's batches are done."""

    def epoch(self, epoch: Epoch) -> None:
        """End an epoch."""

    def stop(self) -> None:
        """End training, however it ended."""


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
    """

    run: RunDirectory
    tasks: dict[str, Task]
    metrics: dict[str, Any]
    best: Best
    part: Part | None
    outputs: dict[str, np.ndarray]
    predictions: pd.DataFrame | None


def train(
    config: Config,
    plain: dict[str, Any],
    command: list[str],
    make_directory: Callable[[], Path],
    progress: Progress,
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

    Raises
    ------
    UserError
        If the data or the device are not as the config says, or a loss is no longer finite.
    """
    started = time.perf_counter()
    device = choose_device(config.device)
    seed_everything(config.seed, device)
    source = read_source(config) if config.init_from is not None else None
    if source is None:
        data: Prepared = config.dataset.prepare(config.tasks, progress.notice)
    else:
        data = prepare_like(config, source, progress.notice)
    model, batches = _build(config, data, device)
    if source is not None:
        take_trunk(model, source, config, progress.notice)
    kept = _self_contained(plain, config)
    validation = None
    parameters = sum(p.numel() for p in model.parameters())
    choose_threads(batches.batch_size, multiply_adds(model, batches.inputs.take(slice(0, 1))))
    if "val" in data.parts and any(target.mask.any() for target in data.parts["val"].targets.values()):
        validation = Validation(Batches(data.parts["val"], device), data.tasks)
    elif config.trainer.early_stopping is not None:
        what = "validation row has a label" if "val" in data.parts else "row is left for validation"
        progress.notice(f"no {what}: all epochs are trained, and the last one's weights are kept")
    step = TrainingStep(model, data.tasks, config.balancer, device, config.seed, config.trainer.precision)
    groups = parameter_groups(model, config.optimizer)
    optimizer = config.optimizer.build(groups, device)
    penalties = _penalties(config, plain, Training(model, data.tasks, batches, progress.notice), optimizer)
    freeze = _freeze(config, model, step, progress.notice)
    advance = config.scheduler.build(optimizer, config.trainer.epochs)

    run = RunDirectory(make_directory())
    record = {"command": command, **_record(config, device, data, parameters)}
    run.write(directory.CONFIG, lambda file: file.write_text(RERUN + OmegaConf.to_yaml(plain), encoding="utf-8"))
    run.write(directory.SPLITS, lambda file: data.splits.to_csv(file, index=False))
    status = "failed"
    weights_file = run.path / directory.weights_name(plain["balancer"][SELECTORS["balancer"]])
    try:
        with closing(CSVLog(run.path / directory.HISTORY)) as history, closing(CSVLog(weights_file)) as balance:

            def on_epoch(epoch: Epoch) -> None:
                history.append(epoch.history)
                for row in epoch.balance:
                    balance.append(row)
                progress.epoch(epoch)

            progress.start(config.trainer.epochs, list(data.tasks), str(device), parameters, len(data.parts["train"]))
            try:
                best = fit(
                    model, step, batches, optimizer, advance, config.trainer, validation, on_epoch,
                    _task_weights(config, list(data.tasks)), penalties, progress.part, freeze,
                )  # fmt: skip
            finally:
                progress.stop()
                if (run.path / directory.HISTORY).stat().st_size and all(
                    p.isfinite().all() for p in model.parameters()
                ):
                    save_model(run, kept, data.state(), model.state_dict())
        if not (run.path / directory.MODEL).exists():
            raise UserError("training", "the model is no longer finite", "a lower optimizer.lr may help")
        metrics, found = _measure(model, data, device, best)
        run.write_json(directory.METRICS, metrics)
        test, table = data.parts.get("test"), None
        if test is not None:
            levels = data.reader.hierarchy
            table = predictions_with_labels(found, data.tasks, test, levels, progress.notice)
            run.write(directory.PREDICTIONS, lambda file: table.to_csv(file, index=False))
        status = "done"
        return Finished(run, data.tasks, metrics, best, test, found, table)
    except KeyboardInterrupt:
        status = "interrupted"
        progress.notice(f"what was reached so far is in {run.path}")
        raise
    except SystemExit:
        status = "terminated"
        raise
    finally:
        record |= {
            "status": status,
            "seconds": time.perf_counter() - started,
            "peak_memory_bytes": _peak_memory(device),
        }
        run.write_json(directory.RUN, record)


def _build(config: Config, data: Prepared, device: torch.device) -> tuple[Network, Batches]:
    rows, batch_size = len(data.parts["train"]), config.trainer.batch_size
    smallest = getattr(config.model.trunk, "smallest_batch", 1)
    if smallest > 1 and batch_size is not None and not smallest <= batch_size <= rows:
        what = (
            f"is {batch_size}, but there are {rows} training rows, and batch norm needs whole batches of at least two"
        )
        raise UserError("trainer.batch_size", what, "trainer.batch_size=null takes all rows at once")
    model = build_network(config.model, data.reader.spec, shapes(data.tasks))
    fit_layers(model, data.parts["train"].inputs)
    model.to(device)
    return model, Batches(data.parts["train"], device, batch_size, config.seed, smallest)


def _penalties(config: Config, plain: dict[str, Any], training: Training, optimizer: Optimizer) -> Penalties:
    regularizer = None if config.regularizer is None else config.regularizer.build(training)
    name = "" if regularizer is None else plain["regularizer"][SELECTORS["regularizer"]]
    return Penalties(training.network, regularizer, name, optimizer)


def _freeze(config: Config, model: Network, step: TrainingStep, notice: Callable[[str], None]) -> Freeze | None:
    frozen: Any = getattr(config.model.trunk, "freeze", "none")
    if frozen == "none":
        return None
    freeze = Freeze(model, step, None if frozen == "all" else frozen)
    until = "" if frozen == "all" else " in the first epoch" if frozen == 1 else f" in the first {frozen} epochs"
    waits = "; the balancer, which looks at its gradients, begins then" if step.balancer.needs != "losses" else ""
    notice(f"model.trunk.freeze: the trunk's {freeze.size:,} parameters are not trained{until}{waits}")
    return freeze


def _task_weights(config: Config, names: list[str]) -> Callable[[int], dict[str, float]] | None:
    """Return the tasks' weights by epoch if any of them changes."""
    if all(config.tasks[name].weight_schedule is None for name in names):
        return None
    return lambda epoch: {name: config.tasks[name].weight_at(epoch) for name in names}


def _self_contained(plain: dict[str, Any], config: Config) -> dict[str, Any]:
    """Return the config as the model file keeps it: that of a trunk which reads files builds without them."""
    trunk = config.model.trunk
    if not hasattr(trunk, "settled"):
        return plain
    settled = {"kind": plain["model"]["trunk"]["kind"], **asdict(trunk.settled())}
    return {**plain, "model": {**plain["model"], "trunk": settled}}


def _measure(
    model: Network, data: Prepared, device: torch.device, best: Best
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what ``metrics.json`` holds, and the outputs on the test rows."""
    metrics: dict[str, Any] = {"score": None, "epoch": best.epoch, "splits": {}}
    found: dict[str, np.ndarray] = {}
    for name, part in data.parts.items():
        tensors = outputs(model, part.inputs.to(device))
        found = {task: output.cpu().numpy() for task, output in tensors.items()}
        metrics["splits"][name] = evaluate(found, part, data.tasks)
        if name == "test" and part.duplicates.any():
            metrics["splits"]["test_unseen"] = evaluate(found, part, data.tasks, ~part.duplicates)
    if "val" in metrics["splits"]:
        metrics["score"] = metrics["splits"]["val"]["score"]
    return metrics, found if "test" in data.parts else {}


def _record(config: Config, device: torch.device, data: Prepared, parameters: int) -> dict[str, Any]:
    return {
        "mtl": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "device": str(device),
        "threads": torch.get_num_threads(),
        "seed": config.seed,
        "rows": {name: len(part) for name, part in data.parts.items()},
        "inputs": data.reader.spec.names or list(data.reader.spec.shape),
        "parameters": parameters,
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
