"""The training loop: epochs of steps, with callbacks around them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain, islice
from typing import Any

import torch
from torch.nn.utils import clip_grad_norm_

from mtl_cli.config.errors import UserError
from mtl_cli.data.batches import Batch, Batches
from mtl_cli.runs.forms import Either, Form, check_form
from mtl_cli.runs.strangers import NotOurs
from mtl_cli.training.callbacks.base import Best, Epoch, Row, TrainerState
from mtl_cli.training.keeper import Keeper
from mtl_cli.training.steps import StepLog, Summary, check_parameters, form_of_step


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

    log: StepLog | None = None
    """What the steps of the epoch under way left; None between epochs."""
    order: Mapping[str, Any] | None = None
    """What the order of that epoch's batches depends on."""
    last_good: Sequence[torch.Tensor] = ()
    """The model's state when the last epoch had ended well."""
    resumed: Mapping[str, Any] | None = None
    """What an earlier training left of an epoch that it did not end."""

    def fit(self, batches: Batches, keeper: Keeper | None = None) -> Best:
        """Train until all epochs are done or something stops the training.

        Parameters
        ----------
        batches : Batches
            The training rows.
        keeper : Keeper, optional
            Told when a step, an epoch or the training has ended: it may keep its state, or break it off.

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
        keeper = keeper or Keeper()
        keeper.watch(lambda: [self.saved(batches)])
        self.batches = len(batches)
        parameters = list(self.model.parameters())
        current = list(self.model.state_dict().values())
        self.last_good = [tensor.clone() for tensor in self.last_good or current]
        with ExitStack() as started:
            for callback in self.callbacks:
                callback.on_start(self)
                started.callback(callback.on_stop, self)
            try:
                while self.epoch < self.epochs and self.stopped is None:
                    began = time.perf_counter()
                    summary = self._train_epoch(batches, parameters, keeper)
                    torch._foreach_copy_(self.last_good, current)
                    self.end_epoch(summary, began)
                    keeper.after_epoch()
                keeper.after_training()
            except (UserError, KeyboardInterrupt, SystemExit):
                torch._foreach_copy_(current, self.last_good)
                raise
        return self.best

    def _train_epoch(self, batches: Batches, parameters: list[torch.nn.Parameter], keeper: Keeper) -> Summary:
        """Train on every batch once; the device is waited for only at the end."""
        log = self.begin_epoch(batches)
        for group in groups(batches.after(self.batch), self.settings.accumulate):
            self._train_step(group, parameters, log)
            if self.stopped is not None:
                break
            keeper.after_step(self.steps)
        summary = log.close()
        check_parameters(self.model, self.step, self.epoch)
        self.log = None
        return summary

    def begin_epoch(self, batches: Batches) -> StepLog:
        """Begin an epoch, or go on with one that an earlier training began."""
        resumed, self.resumed = self.resumed, None
        self.epoch += 1
        self.batch = 0 if resumed is None else resumed["batch"]
        self.order = batches.state_dict()
        self.model.train()
        for callback in self.callbacks:
            callback.on_epoch_start(self)
        self.log = StepLog(self.step, self.epoch, self.settings.log_balance)
        if resumed is not None:
            self.log.load_state_dict(resumed["log"])
        return self.log

    def _train_step(self, group: Iterator[Batch], parameters: list[torch.nn.Parameter], log: StepLog) -> None:
        """Take one step of the optimizer along the mean gradient of a few batches."""
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
        """Return what a training of the same config needs to go on from here, between two epochs or two steps.

        Not in it are the generators that others own: torch's global one, and that of the batches' order.
        """
        under_way = None
        if self.log is not None:
            under_way = {"batch": self.batch, "log": self.log.state_dict(), "last_good": list(self.last_good)}
        return {
            "epoch": self.epoch - (self.log is not None),
            "steps": self.steps,
            "best": {"score": self.best.score, "epoch": self.best.epoch, "steps": self.best.steps},
            "stopped": self.stopped,
            "under_way": under_way,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step.state_dict(),
            "callbacks": [callback.state_dict() for callback in self.callbacks if not callback.watches],
        }

    def form(self) -> dict[str, Form]:
        """Return what ``state_dict`` returns, whenever it is asked, but for the optimizer's; see ``runs.forms``."""
        model = self.model.state_dict()
        log = StepLog.form(self.step)
        return {
            **self.state_dict(),
            "best": {"score": 0.0, "epoch": 0, "steps": 0},
            "stopped": Either(None, ""),
            "under_way": Either(None, {"batch": 0, "log": log, "last_good": list(model.values())}),
            "step": form_of_step(self.step),
            "callbacks": [callback.form(self) for callback in self.callbacks if not callback.watches],
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned; to be called before ``fit``, with the same callbacks."""
        self.epoch, self.steps, self.stopped = saved["epoch"], saved["steps"], saved["stopped"]
        best, self.resumed = saved["best"], saved["under_way"]
        self.best = Best(best["score"], best["epoch"], steps=best["steps"])
        self.last_good = () if self.resumed is None else self.resumed["last_good"]
        self.model.load_state_dict(saved["model"])
        self.step.load_state_dict(saved["step"])
        for callback, state in zip((c for c in self.callbacks if not c.watches), saved["callbacks"], strict=True):
            callback.load_state_dict(state)
        self.optimizer.load_state_dict(saved["optimizer"])  # last: it knows the learning rates too

    def saved(self, batches: Batches) -> dict[str, Any]:
        """Return the state of the training and of what it shares with others: torch's generator, the batches' order."""
        order = self.order if self.log is not None else batches.state_dict()
        return {"training": self.state_dict(), "order": order, "generator": torch.get_rng_state()}

    def restore(self, batches: Batches, saved: Mapping[str, Any], optimizer: Form) -> None:
        """Go on from what ``saved`` returned, but for torch's generator, which is set when all else is built.

        Raises
        ------
        NotOurs
            If it is not what ``saved`` would return of such a training; ``optimizer`` is the form of its optimizer's.
        """
        training = {**self.form(), "optimizer": optimizer}
        check_form(saved, {"training": training, "order": batches.state_dict(), "generator": torch.get_rng_state()})
        under_way = saved["training"]["under_way"]
        if under_way is not None and under_way["batch"] > len(batches):
            raise NotOurs(f"has {under_way['batch']} batches of an epoch of {len(batches)}")
        self.load_state_dict(saved["training"])
        batches.load_state_dict(saved["order"])
