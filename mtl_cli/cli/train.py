"""`mtl train`: compose a config, check it, train, report."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf.errors import OmegaConfBaseException

from mtl_cli.cli.train_help import train_help
from mtl_cli.config.check import check_arguments
from mtl_cli.config.compose import PRIMARY, VERSION_BASE, as_primary, explain, store_components, to_plain
from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.overrides import Arguments, quote, read_arguments
from mtl_cli.config.parse import parse
from mtl_cli.config.paths import conf_dir, plugin_conf_dirs
from mtl_cli.data.files import SHIPPED
from mtl_cli.runs import directory

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass
class _Jobs:
    """What happened to the jobs of this process; Hydra would report the first failure only."""

    process: int | None = None
    failures: list[Exception] = field(default_factory=list)


_jobs = _Jobs()


def run(argv: list[str]) -> int:
    """Run ``mtl train`` with these arguments."""
    if "-h" in argv or "--help" in argv:
        print(train_help(), end="")
        return 0
    arguments = read_arguments(argv)
    check_arguments(arguments)
    _jobs.process, _jobs.failures = os.getpid(), []
    _run_hydra(arguments)
    if not _jobs.failures:
        return 0
    if not arguments.multirun:
        raise _jobs.failures[0]
    for failure in _jobs.failures:
        if isinstance(failure, BrokenPipeError):
            raise failure
    return 2 if all(isinstance(failure, UserError) for failure in _jobs.failures) else 1


def _run_hydra(arguments: Arguments) -> None:
    flags = [*arguments.flags, *(["--multirun"] if arguments.multirun else [])]
    argv = ["mtl train", *flags, *arguments.overrides]  # Hydra 1.3 wants the flags first
    if plugin_conf_dirs():
        argv.append(f"hydra.searchpath=[{','.join(quote(f'file://{folder}') for folder in plugin_conf_dirs())}]")
    sweep = None
    if arguments.multirun and not any(override.startswith("hydra.sweep.dir=") for override in arguments.overrides):
        sweep = directory.claim(arguments.run_dir) if arguments.run_dir else directory.fresh("sweep")
        argv.append(f"hydra.sweep.dir={quote(str(sweep))}")
    if arguments.config_file is not None:
        with tempfile.TemporaryDirectory() as folder:
            as_primary(arguments.config_file, Path(folder), arguments.groups)
            _call_hydra(["mtl train", "--config-dir", folder, "--config-name", PRIMARY, *argv[1:]])
    else:
        _call_hydra(argv)
    if sweep is not None and {path.name for path in sweep.iterdir()} <= {"multirun.yaml"}:  # every job was refused
        shutil.rmtree(sweep)


def _call_hydra(argv: list[str]) -> None:
    saved_argv, saved_mode = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = argv
    os.environ["HYDRA_FULL_ERROR"] = "1"  # or Hydra prints a dozen lines and exits by itself
    store_components([])
    try:
        hydra.main(config_path=str(conf_dir()), config_name="train", **VERSION_BASE)(job)()
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error) from error
    finally:
        sys.argv = saved_argv
        if saved_mode is None:
            os.environ.pop("HYDRA_FULL_ERROR", None)
        else:
            os.environ["HYDRA_FULL_ERROR"] = saved_mode


def job(config: DictConfig) -> None:
    """Run one job, and keep its failure: of several, Hydra would report the first only, after lines of its own."""
    multirun = HydraConfig.get().mode == RunMode.MULTIRUN
    try:
        _train(config, multirun)
    except Exception as error:
        if multirun:
            _report_failure(error)
            if _jobs.process != os.getpid():  # a launcher's worker: only the exception finds its way back
                raise
        _jobs.failures.append(error)


def _train(composed: DictConfig, multirun: bool) -> None:
    plain = to_plain(composed)
    config = parse(plain)
    if config.run_dir is not None:
        directory.check_free(config.run_dir)

    from mtl_cli.reports.console import print_summary, stderr_console
    from mtl_cli.reports.progress import TrainingProgress
    from mtl_cli.training.run import train

    choices = HydraConfig.get().runtime.choices
    stem = _stem(getattr(config.dataset, "path", None), choices.get("dataset") or plain["dataset"]["kind"])
    balancer = plain["balancer"]["name"]

    def make_directory() -> Path:
        if config.run_dir is not None:
            return directory.claim(config.run_dir)
        if multirun:
            return _near(Path(HydraConfig.get().runtime.output_dir))
        return directory.fresh(f"{stem}_{balancer}")

    console = stderr_console()
    command = ["mtl", "train", *(override.lstrip("+") for override in HydraConfig.get().overrides.task)]
    finished = train(config, _rerunnable(plain), command, make_directory, TrainingProgress(console))
    if config.plots:
        from mtl_cli.reports.plots import write_plots

        write_plots(finished, directory.weights_name(balancer))
    print_summary(console, finished)
    splits = finished.metrics["splits"]
    line = {
        "run_dir": str(finished.run.path),
        "status": "done",
        "score": finished.metrics["score"],
        "metrics": splits["test"]["tasks"] if "test" in splits else {},
    }
    print(directory.to_json(line), flush=True)


def _stem(path: str | None, choice: str) -> str:
    """Return what to call the data set in a run's name: its file, or what was chosen if it has none of its own."""
    if path is None or path.startswith(SHIPPED):
        return choice
    return Path(path).name.split(".")[0] or "table"


def _near(folder: Path) -> Path:
    """Return a path from here, if it lies below."""
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


def _rerunnable(plain: dict[str, Any]) -> dict[str, Any]:
    """Return the config as it is kept: its data found from any folder, its run in a fresh one."""
    trunk = dict(plain["model"]["trunk"])
    for key in ("pretrained", "cache"):  # a folder's name may be a hub's too: it is a folder only if it is there
        if isinstance(trunk.get(key), str) and (folder := Path(trunk[key]).expanduser()).is_dir():
            trunk[key] = str(folder.absolute())
    model = {**plain["model"], "trunk": trunk}
    found = {**plain, "dataset": _from_anywhere(plain["dataset"]), "model": model, "run_dir": None}
    if plain.get("init_from") is not None:
        found["init_from"] = str(Path(plain["init_from"]).expanduser().absolute())
    return found


def _from_anywhere(dataset: dict[str, Any]) -> dict[str, Any]:
    """Make the paths in a data set's config absolute, those of data sets inside it too."""
    found = dict(dataset)
    for key, value in dataset.items():
        if isinstance(value, dict):
            found[key] = _from_anywhere(value)
        elif key in ("path", "root", "labels") and value and value != "-" and not str(value).startswith(SHIPPED):
            found[key] = str(Path(value).expanduser().absolute())
    return found


def _report_failure(error: Exception) -> None:
    overrides = list(HydraConfig.get().overrides.task)
    if isinstance(error, UserError):
        problems = [str(problem) for problem in error.problems]
        for problem in problems:
            print(f"mtl train: error: {problem}", file=sys.stderr)
    else:
        problems = [str(Problem(type(error).__name__, str(error)))]
        traceback.print_exception(error, file=sys.stderr)
    output = Path(HydraConfig.get().runtime.output_dir)
    if output.is_dir() and not any(output.iterdir()):
        output.rmdir()
    if not isinstance(error, BrokenPipeError):
        line = {
            "run_dir": str(_near(output)) if output.is_dir() else None,
            "status": "failed",
            "error": problems,
            "overrides": overrides,
        }
        print(directory.to_json(line), flush=True)
