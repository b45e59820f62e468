"""The training loop."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import torch
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from mtl_cli.balancing.step import TrainingStep
from mtl_cli.config.errors import UserError
from mtl_cli.config.schema import Trainer
from mtl_cli.data.batches import Batch, Batches
from mtl_cli.inference.evaluate import Validation
from mtl_cli.models.network import Network
from mtl_cli.training.freeze import Freeze
from mtl_cli.training.penalties import Penalties
from mtl_cli.training.schedulers import Advance
from mtl_cli.training.steps import StepLog, check_parameters

Row = dict[str, Any]
SECONDS_BETWEEN_PARTS = 1.0


@dataclass(frozen=True)
class Epoch:
    """What is known at the end of an epoch.

    Parameters
    ----------
    history : dict
        A row of ``mtl_history.csv``.
    balance : list of dict
        Rows of ``<balancer>_weights.csv``: a step's weights, as used, and what the balancer saw.
    """

    history: Row
    balance: list[Row]


@dataclass
class Best:
    """The best epoch so far, and its weights."""

    score: float = -math.inf
    epoch: int = 0
    weights: dict[str, torch.Tensor] | None = None


def groups(batches: Iterable[Batch], size: int) -> Iterator[Iterator[Batch]]:
    """Yield the batches in groups of ``size``, the last of which may have fewer; each batch is made when it is due."""
    waiting = iter(batches)
    for first in waiting:
        yield chain((first,), islice(waiting, size - 1))


def fit(
    model: Network,
    step: TrainingStep,
    batches: Batches,
    optimizer: Optimizer,
    advance: Advance,
    trainer: Trainer,
    validation: Validation | None,
    on_epoch: Callable[[Epoch], None],
    task_weights: Callable[[int], Mapping[str, float]] | None = None,
    penalties: Penalties | None = None,
    on_part: Callable[[int, float], None] | None = None,
    freeze: Freeze | None = None,
) -> Best:
    """Train ``model`` in place.

    Parameters
    ----------
    model : Network
    step : TrainingStep
        Computes a batch's gradients.
    batches : Batches
        The training rows.
    optimizer : Optimizer
        Of the model's parameters only.
    advance : callable
        Moves the learning rate on, at the end of each epoch.
    trainer : Trainer
    validation : Validation, optional
        Without it there is no score and no early stopping.
    on_epoch : callable
        Called at the end of each epoch.
    task_weights : callable, optional
        Gives the tasks' own weights in an epoch, from 1; written to the history as ``task_weight_<task>``.
    penalties : Penalties, optional
        What is added to the task losses; by default what the sharing scheme asks for alone.
    on_part : callable, optional
        Called every second or so within an epoch, with its number and the share of its batches that are done.
    freeze : Freeze, optional
        Holds the trunk for some epochs.

    Returns
    -------
    Best
        With early stopping, the epoch whose weights the model has been given back; else the last epoch.

    Raises
    ------
    UserError
        If a loss or gradient is not finite, or not as the balancer needs it. However the loop ends, the model has the
        weights of the best epoch so far; without one, after such an error, those of the last epoch that ended well.
    """
    stopping = trainer.early_stopping if validation is not None else None
    best = Best()
    waits = 0 if freeze is None else freeze.until  # patience begins when all is trained
    penalties = penalties or Penalties(model, None, "", optimizer)
    parameters = list(model.parameters())
    current = list(model.state_dict().values())
    last_good = [tensor.clone() for tensor in current]
    try:
        for epoch in range(1, trainer.epochs + 1):
            started = time.perf_counter()
            model.train()
            if freeze is not None:
                freeze.begin(epoch)
            own = task_weights(epoch) if task_weights is not None else {}
            if own:
                step.weigh_tasks(list(own.values()))
            log = StepLog(step, epoch, trainer.log_balance)
            shown = started
            for number, group in enumerate(groups(batches, trainer.accumulate)):
                for parameter in parameters:
                    parameter.grad = None
                results = []
                for batch in group:
                    results.append(step(batch, epoch))
                if not step.settle(len(results)):
                    continue
                for result in results:
                    log.append(result)
                penalties.add([result.counts for result in results])
                if trainer.clip_norm is not None:
                    clip_grad_norm_(parameters, trainer.clip_norm)
                optimizer.step()
                penalties.shrink()
                step.after(batch)
                if on_part is not None and time.perf_counter() - shown > SECONDS_BETWEEN_PARTS:
                    shown = time.perf_counter()
                    on_part(epoch, min((number + 1) * trainer.accumulate / len(batches), 1.0))
            summary = log.close()
            check_parameters(model, step, epoch)
            torch._foreach_copy_(last_good, current)
            history: Row = {"epoch": epoch, "loss_total": summary.total}
            history |= {f"loss_{name}": loss for name, loss in zip(step.tasks, summary.losses, strict=True)}
            history |= penalties.end_epoch()
            history |= validation(model) if validation is not None else {}
            score = history.get("val_score")
            history |= {f"task_weight_{name}": weight for name, weight in own.items()}
            history |= {"lr": optimizer.param_groups[0]["lr"], "seconds": time.perf_counter() - started}
            on_epoch(Epoch(history, summary.balance))
            advance(score)
            if stopping is None:
                best = Best(math.nan if score is None else score, epoch)
            elif score is not None and score > best.score + (stopping.min_delta if best.weights else 0.0):
                best = Best(score, epoch, copy.deepcopy(model.state_dict()))
            elif epoch - max(best.epoch, waits) >= stopping.patience:
                break
    except UserError:
        torch._foreach_copy_(current, last_good)
        raise
    finally:  # also after Ctrl-C or a loss that is not finite: what was best is kept
        if best.weights is not None:
            model.load_state_dict(best.weights)
    return best
