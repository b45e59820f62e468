"""Where the YAML files are."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

from mtl_cli.config.registry import plugins


@functools.cache
def conf_dir() -> Path:
    """Return the folder of the shipped configs: inside the wheel, or beside the package in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise FileNotFoundError(f"the configs of mtl are missing: neither {package}/conf nor {package.parent}/conf")


@functools.cache
def plugin_conf_dirs() -> tuple[Path, ...]:
    """Return the ``conf`` folders that lie inside the packages of plugins."""
    folders = []
    for plugin in plugins():
        spec = importlib.util.find_spec(plugin.module.partition(".")[0])
        for location in (spec.submodule_search_locations or []) if spec else []:
            if (Path(location) / "conf").is_dir():
                folders.append(Path(location) / "conf")
    return tuple(folders)


def options(group: str, folders: list[Path]) -> list[str]:
    """Return the names of a config group's YAML files."""
    return sorted({file.stem for folder in folders for file in (folder / group).glob("*.yaml")})


def group_names(folders: list[Path]) -> list[str]:
    """Return the config groups that are folders at the top: ``balancer``, ``dataset``, …"""
    return sorted({folder.name for base in folders for folder in base.iterdir() if any(folder.glob("*.yaml"))})
