"""The training loop of several members at once: each epoch's steps together, each member's epoch closed by itself.

Every member is trained as it would be alone, with its own order of rows, dropout, learning rate and stopping. One that
has ended is dropped from the batched network, and the others go on.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import nn

from mtl_cli.config.errors import UserError
from mtl_cli.training.build import Run
from mtl_cli.training.steps import StepLog, check_parameters
from mtl_cli.training.together.network import BatchedNetwork
from mtl_cli.training.together.rows import JointRows
from mtl_cli.training.together.step import JointStep
from mtl_cli.training.trainer import Trainer


class JointTrainer:
    """Trains the networks of several trainers in place.

    Parameters
    ----------
    runs : sequence of Run
        The members, as ``fits`` has them.
    trainers : sequence of Trainer
        Each member's.
    generators : sequence of Generator
        Of each member's dropout.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        trainers: Sequence[Trainer],
        generators: Sequence[torch.Generator],
    ) -> None:
        config = runs[0].ready.config
        self._settings, self.trainers = config.trainer, list(trainers)
        self._network = BatchedNetwork([run.network for run in runs])
        self._step = JointStep(self._network, [run.step for run in runs], generators)
        self._rows = JointRows([run.batches for run in runs])
        self._weights = [nn.Parameter(row) for row in self._network.values]
        groups = [{"params": [row]} for row in self._weights]
        self._optimizer = config.optimizer.build(groups, runs[0].ready.device)
        for run in runs:
            run.optimizer.step()  # without a gradient: it only keeps torch's schedules from warning

    def fit(self) -> None:
        """Train until every member is done or has been stopped. Raises UserError as ``Trainer.fit`` does."""
        with ExitStack() as everyone:
            stacks = [everyone.enter_context(ExitStack()) for _ in self.trainers]
            for trainer, batches, stack in zip(self.trainers, self._rows.members, stacks, strict=True):
                trainer.batches = len(batches)
                for callback in trainer.callbacks:
                    callback.on_start(trainer)
                    stack.callback(callback.on_stop, trainer)
            last_good = self._network.values.clone()
            try:
                while self.trainers:
                    self._train_epoch(last_good)
                    stacks = self._drop_finished(stacks)
                    last_good = self._network.values.clone()
            except (UserError, KeyboardInterrupt, SystemExit):
                self._network.values.copy_(last_good)
                raise

    def _train_epoch(self, last_good: torch.Tensor) -> None:
        """Train every member on each of its batches once, and close its epoch."""
        began = time.perf_counter()
        for trainer, group in zip(self.trainers, self._optimizer.param_groups, strict=True):
            trainer.epoch += 1
            trainer.batch = 0
            trainer.model.train()
            for callback in trainer.callbacks:
                callback.on_epoch_start(trainer)
            group["lr"] = trainer.optimizer.param_groups[0]["lr"]
        logs = [StepLog(trainer.step, trainer.epoch, self._settings.log_balance) for trainer in self.trainers]
        for step in self._rows.epoch():
            results = self._step(step, self.trainers[0].epoch)
            self._update(step.lengths)
            for trainer, result, log, length in zip(self.trainers, results, logs, step.lengths, strict=True):
                if length:
                    log.append(result)
                    trainer.results, trainer.batch, trainer.steps = [result], trainer.batch + 1, trainer.steps + 1
                    for callback in trainer.callbacks:
                        callback.on_step(trainer)
            if all(trainer.stopped is not None for trainer in self.trainers):
                break
        summaries = [log.close() for log in logs]
        for trainer in self.trainers:
            check_parameters(trainer.model, trainer.step, trainer.epoch)
        last_good.copy_(self._network.values)
        for trainer, summary in zip(self.trainers, summaries, strict=True):
            trainer.end_epoch(summary, began)

    @torch.no_grad()
    def _update(self, lengths: Sequence[int]) -> None:
        """Take a step of the optimiser for each member that had a batch."""
        gradients = self._network.gradients
        if self._settings.clip_norm is not None:  # as torch's clip_grad_norm_, for each member
            norms = gradients.norm(dim=1, keepdim=True)
            gradients.mul_((self._settings.clip_norm / (norms + 1e-6)).clamp(max=1.0))
        for row, gradient, length in zip(self._weights, gradients, lengths, strict=True):
            row.grad = gradient if length else None
        self._optimizer.step()

    def _drop_finished(self, stacks: list[ExitStack]) -> list[ExitStack]:
        """Close the members that are done or were stopped, and go on with the others."""
        going = [i for i, one in enumerate(self.trainers) if one.stopped is None and one.epoch < one.epochs]
        if len(going) == len(self.trainers):
            return stacks
        if going:
            self._network.keep(going)
            self._step.keep(going)
            self._rows.keep(going)
            for i, values in zip(going, self._network.values, strict=True):
                self._weights[i].data = values
        for i, stack in enumerate(stacks):
            if i not in going:
                stack.close()
        self.trainers = [self.trainers[i] for i in going]
        self._weights = [self._weights[i] for i in going]
        self._optimizer.param_groups[:] = [self._optimizer.param_groups[i] for i in going]
        return [stacks[i] for i in going]
