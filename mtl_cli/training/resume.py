"""Opening a run's folder to go on with the run: what it says of itself, and that it is asked for the same run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.parse import parse
from mtl_cli.config.registry import SELECTORS, components
from mtl_cli.config.schema import Config
from mtl_cli.config.yaml_text import read_written
from mtl_cli.io import leftovers, user_path
from mtl_cli.runs import directory
from mtl_cli.runs.checkpoint_file import load_checkpoint
from mtl_cli.runs.directory import RunDirectory
from mtl_cli.runs.strangers import check_links
from mtl_cli.training.record import earlier

MAY_CHANGE = (
    "callback",
    "device",
    "plots",
    "resume",
    "run_dir",
    "trainer.baselines",
    "trainer.checkpoint",
    "trainer.compare_single",
    "trainer.epochs",
    "trainer.steps",
)
"""Keys that do not change what was trained so far."""


@dataclass(frozen=True)
class Earlier:
    """A run that may be resumed.

    Parameters
    ----------
    folder : RunDirectory
    done : bool
        Whether it was finished, and is not asked for more epochs.
    epochs : int, optional
        That its members were trained, the most; None if there is no checkpoint yet.
    """

    folder: RunDirectory
    done: bool
    epochs: int | None


def open_run(path: str, config: Config) -> Earlier:
    """Return the run in a folder, given the config that it is to go on with.

    Raises
    ------
    UserError
        If there is none, or the config is of another run, with each key that differs.
    """
    folder = RunDirectory(user_path(path))
    if not (folder.path / directory.CONFIG).is_file():
        what = f"holds no {directory.CONFIG}: it is not a run, or one that ended before it had begun"
        raise UserError(path, what, f"start it anew, with run_dir={path} once that is empty")
    check_links(folder.path)
    contents = [load_checkpoint(file, lazy=True) for file in folder.checkpoints()]
    plain = contents[0]["config"] if contents else read_written(folder.path / directory.CONFIG)
    try:
        before = parse(plain, check=False)
    except UserError as error:
        found = [Problem(p.where, f"{p.what}, in the config of {path}", p.hint) for p in error.problems]
        raise UserError.of(found) from error
    if problems := list(_differences(before, config, path)):
        raise UserError.of(problems)
    epochs = max((int(own["training"]["epoch"]) for each in contents for own in each["members"]), default=0)
    asked = config.trainer.epochs
    if isinstance(asked, int) and asked < epochs:
        raise UserError("trainer.epochs", f"is {asked}, and {path} has trained {epochs}", f"give {epochs} or more")
    longer = any(getattr(before.trainer, key) != getattr(config.trainer, key) for key in ("epochs", "steps"))
    done = earlier(folder).get("status") == "done"
    if done and longer and not contents:
        hint = f"trainer.checkpoint.keep=true keeps what is needed to extend a run; {directory.CONFIG} repeats it"
        raise UserError(path, f"is done, and has no {directory.CHECKPOINT} to be extended from", hint)
    if longer and config.trainer.refit and done:
        what = "is true: the members that were trained on all rows, for as many steps as were best, would be others"
        raise UserError("trainer.refit", what, f"a run of {path}/{directory.CONFIG} with more epochs")
    return Earlier(folder, done and not longer, epochs if contents else None)


def clean(folder: RunDirectory) -> None:
    """Take away what a process that was killed left half written."""
    for path in leftovers(folder.path):
        path.unlink(missing_ok=True)


def _differences(before: Config, now: Config, path: str) -> Iterator[Problem]:
    """Yield each key that would change what was trained so far."""
    for key, old, new in _changed(before, now, ""):
        what = f"is {_shown(new)}, and {path} was begun with {_shown(old)}"
        yield Problem(key, what, "leave it out, or start a run of its own")


def _changed(old: Any, new: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield each key in which two configs differ, with its values; a part of another kind is one difference."""
    if where in MAY_CHANGE:
        return
    dot = f"{where}." if where else ""
    if dataclasses.is_dataclass(old) and type(old) is type(new):
        for field in dataclasses.fields(old):
            yield from _changed(getattr(old, field.name), getattr(new, field.name), f"{dot}{field.name}")
    elif isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys((*old, *new)):
            yield from _changed(old.get(name), new.get(name), f"{dot}{name}")
    elif old != new:
        yield where, old, new


def _shown(value: Any) -> str:
    if dataclasses.is_dataclass(value):
        kinds = (name for group in SELECTORS for name, kind in components(group).items() if kind is type(value))
        return next(kinds, type(value).__name__)
    return "null" if value is None else str(value)
