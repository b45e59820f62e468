"""The training loop: epochs of steps, with callbacks around them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from itertools import chain, islice
from typing import Any

import torch
from torch.nn.utils import clip_grad_norm_

from mtl_cli.config.errors import UserError
from mtl_cli.data.batches import Batch, Batches
from mtl_cli.training.callbacks.base import Best, Epoch, Row, TrainerState
from mtl_cli.training.steps import StepLog, Summary, check_parameters


def groups(batches: Iterable[Batch], size: int) -> Iterator[Iterator[Batch]]:
    """Yield the batches in groups of ``size``, the last of which may have fewer; each batch is made when it is due."""
    waiting = iter(batches)
    for first in waiting:
        yield chain((first,), islice(waiting, size - 1))


class Trainer(TrainerState):
    """Trains a network in place.

    What is done besides the steps themselves, such as validation, early stopping, freezing and schedules, is done by
    ``callbacks``: see ``Callback`` for when they are called.
    """

    def fit(self, batches: Batches) -> Best:
        """Train until all epochs are done or something stops the training.

        Parameters
        ----------
        batches : Batches
            The training rows.

        Returns
        -------
        Best
            The epoch whose weights the model is left with.

        Raises
        ------
        UserError
            If a loss or gradient is not finite, or not as the balancer needs it. Then, as after Ctrl-C, the model has
            the weights of the last epoch that ended well, unless a callback restored better ones.
        """
        self.batches = len(batches)
        parameters = list(self.model.parameters())
        current = list(self.model.state_dict().values())
        last_good = [tensor.clone() for tensor in current]
        with ExitStack() as started:
            for callback in self.callbacks:
                callback.on_start(self)
                started.callback(callback.on_stop, self)
            try:
                while self.epoch < self.epochs and self.stopped is None:
                    began = time.perf_counter()
                    summary = self._train_epoch(batches, parameters)
                    torch._foreach_copy_(last_good, current)
                    self.end_epoch(summary, began)
            except (UserError, KeyboardInterrupt, SystemExit):
                torch._foreach_copy_(current, last_good)
                raise
        return self.best

    def _train_epoch(self, batches: Batches, parameters: list[torch.nn.Parameter]) -> Summary:
        """Train on every batch once; the device is waited for only at the end."""
        self.epoch += 1
        self.batch = 0
        self.model.train()
        for callback in self.callbacks:
            callback.on_epoch_start(self)
        log = StepLog(self.step, self.epoch, self.settings.log_balance)
        for group in groups(batches, self.settings.accumulate):
            self._train_step(group, parameters, log)
            if self.stopped is not None:
                break
        summary = log.close()
        check_parameters(self.model, self.step, self.epoch)
        return summary

    def _train_step(self, group: Iterator[Batch], parameters: list[torch.nn.Parameter], log: StepLog) -> None:
        """Take one step of the optimiser along the mean gradient of a few batches."""
        for parameter in parameters:
            parameter.grad = None
        self.results = []
        for batch in group:
            self.results.append(self.step(batch, self.epoch))
        self.batch += len(self.results)
        if not self.step.settle(len(self.results)):
            return
        for result in self.results:
            log.append(result)
        for callback in self.callbacks:
            callback.on_gradients(self)
        if self.settings.clip_norm is not None:
            clip_grad_norm_(parameters, self.settings.clip_norm)
        self.optimizer.step()
        self.steps += 1
        for callback in self.callbacks:
            callback.on_update(self)
        self.step.after(batch)
        for callback in self.callbacks:
            callback.on_step(self)

    def end_epoch(self, summary: Summary, began: float) -> None:
        """Put the epoch's row of the history together and show it to the callbacks."""
        history: Row = {"epoch": self.epoch, "loss_total": summary.total}
        history |= {f"loss_{name}": loss for name, loss in zip(self.step.tasks, summary.losses, strict=True)}
        for callback in self.callbacks:
            history |= callback.measure(self)
        history |= {"lr": self.optimizer.param_groups[0]["lr"], "seconds": time.perf_counter() - began}
        epoch = Epoch(history, summary.balance)
        self.best = Best(float("nan") if epoch.score is None else epoch.score, self.epoch, steps=self.steps)
        for callback in self.callbacks:
            callback.on_epoch_end(self, epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return what a training of the same config needs to go on after this epoch.

        Not in it are the generators that others own: torch's global one, and that of the batches' order.
        """
        return {
            "epoch": self.epoch,
            "steps": self.steps,
            "score": self.best.score,
            "stopped": self.stopped,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step.state_dict(),
            "callbacks": [callback.state_dict() for callback in self.callbacks],
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned; to be called before ``fit``, with the same callbacks."""
        self.epoch, self.steps, self.stopped = saved["epoch"], saved["steps"], saved["stopped"]
        self.best = Best(saved["score"], self.epoch, steps=self.steps)
        self.model.load_state_dict(saved["model"])
        self.step.load_state_dict(saved["step"])
        for callback, state in zip(self.callbacks, saved["callbacks"], strict=True):
            callback.load_state_dict(state)
        self.optimizer.load_state_dict(saved["optimizer"])  # last: it knows the learning rates too
