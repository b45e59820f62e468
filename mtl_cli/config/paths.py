"""Where the YAML files are, and the default for a component without one."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any

from mtl_cli.config.registry import SELECTORS, names, plugins

COMPONENTS = {group: group for group in SELECTORS if group not in ("sharing", "task", "trunk")} | {
    "model": "trunk",
    "model/sharing": "sharing",
}
"""The registry group behind each config group that chooses a component."""
SPACES = "tune"
"""The folder with what `mtl tune` may vary; no config chooses from it."""
PROTOCOLS = "benchmark"
"""The folder of benchmarks, beside the groups: no run chooses from it."""


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
    """Return the ``conf`` folders that lie inside the packages of the plugins that are used."""
    folders = []
    for plugin in plugins():
        if plugin.fault is not None:
            continue
        spec = importlib.util.find_spec(plugin.module.partition(".")[0])
        for location in (spec.submodule_search_locations or []) if spec else []:
            if (Path(location) / "conf").is_dir():
                folders.append(Path(location) / "conf")
    return tuple(folders)


def options(group: str, folders: list[Path]) -> list[str]:
    """Return the names that may be chosen in a config group: its YAML files, and components that have none."""
    files = {file.stem for folder in folders for file in (folder / group).glob("*.yaml")}
    return sorted(files | set(names(COMPONENTS[group]) if group in COMPONENTS else ()))


def without_file(folders: list[Path]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what the YAML file of each component would say that has none, by config group and name.

    It names the component: the defaults of its fields do the rest.

    Parameters
    ----------
    folders : list of Path
        Where there may be files beside ours and the plugins' own.
    """
    folders = [conf_dir(), *plugin_conf_dirs(), *folders]
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for group, registered in COMPONENTS.items():
        for name in names(registered):
            if not any((folder / group / f"{name}.yaml").is_file() for folder in folders):
                content = {SELECTORS[registered]: name}
                found[group, name] = {"trunk": content} if group == "model" else content
    return found


def group_names(folders: list[Path]) -> list[str]:
    """Return the config groups that are folders at the top: ``balancer``, ``dataset``, …"""
    names = {folder.name for base in folders for folder in base.iterdir() if any(folder.glob("*.yaml"))}
    return sorted(names - {SPACES, PROTOCOLS})
