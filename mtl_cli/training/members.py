"""The members of a run: which networks it trains, on which rows and from which seeds, and training them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mtl_cli import signals
from mtl_cli.config.errors import UserError
from mtl_cli.data.base import task_states
from mtl_cli.inference.members import Member as TrainedMember
from mtl_cli.inference.unknown import Kept
from mtl_cli.runs import directory
from mtl_cli.runs.directory import RunDirectory
from mtl_cli.runs.history import sort_by_member
from mtl_cli.runs.model_file import save_model
from mtl_cli.tasks.task import Task
from mtl_cli.training.build import Member, Ready, Run, build
from mtl_cli.training.callbacks.base import Best, Callback, RunInfo, chosen
from mtl_cli.training.callbacks.history import History
from mtl_cli.training.callbacks.progress import ShowProgress
from mtl_cli.training.checkpoints import Checkpoints, restore
from mtl_cli.training.device import seed_everything
from mtl_cli.training.linear import Chosen
from mtl_cli.training.together.fits import hindrance
from mtl_cli.training.together.loop import JointTrainer
from mtl_cli.training.together.show import ShowFirst
from mtl_cli.training.trainer import Trainer


@dataclass(frozen=True)
class Trained:
    """A member that has been trained.

    Parameters
    ----------
    member : Member
    seed : int
    model : members.Member
        Its network, with the weights that were kept, and its tasks.
    best : Best
        The epoch of those weights.
    """

    member: Member
    seed: int
    model: TrainedMember
    best: Best


def members_of(ready: Ready) -> list[Member]:
    """Return the members of a run, in the order of their seeds: by repeat, fold, and ``trainer.members``."""
    held, each = ready.data.held_out, ready.config.trainer.members
    if held is None:
        return [Member(number) for number in range(each)]
    places = [(repeat, fold) for repeat, tasks in enumerate(held.tasks) for fold in range(len(tasks))]
    numbered = enumerate(place for place in places for _ in range(each))
    return [Member(number, repeat, fold) for number, (repeat, fold) in numbered]


def begin(ready: Ready, member: Member, several: bool) -> Run:
    """Build a member; one of several has a seed of its own, so that it is as if it had been trained alone."""
    own = ready.of(member)
    if several:
        seed_everything(own.config.seed, own.device)
    return build(own)


def train_members(ready: Ready, first: Run, folder: RunDirectory) -> tuple[list[Trained], list[Trained]]:
    """Train all members of a run, and save their model.

    What has a checkpoint in the folder goes on from there. The model is saved however the training ends, of the members
    of which an epoch ended well. A signal is waited for until a step has ended.

    Parameters
    ----------
    ready : Ready
    first : Run
        The first of them, which is built already.
    folder : RunDirectory

    Returns
    -------
    list of Trained
        The members whose mean the model predicts.
    list of Trained
        Those that rows were held out of; the same, unless ``trainer.refit`` trained others on all rows.
    """
    trainer, members = ready.config.trainer, members_of(ready)
    checkpoints = Checkpoints(ready, folder)
    done: list[Trained] = []
    refit = trainer.refit and ready.data.held_out is not None
    several = len(members) > 1 or refit
    final: list[Trained] = done
    with signals.waiting():
        try:
            for trained in _train(ready, first, members, folder, several, checkpoints):
                done.append(trained)
            if refit:
                steps = round(float(np.median([trained.best.steps for trained in done])))
                ready.progress.notice(f"trainer.refit: {steps} steps on all rows that are not test rows")
                chosen = Chosen.by([trained.model.network.linear for trained in done])
                again = [Member(len(members) + n, steps=steps, linear=chosen) for n in range(trainer.members)]
                final = list(_train(ready, begin(ready, again[0], True), again, folder, True, checkpoints))
        finally:
            if final or done:
                save_members(ready, first, final or done, folder)
    if not (final or done):
        raise UserError("training", "the model is no longer finite", "a lower optimizer.lr may help")
    if several and checkpoints.resumed and hindrance(first) is not None:
        # rows of a member that was extended came after others'
        for name in (directory.HISTORY, ready.weights_name):
            sort_by_member(folder.path / name)
    return final, done


def _train(
    ready: Ready, first: Run, members: Sequence[Member], folder: RunDirectory, several: bool, checkpoints: Checkpoints
) -> Iterator[Trained]:
    """Train members at once or one after the other, as they fit; what interrupted ones have reached is yielded too."""
    if len(members) > 1:
        if (reason := hindrance(first)) is None:
            yield from _at_once(ready, first, members, folder, checkpoints)
            return
        ready.progress.notice(f"the {len(members)} members are trained in turn, not at once: {reason}")
    for member in members:
        signals.check()
        run = first if member is members[0] else begin(ready, member, several)
        place = members.index(member) + 1, len(members)
        show = ShowProgress(ready.progress, len(run.ready.data.parts["train"]), place)
        trainer = _trainer(run, folder, member.number if several else None, show)
        if (saved := checkpoints.of([member])) is not None:
            restore(saved, [run], [trainer], folder)
            torch.set_rng_state(saved["members"][0]["generator"].cpu())
        try:
            with ready.spent.on(run.batches):
                trainer.fit(run.batches, checkpoints.keeper([member]))
        finally:
            yield from _reached(run, trainer)


def _at_once(
    ready: Ready, first: Run, members: Sequence[Member], folder: RunDirectory, checkpoints: Checkpoints
) -> Iterator[Trained]:
    """Train members as one batched network."""
    runs, generators = [first], [torch.Generator().set_state(torch.get_rng_state())]  # where dropout would go on
    for member in members[1:]:
        signals.check()
        runs.append(begin(ready, member, True))
        generators.append(torch.Generator().set_state(torch.get_rng_state()))
    show = ShowFirst(ShowProgress(ready.progress, len(first.ready.data.parts["train"]), (0, len(members))))
    trainers = [_trainer(run, folder, run.ready.member.number, show) for run in runs]
    if (saved := checkpoints.of(members)) is not None:
        restore(saved, runs, trainers, folder)
        for generator, own in zip(generators, saved["members"], strict=True):
            generator.set_state(own["generator"].cpu())
    try:
        with ready.spent.on(*(run.batches for run in runs)):
            JointTrainer(runs, trainers, generators).fit(checkpoints.keeper(members))
    finally:
        for run, trainer in zip(runs, trainers, strict=True):
            yield from _reached(run, trainer)


def _reached(run: Run, trainer: Trainer) -> Iterator[Trained]:
    """Yield what a member came to, if any of its epochs ended well."""
    if trainer.best.epoch > 0 and all(bool(p.isfinite().all()) for p in run.network.parameters()):
        model = TrainedMember(run.network, run.ready.data.tasks)
        yield Trained(run.ready.member, run.ready.config.seed, model, trainer.best)


def _trainer(run: Run, folder: RunDirectory, member: int | None, show: Callback) -> Trainer:
    ready = run.ready
    history = History(folder.path / directory.HISTORY, folder.path / ready.weights_name, member)
    info = RunInfo(folder.path, ready.plain, ready.notice, member)
    built = [callback.build(info) for callback in chosen(ready.config).values()]
    callbacks: list[Callback] = [*run.callbacks, history, show, *(one for one in built if one is not None)]
    if ready.trial is not None and ready.member.number == 0:
        callbacks.append(ready.trial.watch())
    if run.stopping is not None:  # last, so that it restores the best weights before the others are told of the end
        callbacks.append(run.stopping)
    return Trainer(run.step, run.optimizer, ready.config.trainer, callbacks)


def save_members(
    ready: Ready,
    first: Run,
    members: Sequence[Trained],
    folder: RunDirectory,
    final: Mapping[str, Task] | None = None,
    kept: Kept | None = None,
) -> None:
    """Write the model file.

    Parameters
    ----------
    ready : Ready
    first : Run
        The first member's, whose config is kept.
    members : sequence of Trained
    folder : RunDirectory
    final : mapping of str to Task, optional
        The tasks with the steps behind the model, once these are fitted.
    kept : Kept, optional
        What the model says of labelled rows that it was not trained on.
    """
    found: list[dict[str, Any]] = [
        {
            "weights": trained.model.network.state_dict(),
            "tasks": task_states(trained.model.tasks),
            "seed": trained.seed,
            "repeat": trained.member.repeat,
            "fold": trained.member.fold,
        }
        for trained in members
    ]
    data = ready.data.state()
    if final is not None:
        data["tasks"] = task_states(final)
    elif len(found) == 1:  # such as the first fold's, when the training was interrupted
        data["tasks"] = found[0]["tasks"]
    if kept is not None:
        data["held_out"] = kept.state()
    save_model(folder, first.kept, data, found)
