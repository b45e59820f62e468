"""The words behind `mtl train` and `mtl config show`: flags, a config file, and KEY=VALUE, in any order."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mtl_cli.config.assemble import Assembler
from mtl_cli.config.errors import Problem, UserError, did_you_mean
from mtl_cli.config.hints import key_meant
from mtl_cli.config.keys import known_keys
from mtl_cli.config.values import as_text
from mtl_cli.io import user_path
from mtl_cli.runs.directory import CONFIG

FLAGS_WITH_VALUE = {
    "-cd": "--config-dir",
    "--config-dir": "--config-dir",
    "-cn": "--config-name",
    "--config-name": "--config-name",
}
FLAGS = ("--config-dir", "--config-name", "--multirun", "--json", "--help")
SHOW = "mtl config show KEY=VALUE… prints the config and trains nothing"
GONE = {
    **dict.fromkeys(("--cfg", "-c", "--resolve", "--info", "-i", "--package", "-p", "--hydra-help"), SHOW),
    **dict.fromkeys(("--config-path", "-cp"), "give the folder as --config-dir DIR"),
    "--version": "mtl --version",
}
"""Hydra's flags, and what to write in their place."""
SWEEP_KEYS = ("launcher", "n_jobs", "cores", "memory", "gpus", "minutes", "slurm")


@dataclass
class Words:
    """What the user wrote, sorted."""

    overrides: list[str] = field(default_factory=list)
    """``KEY=VALUE``, as written."""
    multirun: bool = False
    json: bool = False
    """Whether a terminal is to get the JSON lines too."""
    config_dirs: list[Path] = field(default_factory=list)
    primary: Path | None = None
    """A config in the place of ``train.yaml``: a file that is named, or ``--config-name``."""
    options: dict[str, str] = field(default_factory=dict)
    """``launcher`` and what belongs to it, and with -m ``run_dir``: of a sweep, not of its runs."""
    start: list[str] = field(default_factory=list)
    """The words other than ``overrides`` that make a run's config, for the record of its command."""
    problems: list[Problem] = field(default_factory=list)

    def assembler(self) -> Assembler:
        """Return what makes configs of the overrides."""
        return Assembler(self.config_dirs, self.primary)


def read_words(argv: list[str]) -> Words:
    """Sort the words.

    Raises
    ------
    UserError
        If the files to start from are not to be told: nothing else can be checked then.
    """
    words, plain, name = Words(), [], None
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        flag, equals, value = word.partition("=")
        if not word.startswith("-"):
            plain.append(word)
        elif word in ("-m", "--multirun"):
            words.multirun = True
        elif word == "--json":
            words.json = True
        elif flag in FLAGS_WITH_VALUE:
            if not equals and not rest:
                raise UserError(flag, "needs a value")
            value = value if equals else rest.pop(0)
            words.start += [FLAGS_WITH_VALUE[flag], value]
            if FLAGS_WITH_VALUE[flag] == "--config-name":
                name = value
            else:
                words.config_dirs.append(_folder(flag, value))
        elif flag in GONE:
            raise UserError(flag, "is not a flag of mtl", GONE[flag])
        else:
            words.problems.append(_unknown_flag(flag, value if equals else None, rest))
    files = [word for word in plain if word.endswith((".yaml", ".yml")) and "=" not in word]
    resumed = _resumed(plain)
    if resumed is not None and (words.multirun or files or name is not None):
        what = "goes on with one run, from its own config"
        raise UserError("resume", what, "leave out " + ("-m" if words.multirun else " ".join([*files, name or ""])))
    words.primary = _primary(files, name, words.config_dirs) if resumed is None else resumed
    words.start += files
    for word in plain:
        key, equals, value = word.partition("=")
        value = as_text(value)
        if word in files:
            continue
        if equals and (key in SWEEP_KEYS or (key == "run_dir" and words.multirun)):
            _take_option(key, value, words)
        else:
            words.overrides.append(word)
    return words


def _resumed(plain: list[str]) -> Path | None:
    """Return the config of the run that is to be resumed, if one is."""
    given = [value for key, _, value in (word.partition("=") for word in plain) if key == "resume"]
    if not given or given[-1] in ("", "null"):
        return None
    folder = as_text(given[-1])
    file = user_path(folder) / CONFIG
    if not user_path(folder).is_dir():
        near = user_path(folder).parent
        runs = [str(other.parent) for other in sorted(near.glob(f"*/{CONFIG}"))] if near.is_dir() else []
        raise UserError("resume", f"there is no folder {folder}", did_you_mean(folder, runs) or "give a run's folder")
    if not file.is_file():
        what = f"{folder} holds no {CONFIG}: it is not a run, or one that ended before it had begun"
        raise UserError("resume", what, f"start it anew, with run_dir={folder} once that is empty")
    return file


def _take_option(key: str, value: str, words: Words) -> None:
    if not words.multirun:
        words.problems.append(Problem(key, "is for a sweep", "add -m to run every combination of values"))
    elif words.options.setdefault(key, value) != value:
        what = f"is set twice, to {words.options[key]} and to {value}"
        words.problems.append(Problem(key, what, "leave one of them out"))


def _folder(flag: str, value: str) -> Path:
    folder = user_path(value)
    if not folder.is_dir():
        raise UserError(flag, f"there is no folder {folder}")
    return folder


def _primary(files: list[str], name: str | None, folders: list[Path]) -> Path | None:
    if len(files) + (name is not None) > 1:
        both = " and ".join([*files, *([f"--config-name {name}"] if name else [])])
        raise UserError(both, "only one config can be started from", "give one, and KEY=VALUE for what differs")
    if files:
        file = user_path(files[0])
        if not file.is_file():
            raise UserError(files[0], "there is no such file")
        return file
    if name is None:
        return None
    stem = name.removesuffix(".yaml")
    for folder in folders:
        if (folder / f"{stem}.yaml").is_file():
            return folder / f"{stem}.yaml"
    if not folders:
        raise UserError("--config-name", f"there is no folder to find {stem}.yaml in", "add --config-dir DIR")
    known = sorted(file.stem for folder in folders for file in folder.glob("*.yaml"))
    raise UserError("--config-name", f"there is no {stem}.yaml in {folders[-1]}", did_you_mean(stem, known))


def _unknown_flag(flag: str, value: str | None, rest: list[str]) -> Problem:
    """Say which key or flag was meant: ``--epochs=3`` and ``--epochs 3`` are ``trainer.epochs=3``."""
    name, known = flag.lstrip("-").replace("-", "_"), known_keys({})
    meant = name if name in known else key_meant(name, known)
    if meant is None or not flag.startswith("--"):
        return Problem(flag, "unknown flag", did_you_mean(flag, FLAGS))
    if value is None and rest and "=" not in rest[0] and not rest[0].startswith("-"):
        value = rest.pop(0)
    return Problem(flag, "unknown flag", f"did you mean {meant}={'…' if value is None else value}?")
