"""What trackers log of a run: numbers under names that group well, and the files of a run that is done."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mtl_cli.config.errors import Problem
from mtl_cli.runs import directory
from mtl_cli.runs.records import read_record

NOT_LOGGED = ("epoch", "step", "member")
"""Columns that say which row it is."""


def installed(where: str, module: str, extra: str) -> Iterator[Problem]:
    """Yield a problem if a tracker's package is not there."""
    if importlib.util.find_spec(module) is None:
        what = f"{extra} needs the package {module}, which is not installed"
        yield Problem(where, what, f"pip install 'mtl-cli[{extra}]'")


def numbers(row: Mapping[str, Any], tasks: Sequence[str]) -> dict[str, float]:
    """Return the numbers of a row of the history, or of the weights; ``loss_price`` is called ``loss/price``."""
    found = {}
    for key, value in row.items():
        if key in NOT_LOGGED or value is None or value == "":
            continue
        of = max((task for task in tasks if key.endswith(f"_{task}")), key=len, default=None)
        found[key if of is None else f"{key.removesuffix(f'_{of}')}/{of}"] = float(value)
    return found


def metrics_of(folder: Path) -> dict[str, float]:
    """Return a run's score, and each task's metrics on each part of the split: ``test/price/rmse``."""
    metrics = read_record(folder / directory.METRICS)
    found = {} if metrics.get("score") is None else {"score": float(metrics["score"])}
    for part, report in metrics.get("splits", {}).items():
        for task, own in report["tasks"].items():
            for name, value in own.items():
                if isinstance(value, int | float):
                    found[f"{part}/{task}/{name}"] = float(value)
    return found


def config_of(folder: Path) -> str:
    """Return a run's config as YAML."""
    return (folder / directory.CONFIG).read_text(encoding="utf-8")


def figures_of(folder: Path) -> list[Path]:
    """Return a run's figures, in the order of their names."""
    return sorted(path for path in (folder / directory.PLOTS).glob("*") if path.suffix in (".png", ".svg"))


def model_of(folder: Path) -> Path:
    """Return a run's model file."""
    return folder / directory.MODEL


def parameters(config: Mapping[str, Any], where: str = "") -> dict[str, str]:
    """Return a config's keys, such as ``trainer.epochs``, and their values as text."""
    found: dict[str, str] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            found |= parameters(value, f"{where}{key}.")
        else:
            found[f"{where}{key}"] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return found


def tables_of(folder: Path) -> list[Path]:
    """Return the files of a run that hold numbers of the whole, and no single row of the data."""
    names = (directory.CONFIG, directory.METRICS, directory.RUN, directory.HISTORY)
    return [path for name in names if (path := folder / name).is_file()] + sorted(folder.glob("*_weights.csv"))
