"""The Python interface: `train` a model, `load` one that was trained, and read what a run left.

``mtl_cli`` exports these names lazily. Everything that it needs of the other rooms is called from here, so that the
rooms may change without the interface.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import pandas as pd
import pyarrow as pa

from mtl_cli.balancing.base import Balancer
from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.registry import SELECTORS, components
from mtl_cli.config.yaml_text import read_written
from mtl_cli.io import user_path
from mtl_cli.runs import directory
from mtl_cli.runs.records import read_record

if TYPE_CHECKING:
    from mtl_cli.inference.trained import TrainedModel as Model
    from mtl_cli.training.callbacks.progress import Progress

Value: TypeAlias = "str | float | bool | Path | Sequence[Value] | Mapping[str, Value] | None"
"""What a setting may be."""

logger = logging.getLogger("mtl_cli")


class Run:
    """The folder of a finished run; its files are read when they are asked for.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    UserError
        If no run has finished there.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = user_path(path)
        if not (self.path / directory.METRICS).is_file():
            raise UserError(str(path), "is not the folder of a finished run", f"it has no {directory.METRICS}")

    def __repr__(self) -> str:
        return f"Run('{self.path}')"

    @functools.cached_property
    def metrics(self) -> dict[str, Any]:
        """``metrics.json``: the score, its epoch, and the metrics by part of the split and task."""
        return read_record(self.path / directory.METRICS)

    @property
    def score(self) -> float | None:
        """The mean skill on the validation rows, by which runs are compared; None without validation rows."""
        return cast("float | None", self.metrics["score"])

    @functools.cached_property
    def config(self) -> dict[str, Any]:
        """``config.yaml``: every setting of the run."""
        return read_written(self.path / directory.CONFIG)

    @functools.cached_property
    def history(self) -> pd.DataFrame:
        """``mtl_history.csv``: a row per epoch."""
        return pd.read_csv(self.path / directory.HISTORY)

    @functools.cached_property
    def weights(self) -> pd.DataFrame:
        """``<balancer>_weights.csv``: the task weights as used, a row per logged step."""
        return pd.read_csv(self.path / directory.weights_name(self.config["balancer"][SELECTORS["balancer"]]))

    @functools.cached_property
    def predictions(self) -> pd.DataFrame:
        """``predictions.csv``: the test rows with their labels and predictions."""
        return pd.read_csv(self.path / directory.PREDICTIONS)

    def model(self) -> TrainedModel:
        """Load the model that the run trained."""
        return load(self)


@dataclass(frozen=True)
class TrainedModel:
    """A trained model and what it needs to read new rows. Made by `load`.

    Parameters
    ----------
    model : Model
        What the command line works with.
    """

    model: Model

    @property
    def tasks(self) -> list[str]:
        """The names of the tasks."""
        return list(self.model.tasks)

    def predict(self, data: pd.DataFrame | str | Path) -> pd.DataFrame:
        """Return predictions, a row for each row of the data, in their order.

        Parameters
        ----------
        data : DataFrame, str or Path
            A table with the columns that the model was trained on (label columns are not needed), or a file that
            `mtl predict` reads.

        Returns
        -------
        DataFrame
            The id column, or ``row``, and for each task ``predicted_<task>`` and, for classes,
            ``predicted_<task>_prob``; ``<task>_low`` and ``<task>_high``, or ``<task>_set``, of an interval.
        """
        with _as_file(data) as path:
            note = _note_of(data, path)
            return self._reading(data).predict(self._reading(data).read(path, note), note)

    def _reading(self, data: pd.DataFrame | str | Path) -> Model:
        """Return the model; names of files in a table in memory are looked for from the working folder."""
        in_memory = not isinstance(data, str | Path)
        return self.model.with_keys({"folder": "."}) if in_memory and "folder" in self.model.reader.keys else self.model

    def evaluate(self, data: pd.DataFrame | str | Path | None = None) -> dict[str, Any]:
        """Return the metrics as `mtl evaluate` prints them.

        Parameters
        ----------
        data : DataFrame, str or Path, optional
            Rows with labels; by default the run's own test rows, read again.
        """
        if data is None:
            return self.model.evaluate_test(_note).report
        with _as_file(data) as path:
            note = _note_of(data, path)
            return self._reading(data).evaluate(self._reading(data).read(path, note), note).report


def train(*overrides: str, verbose: bool = False, **settings: Value) -> Run:
    """Train a model, as `mtl train` does, and return its run.

    Parameters
    ----------
    *overrides : str
        Settings as on the command line, such as ``"dataset=wine"`` or ``"trainer.epochs=3"``.
    verbose : bool, default False
        Show the progress on stderr that the command shows. Otherwise only notices about the data are given, as warnings
        of the logger ``mtl_cli``.
    **settings : str, number, bool, None, list or mapping
        The same with Python's values: ``dataset="wine"``, ``trainer={"epochs": 3}``. A string is read as on the command
        line; a mapping changes the keys that it names, and ``tasks`` replaces a data set's tasks.

    Raises
    ------
    UserError
        If a setting or the data are wrong, with a line for each problem.
    """
    words = [*overrides, *(f"{key}={_text(value)}" for key, value in settings.items())]
    return Run(_train(words, verbose))


def load(run: Run | str | Path) -> TrainedModel:
    """Load the model of a run, given the run, its folder, or its ``mtl_model.pt``.

    Raises
    ------
    UserError
        If there is no such model.
    """
    from mtl_cli.inference.trained import TrainedModel as Model

    return TrainedModel(Model.load(str(run.path if isinstance(run, Run) else run)))


def balancers() -> dict[str, type[Balancer]]:
    """Return the classes of all balancers by name, those of plugins too; their fields are the YAML keys."""
    return components("balancer")


class _Quiet:
    """Tells notices only."""

    def notice(self, line: str) -> None:
        _note(line)

    def look(self, look: Any) -> None: ...

    def start(self, *args: Any, **kwargs: Any) -> None: ...

    def part(self, *args: Any) -> None: ...

    def epoch(self, *args: Any) -> None: ...

    def stop(self) -> None: ...


def _note_of(data: pd.DataFrame | str | Path, path: str) -> Callable[[str], None]:
    """Return what takes notices about some data; a table in memory is called so, whatever file it is put into."""
    return _note if isinstance(data, str | Path) else lambda line: _note(line.replace(path, "the table"))


def _note(line: str) -> None:
    logger.warning(line)


def _train(words: list[str], verbose: bool) -> Path:
    """Train as the command line does; the one place that calls the rooms below."""
    from mtl_cli.cli.words import read_words
    from mtl_cli.config.check import check_runs
    from mtl_cli.studies.job import make_job, run_training

    read = read_words(words)
    if read.multirun:
        raise UserError("-m", "is for mtl train", "call train once for each combination")
    checked = check_runs([read.overrides], read.assembler(), read.problems)[0]
    progress = _progress() if verbose else _Quiet()
    for note in checked.assembled.notes:
        progress.notice(note)
    finished = run_training(make_job(checked, read.start), progress)
    return user_path(str(checked.config.resume)) if finished is None else finished.run.path


def _progress() -> Progress:
    from mtl_cli.reports.console import stderr_console
    from mtl_cli.reports.progress import TrainingProgress

    return TrainingProgress(stderr_console())


def _text(value: Value) -> str:
    """Return a value as it is written on the command line; lists and mappings in JSON, which keeps any text in them."""
    if isinstance(value, str | Path):
        return str(value)
    return repr(float(value)) if isinstance(value, float) else json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Value) -> Any:
    """Return a value in what JSON has."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | Integral):
        return int(value)
    if isinstance(value, float | Real):
        return float(value)
    if isinstance(value, str | Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value]


@contextlib.contextmanager
def _as_file(data: pd.DataFrame | str | Path) -> Iterator[str]:
    """Give the path of a file; a table in memory becomes one for as long as it is read."""
    if isinstance(data, str | Path):
        yield str(data)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        try:
            data.to_parquet(path, index=False)
        except (pa.ArrowException, ValueError) as error:
            raise UserError("the table", f"cannot be read: {error}") from error
        try:
            yield str(path)
        except UserError as error:  # the file is ours: the user gave a table
            named = [Problem(p.where.replace(str(path), "the table"), p.what, p.hint) for p in error.problems]
            raise UserError.of(named) from None
