"""Which columns of a table are labels elsewhere: in a data set's YAML file, or in an earlier run on the same table.

A run of one of three targets takes the other two as features. Nothing in the table tells; what is known of it does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mtl_cli.config.paths import conf_dir, plugin_conf_dirs
from mtl_cli.io import user_path
from mtl_cli.runs.directory import CONFIG, OUTPUTS

NEWEST = 20
"""Earlier runs that are looked at, in each folder."""


def labels_elsewhere(path: str) -> dict[str, str]:
    """Return the label columns of other configs of the table at ``path``, and where each is one.

    Looked at are the data sets that can be named, and the newest runs in the folder ``outputs`` and in this one.
    """
    files = [file for folder in (conf_dir(), *plugin_conf_dirs()) for file in sorted(folder.glob("dataset/*.yaml"))]
    runs = [file for folder in (Path(OUTPUTS), Path()) for file in _newest(folder)]
    found: dict[str, str] = {}
    for file in [*files, *runs]:
        content = _read(file, Path(path).name)
        dataset, tasks = content.get("dataset"), content.get("tasks")
        if not isinstance(dataset, dict) or not isinstance(tasks, dict) or not _same(dataset.get("path"), path):
            continue
        where = f"dataset={file.stem}" if file in files else str(file.parent)
        for name, task in tasks.items():
            target = task.get("target") if isinstance(task, dict) else None
            for column in target if isinstance(target, list) else [target or name]:
                found.setdefault(str(column), where)
    return found


def _newest(folder: Path) -> list[Path]:
    """Return the configs of the newest runs in a folder."""
    files = [file for file in folder.glob(f"*/{CONFIG}") if file.is_file()]
    return sorted(files, key=lambda file: file.stat().st_mtime, reverse=True)[:NEWEST]


def _read(file: Path, name: str) -> dict[str, Any]:
    """Return a config as plain values; nothing if it does not mention the table's name, which is quick to see."""
    import yaml

    try:
        text = file.read_text(encoding="utf-8")
        content = yaml.safe_load(text) if name in text else None
    # of another program, just being written, or nested without end
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _same(path: object, other: str) -> bool:
    if not isinstance(path, str):
        return False
    if path == other or ":" in path:
        return path == other
    return user_path(path).resolve() == user_path(other).resolve()
