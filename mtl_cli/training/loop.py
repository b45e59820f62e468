"""The training loop."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from mtl_cli.balancing.step import Step, StepResult
from mtl_cli.config.errors import UserError
from mtl_cli.config.schema import Trainer
from mtl_cli.data.batches import TensorBatches
from mtl_cli.inference.evaluate import Validation
from mtl_cli.models.network import Network
from mtl_cli.training.schedulers import Advance

Row = dict[str, Any]


@dataclass(frozen=True)
class Epoch:
    """What is known at the end of an epoch.

    Parameters
    ----------
    history : dict
        A row of ``mtl_history.csv``.
    balance : dict
        A row of ``<balancer>_weights.csv``: the last step's weights, as used, and what the balancer saw.
    """

    history: Row
    balance: Row


@dataclass
class Best:
    """The best epoch so far, and its weights."""

    score: float = -math.inf
    epoch: int = 0
    weights: dict[str, torch.Tensor] | None = None


def fit(
    model: Network,
    step: Step,
    batches: TensorBatches,
    optimizer: Optimizer,
    advance: Advance,
    trainer: Trainer,
    validation: Validation | None,
    on_epoch: Callable[[Epoch], None],
) -> Best:
    """Train ``model`` in place.

    Parameters
    ----------
    model : Network
    step : Step
        Computes a batch's gradients.
    batches : TensorBatches
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

    Returns
    -------
    Best
        With early stopping, the epoch whose weights the model has been given back; else the last epoch.

    Raises
    ------
    UserError
        If a loss is no longer finite. However the loop ends, the model has the weights of the best epoch so far.
    """
    stopping = trainer.early_stopping if validation is not None else None
    best, steps = Best(), 0
    try:
        for epoch in range(1, trainer.epochs + 1):
            started = time.perf_counter()
            model.train()
            sums, rows = torch.zeros_like(step.task_weights), torch.zeros_like(step.task_weights)
            total = torch.zeros((), device=sums.device)
            result: StepResult | None = None
            trained = 0
            for batch in batches:
                model.zero_grad(set_to_none=True)
                result = step(batch)
                if trainer.clip_norm is not None:
                    clip_grad_norm_(model.parameters(), trainer.clip_norm)
                optimizer.step()
                sums += result.losses * result.counts
                rows += result.counts
                total += result.total * len(batch)
                trained += len(batch)
                steps += 1
            assert result is not None
            names = list(step.tasks)
            losses = (sums / rows.clamp(min=1)).tolist()
            history: Row = {"epoch": epoch, "loss_total": float(total) / trained}
            history |= {f"loss_{name}": loss for name, loss in zip(names, losses, strict=True)}
            bad = next((name for name, loss in zip(names, losses, strict=True) if not math.isfinite(loss)), None)
            if bad is not None:
                raise UserError(
                    f"tasks.{bad}", f"the loss is {history[f'loss_{bad}']} in epoch {epoch}",
                    "a lower optimizer.lr, or trainer.clip_norm=1, may help",
                )  # fmt: skip
            history |= validation(model) if validation is not None else {}
            score = history.get("val_score")
            history |= {"lr": optimizer.param_groups[0]["lr"], "seconds": time.perf_counter() - started}
            on_epoch(Epoch(history, _balance_row(epoch, steps, names, result)))
            advance(score)
            if stopping is None:
                best = Best(math.nan if score is None else score, epoch)
            elif score is not None and score > best.score + (stopping.min_delta if best.weights else 0.0):
                best = Best(score, epoch, copy.deepcopy(model.state_dict()))
            elif epoch - best.epoch >= stopping.patience:
                break
    finally:  # also after Ctrl-C or a loss that is not finite: what was best is kept
        if best.weights is not None:
            model.load_state_dict(best.weights)
    return best


def _balance_row(epoch: int, steps: int, names: list[str], result: StepResult) -> Row:
    row: Row = {"epoch": epoch, "step": steps}
    for column, values in {"weight": result.weights, **result.seen}.items():
        row |= {f"{column}_{name}": value for name, value in zip(names, values.tolist(), strict=True)}
    return row
