"""The training loop of several members at once: each epoch's steps together, each member's epoch closed by itself.

Every member is trained as it would be alone, with its own order of rows, dropout, learning rate and stopping. One that
has ended is dropped from the batched network, and the others go on.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from mtl_cli.config.errors import UserError
from mtl_cli.runs.checkpoint_file import compact
from mtl_cli.training.build import Run
from mtl_cli.training.keeper import Keeper
from mtl_cli.training.steps import check_parameters
from mtl_cli.training.together.network import BatchedNetwork
from mtl_cli.training.together.optimizer import give_states, take_states
from mtl_cli.training.together.rows import JointRows
from mtl_cli.training.together.step import JointStep
from mtl_cli.training.trainer import Trainer


class JointTrainer:
    """Trains the networks of several trainers in place.

    Parameters
    ----------
    runs : sequence of Run
        The members, in none of which ``hindrance`` finds any.
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
        take_states(self._optimizer, self._weights, [trainer.optimizer for trainer in trainers])
        for run in runs:
            run.optimizer.step()  # without a gradient: it only keeps torch's schedules from warning
        self._every = list(zip(trainers, self._rows.members, generators, strict=True))
        self._ended: dict[int, dict[str, Any]] = {}
        self._steps = 0

    def fit(self, keeper: Keeper) -> None:
        """Train until every member is done or has been stopped. Raises UserError as ``Trainer.fit`` does."""
        keeper.watch(self._saved)
        with ExitStack() as everyone:
            stacks = [everyone.enter_context(ExitStack()) for _ in self.trainers]
            for trainer, batches, stack in zip(self.trainers, self._rows.members, stacks, strict=True):
                trainer.batches = len(batches)
                for callback in trainer.callbacks:
                    callback.on_start(trainer)
                    stack.callback(callback.on_stop, trainer)
            stacks = self._drop_finished(stacks)  # of a training that was resumed
            last_good = self._last_good()
            try:
                while self.trainers:
                    self._train_epoch(last_good, keeper)
                    stacks = self._drop_finished(stacks)
                    last_good = self._last_good()
                    keeper.after_epoch()
                keeper.after_training()
            except (UserError, KeyboardInterrupt, SystemExit):
                self._network.values.copy_(last_good)
                raise

    def _last_good(self) -> torch.Tensor:
        """Return the members' parameters as their last epoch left them, (M, P); each trainer sees its own state."""
        last_good = self._network.values.clone()
        for trainer, row in zip(self.trainers, last_good if self.trainers else (), strict=True):
            names = [name for name, _ in trainer.model.named_parameters()]
            pieces = dict(zip(names, self._network.split(row), strict=True))
            own = [pieces.get(name, buffer) for name, buffer in trainer.model.state_dict().items()]
            if trainer.resumed:
                torch._foreach_copy_(own, list(trainer.last_good))
            trainer.last_good = own
        return last_good

    def _train_epoch(self, last_good: torch.Tensor, keeper: Keeper) -> None:
        """Train every member on each of its batches once, and close its epoch."""
        began = time.perf_counter()
        logs = [
            trainer.begin_epoch(batches) for trainer, batches in zip(self.trainers, self._rows.members, strict=True)
        ]
        for trainer, group in zip(self.trainers, self._optimizer.param_groups, strict=True):
            group["lr"] = trainer.optimizer.param_groups[0]["lr"]
        for step in self._rows.epoch(max(trainer.batch for trainer in self.trainers)):
            results = self._step(step, self.trainers[0].epoch)
            self._update(step.lengths)
            self._step.after(step)
            for trainer, result, log, length in zip(self.trainers, results, logs, step.lengths, strict=True):
                if length:
                    log.append(result)
                    trainer.results, trainer.batch, trainer.steps = [result], trainer.batch + 1, trainer.steps + 1
                    for callback in trainer.callbacks:
                        callback.on_step(trainer)
            if all(trainer.stopped is not None for trainer in self.trainers):
                break
            self._steps += 1
            keeper.after_step(self._steps)
        summaries = [log.close() for log in logs]
        for trainer in self.trainers:
            check_parameters(trainer.model, trainer.step, trainer.epoch)
            trainer.log = None
        last_good.copy_(self._network.values)
        for trainer, summary in zip(self.trainers, summaries, strict=True):
            trainer.end_epoch(summary, began)

    @torch.no_grad()
    def _update(self, lengths: Sequence[int]) -> None:
        """Take a step of the optimizer for each member that had a batch."""
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
        self._hand_back()
        for i, trainer in enumerate(self.trainers):
            if i not in going:  # before its best weights are restored
                self._ended[id(trainer)] = compact(self._state(trainer), everything=True)
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

    def _saved(self) -> list[dict[str, Any]]:
        """Return each member's state, of those too that have ended, as if it had been trained alone."""
        self._hand_back()
        return [self._ended.get(id(trainer)) or self._state(trainer) for trainer, _, _ in self._every]

    def _state(self, trainer: Trainer) -> dict[str, Any]:
        """Return a member's state; its dropout is drawn with a generator of its own."""
        batches, generator = next((b, g) for other, b, g in self._every if other is trainer)
        return {**trainer.saved(batches), "generator": generator.get_state()}

    def _hand_back(self) -> None:
        """Give the members' own steps and optimizers the state that is theirs."""
        self._step.hand_back()
        give_states(self._optimizer, self._weights, [trainer.optimizer for trainer in self.trainers])
