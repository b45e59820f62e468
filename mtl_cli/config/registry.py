"""The names that YAML and the command line may use, and the component behind each: ours, and those of plugins.

A component is found by being there: no list names it. In the groups that YAML chooses from (``SELECTORS``) it is a
dataclass whose fields are exactly its YAML keys, and inherits from its group's base class (``BASES``), where all that
it can be asked is declared. It lives in a file of its own in one of ``PACKAGES`` and imports nothing heavy at the top,
so that a wrong config is found without loading torch. In the other groups it may be a function:

==========  ============================================================================================
metric      ``(task, output, values) -> float | None``, a number more in a task's metrics; see ``tasks/task.py``
command     ``(argv) -> int``, run by ``mtl NAME``; the first line of its docstring is its help
figure      a class without arguments; see ``reports/figures/base.py``
format      a class without arguments; see ``inference/formats/base.py``
statistic   a class without arguments, which balancers name in ``needs``; see ``balancing/statistic.py``
==========  ============================================================================================

Other packages add theirs by an entry point in the group ``mtl_cli.plugins`` that names a module; importing that module
runs its ``@component`` lines. A plugin that cannot be imported, takes a name that is there, or declares what cannot
work is left out as a whole, with one line on stderr.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import re
import sys
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from mtl_cli.config.errors import did_you_mean
from mtl_cli.io import user_path

PACKAGES = {
    "balancer": "mtl_cli.balancing.methods",
    "callback": "mtl_cli.training.callbacks.trackers",
    "command": "mtl_cli.cli.commands",
    "dataset": "mtl_cli.data.*.config",
    "figure": "mtl_cli.reports.figures",
    "format": "mtl_cli.inference.formats",
    "optimizer": "mtl_cli.training.optimizers",
    "regularizer": "mtl_cli.models.regularizers",
    "scheduler": "mtl_cli.training.schedulers",
    "sharing": "mtl_cli.models.sharing",
    "task": "mtl_cli.tasks.kinds",
    "trunk": "mtl_cli.models.trunks",
}
"""Where our own components of a group live: in a package, a file each; in a module; or, with ``*``, in the modules of
that name in a package's folders."""

BASES = {
    "balancer": "mtl_cli.balancing.base:Balancer",
    "callback": "mtl_cli.training.callbacks.base:CallbackConfig",
    "dataset": "mtl_cli.data.base:DataSource",
    "figure": "mtl_cli.reports.figures.base:Figure",
    "format": "mtl_cli.inference.formats.base:Format",
    "optimizer": "mtl_cli.training.optimizers:OptimizerConfig",
    "regularizer": "mtl_cli.models.regularizer:RegularizerConfig",
    "scheduler": "mtl_cli.training.schedulers:SchedulerConfig",
    "sharing": "mtl_cli.models.sharing.scheme:Scheme",
    "statistic": "mtl_cli.balancing.statistic:Statistic",
    "task": "mtl_cli.tasks.task:TaskConfig",
    "trunk": "mtl_cli.models.trunk:TrunkConfig",
}
"""What every class of a group inherits from."""

SELECTORS = {
    group: "name" if group in ("balancer", "callback", "optimizer", "regularizer", "scheduler") else "kind"
    for group in (
        "balancer", "callback", "dataset", "optimizer", "regularizer", "scheduler", "sharing", "task", "trunk",
    )
}  # fmt: skip
"""The groups that YAML chooses from, and the key that names the component there."""

GROUPS = (*SELECTORS, "command", "figure", "format", "metric", "statistic")
ENTRY_POINTS = "mtl_cli.plugins"
OURS = "mtl_cli"

_registered: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
_loading = False

Thing = TypeVar("Thing", bound=Callable[..., Any])


class RegistrationError(ValueError):
    """What a plugin registers cannot work."""


@dataclass(frozen=True)
class Plugin:
    """An entry point by which a package adds components.

    Parameters
    ----------
    name : str
        The entry point's.
    module : str
    package, version : str
        The distribution that it comes with, as a package installer knows it.
    adds : tuple of str
        As ``group.name``.
    fault : str, optional
        Why it is left out.
    """

    name: str
    module: str
    package: str
    version: str
    adds: tuple[str, ...] = ()
    fault: str | None = None

    def __str__(self) -> str:
        return f"{self.package} {self.version}"


def component(group: str, name: str) -> Callable[[Thing], Thing]:
    """Register the decorated class or function as ``name`` in ``group``.

    Raises
    ------
    RegistrationError
        If the name is taken, or the class or function is not what the group's components must be.
    """

    def register(thing: Thing) -> Thing:
        if not _is_ours(thing):
            if group not in GROUPS:
                raise RegistrationError(f"there is no group '{group}'; {did_you_mean(group, GROUPS)}")
            _import_ours(group)  # so that a name of ours is taken, however early a plugin is imported
            if fault := _fault(group, name, thing):
                raise RegistrationError(f"{group} '{name}': {fault}")
        other = _registered[group].setdefault(name, thing)
        if (other.__module__, other.__qualname__) != (thing.__module__, thing.__qualname__):
            raise RegistrationError(f"{group} '{name}' already exists, in {other.__module__}")
        return thing

    return register


def components(group: str) -> dict[str, Any]:
    """Return what is registered in a group by name, in alphabetical order."""
    _import_ours(group)
    if not _loading:  # a plugin that asks while it is imported gets what there is by then
        plugins()
    return dict(sorted(_registered[group].items()))


def names(group: str) -> list[str]:
    """Return the names of a group, in alphabetical order."""
    return list(components(group))


def name_of(group: str, part: Any) -> str:
    """Return the name under which a part's class is registered, or else the class's own."""
    return next((name for name, cls in components(group).items() if cls is type(part)), type(part).__name__)


@functools.cache
def plugins() -> tuple[Plugin, ...]:
    """Return the plugins that are installed, in alphabetical order, all imported but those with a ``fault``."""
    global _loading
    entries = sorted(importlib.metadata.entry_points(group=ENTRY_POINTS), key=lambda entry: (entry.name, entry.value))
    _loading = True
    try:
        return tuple(_load(entry) for entry in entries)
    finally:
        _loading = False


def plugin_of(group: str, name: str) -> Plugin | None:
    """Return the plugin that adds a component; None if it is ours."""
    return next((plugin for plugin in plugins() if f"{group}.{name}" in plugin.adds), None)


def kind_of_file(path: str) -> str | None:
    """Return the kind of data set whose files end as ``path`` does, or None: ours before one that a plugin adds."""
    known = components("dataset")
    for kind in sorted(known, key=lambda kind: not _is_ours(known[kind])):
        if path.lower().endswith(known[kind].suffixes):
            return kind
    return None


def file_suffixes() -> str:
    """Return how the names of data files may end, for messages; those of compressed ones too where that is all."""
    known = [suffix for source in components("dataset").values() for suffix in source.suffixes]
    plain = [s for s in known if not (s.endswith((".gz", ".zst")) and s.rpartition(".")[0] in known)]
    return " ".join(plain)


def unread_file(path: str) -> tuple[str, str] | None:
    """Return what to say of a file or folder whose name is of no data set, and a hint; None if there is none."""
    found = user_path(path)
    if found.is_dir():
        return "is a folder, not a file", (
            f"give a file in it, or a pattern such as '{path.rstrip('/')}/*.csv'; "
            f"for images: dataset=images dataset.path={path.rstrip('/')}"
        )
    if not found.is_file():
        return None
    return "is of a form that is not read", f"export it as CSV or parquet; names may end in {file_suffixes()}"


@functools.cache
def _import_ours(group: str) -> None:
    if group not in PACKAGES:
        return
    name, star, rest = PACKAGES[group].partition(".*")
    package = importlib.util.find_spec(name)
    assert package is not None
    importlib.import_module(package.name)
    for module in pkgutil.iter_modules(package.submodule_search_locations or []):
        if module.ispkg or not star:
            importlib.import_module(f"{name}.{module.name}{rest}")


def _load(entry: importlib.metadata.EntryPoint) -> Plugin:
    """Import a plugin; one that fails is named on stderr, and what it registered is taken back."""
    package, version = ("?", "") if entry.dist is None else (str(entry.dist.name), str(entry.dist.version))
    plugin = Plugin(entry.name, entry.module, package, version)
    before = {(group, name) for group, known in _registered.items() for name in known}
    try:
        entry.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001  whatever a stranger's code does, our commands go on
        reason = "" if isinstance(error, RegistrationError) else f"{type(error).__name__}: "
        plugin = dataclasses.replace(plugin, fault=" ".join(f"{reason}{error}".split()))
        print(f"mtl: plugin {plugin.name} ({plugin}) is left out: {plugin.fault}", file=sys.stderr)
    added = []
    for group, known in _registered.items():
        for name, thing in list(known.items()):
            if not _is_ours(thing) and ((group, name) not in before or _is_inside(thing, entry.module)):
                added.append(f"{group}.{name}")
                if plugin.fault is not None:
                    del known[name]
    if plugin.fault is not None:
        return plugin
    for key in added:
        _tell_of_taken_suffixes(plugin, *key.split(".", 1))
    return dataclasses.replace(plugin, adds=tuple(sorted(added)))


def _tell_of_taken_suffixes(plugin: Plugin, group: str, name: str) -> None:
    """Say which endings of a plugin's files are those of our data sets, which go on reading them."""
    if group != "dataset":
        return
    ours = {
        suffix: kind for kind, source in _registered[group].items() if _is_ours(source) for suffix in source.suffixes
    }
    for suffix in filter(ours.__contains__, _registered[group][name].suffixes):
        line = f"files ending in {suffix} stay with dataset={ours[suffix]}; dataset={name} dataset.path=FILE reads them"
        print(f"mtl: plugin {plugin.name} ({plugin}): {line}", file=sys.stderr)


def _is_ours(thing: Any) -> bool:
    return str(thing.__module__).partition(".")[0] == OURS


def _is_inside(thing: Any, module: str) -> bool:
    return f"{thing.__module__}.".startswith(f"{module}.")


def _fault(group: str, name: Any, thing: Any) -> str | None:
    """Say why a plugin's component cannot work, or return None."""
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w-]*", name):
        return "a name is of letters, digits, _ and -, and begins with no -"
    if group == "command" and not (thing.__doc__ or "").strip():
        return "has no docstring, whose first line is its help"
    if group not in SELECTORS and group not in BASES:
        return None
    if not isinstance(thing, type):
        return "is not a class"
    if group in BASES:
        module, _, base = BASES[group].partition(":")
        if not issubclass(thing, getattr(importlib.import_module(module), base)):
            return f"{thing.__name__} must inherit from {module}.{base}"
    if lacking := sorted(getattr(thing, "__abstractmethods__", ())):
        return f"{thing.__name__} lacks {', '.join(lacking)}"
    if group == "dataset" and not isinstance(vars(thing).get("suffixes", ()), tuple):
        return f"{thing.__name__}'s suffixes must be a tuple, such as ('.csv',)"
    return _dataclass_fault(thing) if group in SELECTORS else None


def _dataclass_fault(cls: type) -> str | None:
    """Say why the fields of a class cannot be YAML keys, or return None."""
    if "__dataclass_fields__" not in vars(cls):
        return f"{cls.__name__} is not a dataclass: put @dataclass(frozen=True, kw_only=True) below @component"
    own = inspect.get_annotations(cls)
    for key, value in vars(cls).items():
        plain = isinstance(value, bool | int | float | str | list | dict | tuple | None)
        if plain and not key.startswith("_") and key not in own and not any(hasattr(b, key) for b in cls.__bases__):
            return f"{key} has no type: {key}: {type(value).__name__} = … makes it a key"
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        return f"the types of its fields cannot be read: {error}"
    for key, hint in hints.items():
        if ClassVar in (hint, typing.get_origin(hint)) and not hasattr(cls, key):
            return f"{cls.__name__} must say what its {key} is"
    return None
