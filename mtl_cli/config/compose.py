"""Compose a config without running anything, and say in one line what Hydra finds wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.config.overrides import quote
from mtl_cli.config.paths import conf_dir, without_file

VERSION_BASE: dict[str, Any] = {"version_base": "1.3"} if hydra.__version__.startswith("1.3.") else {}
"""Hydra 1.3 warns where this is missing, 1.4 where it is given."""

PRIMARY = "mtl_primary"
"""What a config that takes the place of ``train.yaml`` is called."""


def compose(overrides: list[str], folders: list[Path]) -> dict[str, Any]:
    """Return the composed config as plain values."""
    extra = [quote(f"file://{folder.resolve()}") for folder in folders if folder != conf_dir()]
    if extra:
        overrides = [f"hydra.searchpath=[{','.join(extra)}]", *overrides]
    GlobalHydra.instance().clear()
    store_components(folders)
    try:
        with hydra.initialize_config_dir(str(conf_dir()), **VERSION_BASE):
            return to_plain(hydra.compose("train", overrides=overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error) from error


def store_components(folders: list[Path]) -> None:
    """Tell Hydra of the components that have no YAML file."""
    store = ConfigStore.instance()
    for (group, name), content in without_file([conf_dir(), *folders]).items():
        store.store(group=group, name=name, node=content)


def to_plain(config: Any) -> dict[str, Any]:
    """Resolve interpolations and return plain values, without Hydra's own part."""
    try:
        plain = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise explain(error) from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items() if key != "hydra"}


def as_primary(file: Path, folder: Path, chosen: set[str]) -> None:
    """Copy a complete config into ``folder`` as one that Hydra can start from, with our settings of Hydra itself.

    Groups that it lacks, and those in ``chosen`` on the command line, come from the files of ``train.yaml``'s defaults.
    """
    try:
        content = OmegaConf.to_container(OmegaConf.load(file))
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise UserError(str(file), f"cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise UserError(str(file), "is no mapping of keys", "give a config such as a run's config.yaml")
    train = OmegaConf.to_container(OmegaConf.load(conf_dir() / "train.yaml"))
    assert isinstance(train, dict)
    if "dataset" in chosen:  # a data set brings its tasks
        content.pop("tasks", None)
    content = _without(content, chosen)
    usual = [entry for entry in train["defaults"] if not (isinstance(entry, dict) and _has(content, *entry))]
    if "defaults" in content:
        usual = [*content["defaults"], *(entry for entry in usual if "hydra/" in str(entry))]
    missing = {key: train[key] for key in train if key not in content and key != "defaults"}
    primary = {**missing, **content, "defaults": usual}
    (folder / f"{PRIMARY}.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(primary)), encoding="utf-8")


def _without(content: dict[Any, Any], groups: set[str]) -> dict[Any, Any]:
    """Leave out the parts that groups fill, such as ``model``, or only ``sharing`` in it for ``model/sharing``."""
    inner = {key: {g.partition("/")[2] for g in groups if g.startswith(f"{key}/")} for key in content}
    return {
        key: _without(value, inner[key]) if isinstance(value, dict) else value
        for key, value in content.items()
        if key not in groups
    }


def _has(content: Any, group: str) -> bool:
    """Whether the content says what a group would fill."""
    key, _, rest = group.partition("/")
    return isinstance(content, dict) and key in content and (not rest or _has(content[key], rest))


def explain(error: Exception) -> UserError:
    """Turn an error of Hydra's or OmegaConf's into one line."""
    if isinstance(error, MissingConfigException) and error.options:
        name = str(error.missing_cfg_file or "").rpartition("/")[2]
        return UserError(str(error.missing_cfg_file), "there is no such config", did_you_mean(name, error.options))
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    where = str(getattr(cause, "full_key", None) or "config")
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return UserError(where, lines[0] if lines else type(cause).__name__)
