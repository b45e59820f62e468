"""A guess at a data set as a YAML file with comments, which `mtl train` takes as it stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtl_cli.config.yaml_text import escaped
from mtl_cli.data.guess import Guess, GuessedTask

MOST = 40
"""Features, or further targets, that are listed."""
ABOUT = {
    "sequence": "the column of sequences; the others are labels, no features",
    "labels": "a row for each sequence, by id",
    "text": "the column of texts; `kind: csv` without this line takes the others alone",
    "model": "`model=…` behind the file's name takes another: mtl list models",
}
"""Comments on keys."""
FROM = 34
"""The column that comments begin in, as far as the lines leave room."""


def yaml_of(guess: Guess, dataset: Mapping[str, Any], model: Mapping[str, Any] | None, file: str, source: str) -> str:
    """Return the YAML file.

    Parameters
    ----------
    guess : Guess
    dataset : mapping
        Its kind, and where it is.
    model : mapping, optional
        Where another one than usual reads such data.
    file : str
        What the YAML file will be called.
    source : str
        What was looked at.
    """
    lines = [
        f"# mtl train {file}",
        f"# Guessed by `mtl init {source}` from {guess.rows:,} rows and {guess.columns:,} columns. Look it",
        f"# through, and change what is wrong; `mtl inspect {file}` shows how the data are read then.",
        "dataset:",
        *(_key(key, value) for key, value in dataset.items()),
    ]
    if guess.id is not None:
        lines.append(_commented(f"  {_pair('id', guess.id)}", "names the rows: no feature, and kept in predictions"))
    lines += _split(guess)
    if guess.excluded:
        lines += ["  features:", "    exclude:"]
        lines += [_commented(f"    - {_scalar(name)}", why) for name, why in guess.excluded.items()]
    if model is not None:
        lines.append(_commented(f"{_pair('model', model)}", ABOUT["model"]))
    lines.append("tasks:")
    lines += [_task(task) for task in guess.tasks]
    if guess.others:
        lines += ["  # these could be tasks too:"]
        lines += [f"  # {_task(task).strip()}" for task in guess.others[:MOST]]
        if len(guess.others) > MOST:
            lines.append(f"  # and {len(guess.others) - MOST:,} more columns")
    if guess.features:
        lines.append("# features:")
        lines += [f"#   {' '.join(name.split())}: {about}" for name, about in list(guess.features.items())[:MOST]]
        if len(guess.features) > MOST:
            lines.append(f"#   and {len(guess.features) - MOST:,} more columns")
    return "\n".join(lines) + "\n"


def _key(key: str, value: Any) -> str:
    line = f"  {_pair(key, value)}"
    return _commented(line, ABOUT[key]) if key in ABOUT else line


def _split(guess: Guess) -> list[str]:
    classes = [task.name for task in guess.tasks if task.settings["kind"] in ("binary", "multiclass")]
    lines = ["  # split:", "  #   test: 0.2                     # of the rows; val: 0.1 of them for early stopping"]
    if classes:
        lines.append(_commented(f"  #   {_pair('stratify', classes)}", "as much of each class in all parts"))
    for name in guess.dates[:1]:
        lines.append(_commented(f"  #   {_pair('time', name)}", "test on the latest rows, if the future is predicted"))
    return lines


def _task(task: GuessedTask) -> str:
    return _commented(f"  {_pair(task.name, task.settings)}", task.about)


def _commented(line: str, comment: str) -> str:
    return f"{line:<{FROM}}  # {' '.join(comment.split())}"


def _pair(key: str, value: Any) -> str:
    return f"{_scalar(key)}: {_scalar(value)}"


def _scalar(value: Any) -> str:
    """Return a value in YAML, in one line."""
    import yaml

    text: str = yaml.safe_dump(
        escaped(value), default_flow_style=True, allow_unicode=True, width=10**9, sort_keys=False
    )
    return text.removesuffix("\n").removesuffix("\n...").strip()
