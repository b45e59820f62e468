"""MLflow: a run there for each of ours, with parameters, metrics over the steps, and artifacts."""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from mtl_cli import __version__
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
    parameters,
    tables_of,
)

FILE = "mlflow_run.json"
"""In the run's folder: which run of MLflow it is, so that a resumed one goes on with it."""
AT_ONCE = {"params": 100, "metrics": 1000}
"""What MLflow takes in one call."""
LONGEST = 6000
"""Characters of a parameter's value."""
STORE = "mlruns"


@component("callback", "mlflow")
@dataclass(frozen=True, kw_only=True)
class MLflowConfig(CallbackConfig):
    """A run of MLflow.

    Parameters
    ----------
    uri : str, optional
        Of the store; by default that of MLflow's own variable, else files in a folder here.
    experiment : str
    """

    uri: str | None = None
    experiment: str = "mtl"

    watches: ClassVar[bool] = True

    def check(self, where: str) -> Iterator[Problem]:
        """Yield a problem if MLflow is not installed."""
        return installed(where, "mlflow", "mlflow")

    def build(self, run: RunInfo) -> MLflow:
        """Return the callback of a run, or of one of its members."""
        from mlflow.exceptions import MlflowException

        try:
            client = self._client()
            number = self._run(client, run)
        except (MlflowException, ModuleNotFoundError) as error:  # no such server, or a store that needs a package
            raise UserError("callback.uri", f"MLflow's store cannot be used: {_first_line(error)}") from error
        return MLflow(client, number, "" if run.member is None else f"member_{run.member}/", run.notice)

    def finish(self, run: RunInfo) -> None:
        """Keep the metrics, figures and model, and say that the run is done."""
        client = self._client()
        number = self._run(client, run)
        _log(client, number, metrics=_metrics(metrics_of(run.folder), 0))
        for path in tables_of(run.folder):
            client.log_artifact(number, str(path))
        for path in figures_of(run.folder):
            client.log_artifact(number, str(path), "plots")
        client.log_artifact(number, str(model_of(run.folder)), "model")
        client.set_terminated(number, "FINISHED")

    def _client(self) -> Any:
        """Open the store. MLflow counts who uses it, and would do so over the network: not here."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        uri = self.uri or os.environ.get("MLFLOW_TRACKING_URI") or Path(STORE).absolute().as_uri()
        if "://" not in uri or uri.startswith("file:"):
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # files are enough for one user
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=uri)

    def _run(self, client: Any, run: RunInfo) -> str:
        """Return the run's number, of one that is made if there is none."""
        file = run.folder / FILE
        if file.is_file():
            return str(json.loads(file.read_text(encoding="utf-8"))["run_id"])
        found = client.get_experiment_by_name(self.experiment)
        experiment = client.create_experiment(self.experiment) if found is None else found.experiment_id
        tags = {"mtl.version": __version__, "mtl.run_dir": str(run.folder)}
        number = str(client.create_run(experiment, run_name=run.folder.absolute().name, tags=tags).info.run_id)
        from mlflow.entities import Param

        _log(client, number, params=[Param(_name(key), text[:LONGEST]) for key, text in parameters(run.config).items()])
        atomic(file, lambda path: path.write_text(json.dumps({"run_id": number}) + "\n", encoding="utf-8"))
        return number


class MLflow(Callback):
    """Tells an epoch's numbers when it ends.

    Parameters
    ----------
    client : MlflowClient
    run : str
        The run's number.
    member : str
        What the names of a member's metrics begin with.
    notice : callable
        Takes a line that the user should see.
    """

    watches = True

    def __init__(self, client: Any, run: str, member: str, notice: Callable[[str], None]) -> None:
        self._client, self._run, self._member, self._notice = client, run, member, notice
        self._told = 0.0

    def on_start(self, trainer: TrainerState) -> None:
        """Look how far a resumed training was logged."""
        if trainer.steps:
            told = self._client.get_metric_history(self._run, f"{self._member}epoch")
            self._told = max((metric.step for metric in told), default=0)

    def on_epoch_end(self, trainer: TrainerState, epoch: Epoch) -> None:
        """Tell the epoch's row of the history, and the rows of the weights."""
        if trainer.steps <= self._told:
            return
        tasks = list(trainer.step.tasks)
        own = {"epoch": float(trainer.epoch), **numbers(epoch.history, tasks)}
        rows = [(row["step"], numbers(row, tasks)) for row in epoch.balance] + [(trainer.steps, own)]
        metrics = [
            metric
            for step, row in rows
            for metric in _metrics({f"{self._member}{name}": value for name, value in row.items()}, step)
        ]
        from mlflow.exceptions import MlflowException

        try:
            _log(self._client, self._run, metrics=metrics)
        except MlflowException as error:  # the training is worth more than its log
            self._notice(
                f"callback: nothing more is logged to MLflow, from epoch {trainer.epoch} on: {_first_line(error)}"
            )
            self._told = math.inf


def _metrics(values: Mapping[str, float], step: int) -> list[Any]:
    from mlflow.entities import Metric

    return [Metric(_name(name), value, int(time.time() * 1000), step) for name, value in values.items()]


def _log(client: Any, run: str, **entries: list[Any]) -> None:
    """Tell parameters or metrics, as many at once as MLflow takes."""
    for kind, every in entries.items():
        for start in range(0, len(every), AT_ONCE[kind]):
            client.log_batch(run, **{kind: every[start : start + AT_ONCE[kind]]})


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _name(text: str) -> str:
    """Return a name of letters that MLflow takes."""
    return re.sub(r"[^\w.\-/ ]", "_", text)
