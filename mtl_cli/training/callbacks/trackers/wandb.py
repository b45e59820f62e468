"""Weights & Biases: a run there for each of ours, which by default is written to files and sent by nobody."""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.registry import component
from mtl_cli.io import atomic
from mtl_cli.training.callbacks.base import Callback, CallbackConfig, Epoch, RunInfo, TrainerState
from mtl_cli.training.callbacks.trackers.logged import (
    figures_of,
    installed,
    metrics_of,
    model_of,
    numbers,
    tables_of,
)

FILE = "wandb_run.json"
"""In the run's folder: its number at Weights & Biases, which a resumed run keeps."""
STEPS = "steps"
"""The metric that others are shown over: steps of the optimizer."""
_open: dict[str, Any] = {}
"""Runs that are told of in this process, by folder: the members of one, and what comes after it, share one."""


@component("callback", "wandb")
@dataclass(frozen=True, kw_only=True)
class WandbConfig(CallbackConfig):
    """A run of Weights & Biases.

    Parameters
    ----------
    project : str
    mode : {"offline", "online"}
    """

    project: str = "mtl"
    mode: Literal["offline", "online"] = "offline"

    watches: ClassVar[bool] = True

    def check(self, where: str) -> Iterator[Problem]:
        """Yield a problem if the package is not installed."""
        return installed(where, "wandb", "wandb")

    def build(self, run: RunInfo) -> Wandb:
        """Return the callback of a run, or of one of its members."""
        return Wandb(self._run(run), "" if run.member is None else f"member_{run.member}/")

    def finish(self, run: RunInfo) -> None:
        """Tell the metrics, figures and model, and end the run."""
        import wandb

        told = self._run(run)
        told.summary.update(metrics_of(run.folder))
        pictures = [path for path in figures_of(run.folder) if path.suffix == ".png"]
        told.log({f"plots/{path.stem}": wandb.Image(str(path)) for path in pictures})
        name = re.sub(r"[^a-zA-Z0-9_.-]", "_", run.folder.absolute().name)
        artifact = wandb.Artifact(f"{name}-model", type="model")
        for path in (model_of(run.folder), *tables_of(run.folder)):
            artifact.add_file(str(path))
        told.log_artifact(artifact)
        told.finish()
        del _open[str(run.folder.resolve())]

    def _run(self, run: RunInfo) -> Any:
        """Return the run of a folder, which is begun if it is not open."""
        key, file = str(run.folder.resolve()), run.folder / FILE
        if key not in _open:
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # which goes over the network
            import wandb

            before = json.loads(file.read_text(encoding="utf-8"))["id"] if file.is_file() else None
            number = before or uuid.uuid4().hex[:8]
            settings = wandb.Settings(
                mode=self.mode, root_dir=str(run.folder), console="off", silent=True, disable_git=True,
                disable_code=True, x_disable_stats=True, x_disable_meta=True,
            )  # fmt: skip
            try:
                _open[key] = wandb.init(
                    project=self.project, id=number, name=run.folder.absolute().name, config=run.config,
                    settings=settings, reinit="create_new",
                    resume="allow" if before and self.mode == "online" else None,
                )  # fmt: skip
            except wandb.errors.Error as error:
                what = " ".join(str(error).split())
                raise UserError(
                    "callback", f"nothing can be logged to Weights & Biases: {what}", "callback.mode=offline"
                ) from error
            atomic(file, lambda path: path.write_text(json.dumps({"id": number}) + "\n", encoding="utf-8"))
        return _open[key]


class Wandb(Callback):
    """Tells an epoch's numbers when it ends.

    Parameters
    ----------
    run : wandb.Run
    member : str
        What the names of a member's metrics begin with.
    """

    watches = True

    def __init__(self, run: Any, member: str) -> None:
        self._run, self._member = run, member

    def on_start(self, trainer: TrainerState) -> None:
        """Say what the metrics are shown over."""
        self._run.define_metric(f"{self._member}*", step_metric=f"{self._member}{STEPS}")

    def on_epoch_end(self, trainer: TrainerState, epoch: Epoch) -> None:
        """Tell the epoch's row of the history, and the rows of the weights."""
        tasks = list(trainer.step.tasks)
        own = {"epoch": float(trainer.epoch), **numbers(epoch.history, tasks)}
        rows = [(row["step"], numbers(row, tasks)) for row in epoch.balance] + [(trainer.steps, own)]
        for step, row in rows:
            self._run.log({f"{self._member}{name}": value for name, value in {STEPS: step, **row}.items()})
