"""The names that YAML may use, and the classes behind them.

A component is a dataclass whose fields are exactly its YAML keys. It lives in a file of its own in one of the packages
below, imports nothing heavy at the top (so that a wrong config is found without loading torch), and is found by being
there: no list names it. Other packages add theirs by an entry point in the group ``mtl_cli.plugins`` that names a
module; importing that module runs its ``@component`` lines.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import pkgutil
from collections.abc import Callable
from typing import TypeVar

PACKAGES = {
    "balancer": "mtl_cli.balancing.methods",
    "callback": "mtl_cli.training.callbacks",
    "dataset": "mtl_cli.data.sources",
    "figure": "mtl_cli.reports.figures",
    "format": "mtl_cli.inference.formats",
    "optimizer": "mtl_cli.training.optimizers",
    "regularizer": "mtl_cli.models.regularizers",
    "scheduler": "mtl_cli.training.schedulers",
    "sharing": "mtl_cli.models.sharing",
    "task": "mtl_cli.tasks.kinds",
    "trunk": "mtl_cli.models.trunks",
}
"""Where the components of each group live."""

_BY_NAME = ("balancer", "callback", "optimizer", "regularizer", "scheduler")
SELECTORS = {group: "name" if group in _BY_NAME else "kind" for group in PACKAGES}
"""The YAML key that names the component."""

_registered: dict[str, dict[str, type]] = {group: {} for group in PACKAGES}

Class = TypeVar("Class", bound=type)


def component(group: str, name: str) -> Callable[[Class], Class]:
    """Register the decorated dataclass as ``name`` in ``group``."""

    def register(cls: Class) -> Class:
        other = _registered[group].setdefault(name, cls)
        if (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(f"{group} '{name}' is defined twice: in {other.__module__} and in {cls.__module__}")
        return cls

    return register


def components(group: str) -> dict[str, type]:
    """Return the classes of a group by name, in alphabetical order."""
    _import_components(group)
    return dict(sorted(_registered[group].items()))


@functools.cache
def _import_components(group: str) -> None:
    package = importlib.import_module(PACKAGES[group])
    for module in pkgutil.iter_modules(getattr(package, "__path__", [])):
        importlib.import_module(f"{package.__name__}.{module.name}")
    for plugin in plugins():
        plugin.load()


def kind_of_file(path: str) -> str | None:
    """Return the kind of data set whose files end as ``path`` does, or None."""
    for kind, source in components("dataset").items():
        if path.lower().endswith(getattr(source, "suffixes", ())):
            return kind
    return None


def file_suffixes() -> str:
    """Return how the names of data files may end, for messages."""
    return " ".join(suffix for source in components("dataset").values() for suffix in getattr(source, "suffixes", ()))


@functools.cache
def plugins() -> tuple[importlib.metadata.EntryPoint, ...]:
    """Return the entry points by which other packages add components."""
    return tuple(importlib.metadata.entry_points(group="mtl_cli.plugins"))
