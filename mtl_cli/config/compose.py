"""What mtl takes from Hydra, all in this file: groups of YAML files that are composed, and a grammar of values.

Hydra starts nothing here: it neither reads ``sys.argv`` nor makes folders, logs or jobs.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, RangeSweep
from hydra.errors import HydraException, MissingConfigException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.config.paths import conf_dir, without_file
from mtl_cli.config.user_files import cannot_be_read

VERSION_BASE: dict[str, Any] = {"version_base": "1.3"} if hydra.__version__.startswith("1.3.") else {}
"""Hydra 1.3 warns where this is missing, 1.4 where it is given."""


MOST_VALUES = 10_000
"""Of a range, and jobs of a sweep."""


class Unreadable(ValueError):
    """Text that Hydra's grammar has no reading for."""


def read_element(text: str) -> Any:
    """Return the value that ``text`` is in Hydra's grammar: ``0.1``, ``[64,32]``, ``{price: regression}``, ``'a b'``.

    Raises
    ------
    Unreadable
        If it is none, or several.
    """
    override = _parse(text)
    if override.is_sweep_override():
        raise Unreadable(text)
    return override.value()


def read_sweep(text: str, names: Sequence[str] = ()) -> list[str] | None:
    """Return the values of ``0,1``, ``choice(a,b)``, ``range(5)`` or ``glob(*)``, as text; None for a single value.

    Parameters
    ----------
    text : str
    names : sequence of str
        What ``glob`` chooses from.

    Raises
    ------
    Unreadable
        If Hydra's grammar has no reading for it.
    """
    override = _parse(text)
    if not override.is_sweep_override():
        return None
    try:
        return _values(override, text, names)
    except OmegaConfBaseException as error:  # a list inside a list, such as range(1,2),5
        raise UserError(text, "is not a list of values", "for example range(1,10) or 0.1,0.5") from error


def _values(override: Override, text: str, names: Sequence[str]) -> list[str]:
    if override.is_interval_sweep():
        raise UserError(text, "is an interval, not a list of values", "for example range(1,10) or 0.1,0.5")
    value: Any = override.value()
    if isinstance(value, RangeSweep):
        _check_range(value, text)
    chosen: Any = getattr(value, "list", None)
    if isinstance(value, Glob) or isinstance(chosen, Glob):
        found = (value if isinstance(value, Glob) else chosen).filter(list(names))
        if not found:
            raise UserError(text, "chooses nothing", f"choose from {', '.join(names)}" if names else None)
        return list(found)
    return list(override.sweep_string_iterator())


def _check_range(values: RangeSweep, text: str) -> None:
    """Raise UserError if a range has no values, or more than could be run."""
    start, stop, step = (float(number or 0) for number in (values.start, values.stop, values.step))
    if not all(map(math.isfinite, (start, stop, step))) or step == 0:
        raise UserError(text, "has no end", "for example range(1,10) or range(0,1,0.1)")
    count = math.ceil((stop - start) / step)
    if count <= 0:
        raise UserError(text, "has no values", "for example range(1,10) or range(10,1,-1)")
    if count > MOST_VALUES:
        raise UserError(text, f"has {count:,} values", f"at most {MOST_VALUES:,} can be given")


@functools.lru_cache(maxsize=4096)
def _parse(text: str) -> Override:
    try:
        return OverridesParser.create().parse_override(f"x={text}")
    except HydraException as error:
        raise Unreadable(text) from error


def compose_groups(
    primary: Path, folders: Sequence[Path], choices: Mapping[str, str], added: frozenset[str] = frozenset()
) -> tuple[dict[str, Any], dict[str, str]]:
    """Compose a primary config with one file of each group.

    Parameters
    ----------
    primary : Path
        A YAML file with a ``defaults`` list.
    folders : sequence of Path
        Where else the groups' files are, the first one first.
    choices : mapping of str to str
        The file to take, by group, such as ``{"model/sharing": "mmoe"}``.
    added : frozenset of str
        Those groups that ``primary`` does not list.

    Returns
    -------
    tuple of (dict, dict)
        The config as plain values, its interpolations as they are written; and the file chosen in each group.
    """
    extra = [_quote(f"file://{folder.resolve()}") for folder in folders if folder.resolve() != primary.parent.resolve()]
    overrides = [f"hydra.searchpath=[{','.join(extra)}]"]
    overrides += [f"{'+' if group in added else ''}{group}={option}" for group, option in choices.items()]
    GlobalHydra.instance().clear()
    _store_components([primary.parent, *folders])
    try:
        with hydra.initialize_config_dir(str(primary.parent.resolve()), **VERSION_BASE):
            config = hydra.compose(primary.stem, overrides=overrides, return_hydra_config=True)
            chosen = {str(group): str(name) for group, name in config.hydra.runtime.choices.items()}
            plain = OmegaConf.to_container(config, resolve=False)
    except yaml.YAMLError as error:
        raise cannot_be_read(error) from error
    except (HydraException, OmegaConfBaseException) as error:
        raise _explain(error) from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items() if key != "hydra"}, chosen


def _store_components(folders: Sequence[Path]) -> None:
    """Tell Hydra of the components that have no YAML file."""
    store = ConfigStore.instance()
    for (group, name), content in without_file([conf_dir(), *folders]).items():
        store.store(group=group, name=name, node=content)


def _quote(value: str) -> str:
    """Quote text for Hydra's grammar."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"') if '"' in value else value
    return f'"{escaped}"'


def _explain(error: Exception) -> UserError:
    """Turn an error of Hydra's or OmegaConf's into one line."""
    if isinstance(error, MissingConfigException):
        name = str(error.missing_cfg_file or "")
        hint = did_you_mean(name.rpartition("/")[2], error.options) if error.options else None
        return UserError(name or "defaults", "there is no such config", hint)
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    missing = re.match(r"You must specify '([^']+)'", lines[0])
    if missing:
        return UserError(missing[1].replace("/", "."), "needs a value", f"give {missing[1].replace('/', '.')}=…")
    inside = re.match(r"In '([^']+)': (.*)", lines[0])
    named = re.search(r"'([^']+)'", lines[0])
    where = inside[1] if inside else getattr(cause, "full_key", None) or (named[1] if named else "defaults")
    return UserError(str(where), inside[2] if inside else lines[0])
