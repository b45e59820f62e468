"""From words such as ``dataset=wine balancer=gradnorm trainer.epochs=50`` to the whole config, as plain values.

Hydra composes the files that the words choose (``compose.py``), the keys are laid over that (``merge.py``), then
interpolations are resolved. The user's own files are checked first, and Hydra gets a clean copy (``user_files.py``).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mtl_cli.config.compose import compose_groups
from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.merge import merge, text_keys
from mtl_cli.config.overrides import Settings, read_settings
from mtl_cli.config.paths import conf_dir, plugin_conf_dirs, without_file
from mtl_cli.config.primary import kept_heads, listed_groups, overridden, starting_point, still_holding
from mtl_cli.config.user_files import GroupFile, entries, follow, group_file, read_file

PRIMARY = "mtl_primary"
"""What the clean copy of the primary config is called."""
MOST_KEPT = 256
_KEPT: dict[str, tuple[dict[str, Any], dict[str, str]]] = {}
"""What Hydra composed, by what it composed it of: a tenth of a second each, in a program that trains many times."""


@dataclass(frozen=True)
class Assembled:
    """A whole config.

    Parameters
    ----------
    plain : dict
        Its values, interpolations resolved.
    choices : dict of str to str
        The file chosen in each group.
    notes : tuple of str
        What the user should know.
    """

    plain: dict[str, Any]
    choices: dict[str, str]
    notes: tuple[str, ...]


def assemble(overrides: Iterable[str], folders: Iterable[Path] = (), primary: Path | None = None) -> dict[str, Any]:
    """Return the config that the words make, as plain values.

    Parameters
    ----------
    overrides : iterable of str
        Words such as ``balancer=gradnorm`` and ``trainer.epochs=50``, in any order.
    folders : iterable of Path, optional
        Folders with config groups of the user's own.
    primary : Path, optional
        A config to start from in the place of ``train.yaml``, such as a run's ``config.yaml``.

    Raises
    ------
    UserError
        If a word, or a file that is the user's, cannot be read or does not fit.
    """
    assembler = Assembler(folders, primary)
    settings = read_settings(overrides, assembler.folders)
    if settings.problems:
        raise UserError.of(settings.problems)
    return assembler(settings).plain


class Assembler:
    """Makes configs that start from the same files. What Hydra composed is kept: runs that differ in keys share it.

    Parameters
    ----------
    folders, primary
        As ``assemble`` takes them.
    """

    def __init__(self, folders: Iterable[Path] = (), primary: Path | None = None) -> None:
        self._shipped = [conf_dir(), *plugin_conf_dirs()]
        self._own = [folder for folder in dict.fromkeys(folders) if folder not in self._shipped]
        self.folders = [*self._shipped, *self._own]
        self.primary = primary
        self._composed: dict[frozenset[tuple[str, str]], tuple[dict[str, Any], dict[str, str], tuple[str, ...]]] = {}

    def __call__(self, settings: Settings) -> Assembled:
        """Return the config with these settings."""
        key = frozenset(settings.choices.items())
        if key not in self._composed:
            self._composed[key] = self._compose(settings.choices)
        composed, choices, notes = self._composed[key]
        plain, problems = merge(deepcopy(composed), settings)
        if problems:
            raise UserError.of(problems)
        return Assembled(resolve(plain), choices, (*settings.notes, *notes))

    def _compose(self, choices: dict[str, str]) -> tuple[dict[str, Any], dict[str, str], tuple[str, ...]]:
        experiment, notes = self._experiment(choices)
        chosen = {*choices, *(overridden(experiment.content) if experiment else ())}
        content = starting_point(self.primary, chosen)
        names = [f"{group}/{name}.yaml" for group, name in choices.items()] + entries(content, "")
        files = list(
            follow(names + (entries(experiment.content, "experiment") if experiment else []), self._own, self._shipped)
        )
        files = [GroupFile(f"{PRIMARY}.yaml", "", content), *files, *([experiment] if experiment else [])]
        added = frozenset(set(choices) - listed_groups(content))
        plain, found = self._hydra(files, choices, added) if self._own else self._kept(files, choices, added)
        if (
            self.primary is not None
            and "model" in chosen
            and "defaults" not in (own := text_keys(read_file(self.primary)))
        ):
            plain, dropped = kept_heads(own, plain)
            if dropped:
                notes += (
                    f"{self.primary}: left out are {', '.join(dropped)}, which do not belong to model={found['model']}",
                )
        return plain, found, notes

    def _kept(
        self, files: list[GroupFile], choices: dict[str, str], added: frozenset[str]
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """Return what Hydra makes of these files: it reads no others but those that are installed, which stay."""
        key = repr((files, sorted(choices.items()), sorted(added), self._shipped, without_file(self._shipped)))
        if key not in _KEPT:
            if len(_KEPT) >= MOST_KEPT:
                _KEPT.clear()
            _KEPT[key] = self._hydra(files, choices, added)
        return _KEPT[key]

    def _hydra(
        self, files: list[GroupFile], choices: dict[str, str], added: frozenset[str]
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """Return what Hydra makes of a clean copy of the files, and of those that are installed."""
        with tempfile.TemporaryDirectory(prefix="mtl-") as folder:
            for file in files:
                file.write(Path(folder))
            try:
                return compose_groups(Path(folder) / f"{PRIMARY}.yaml", self.folders, choices, added)
            except UserError as error:
                name = str(self.primary or conf_dir() / "train.yaml")
                raise UserError.of(
                    Problem(p.where.replace(PRIMARY, name).replace(folder, ""), p.what.replace(PRIMARY, name), p.hint)
                    for p in error.problems
                ) from error

    def _experiment(self, choices: Mapping[str, str]) -> tuple[GroupFile | None, tuple[str, ...]]:
        """Return the chosen experiment without what the user replaced, and a note on that."""
        name = choices.get("experiment", "null")
        if name == "null":
            return None, ()
        file = f"experiment/{name}.yaml"
        folder = next(folder for folder in self.folders if (folder / file).is_file())
        experiment, groups, dropped = still_holding(group_file(folder, file), choices)
        if not dropped:
            return experiment, ()
        replaced = " ".join(f"{group.replace('/', '.')}={choices[group]}" for group in groups)
        return experiment, (f"experiment={name}: ignored because of {replaced}: {', '.join(dropped)}",)


def resolve(plain: dict[str, Any]) -> dict[str, Any]:
    """Return the values with their interpolations resolved: ``${trainer.epochs}``."""
    texts = dict(_interpolations(plain, ""))
    if not texts:
        return plain
    try:
        resolved = OmegaConf.to_container(OmegaConf.create(plain), resolve=True)
    except OmegaConfBaseException as error:
        raise _unresolved(plain, texts, error) from error
    assert isinstance(resolved, dict)
    return {str(key): value for key, value in resolved.items()}


def _interpolations(value: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str) and "${" in value:
        yield where, value
    elif isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _interpolations(item, f"{where}.{key}" if where else str(key))


def _unresolved(plain: dict[str, Any], texts: dict[str, str], error: OmegaConfBaseException) -> UserError:
    """Return the line that names the key whose interpolation fails."""
    what = str(error).splitlines()[0]
    where = error.full_key
    for key, text in texts.items():
        try:
            OmegaConf.create({"x": text})
        except OmegaConfBaseException:  # it is no interpolation at all
            return UserError(key, f"cannot be resolved: {text}", "write \\${ for literal text")
    return UserError(str(where or next(iter(texts))), what)
