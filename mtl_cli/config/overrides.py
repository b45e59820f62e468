"""What the user wrote behind `mtl train`, made into what Hydra takes, with all that is wrong with it.

- Flags may stand anywhere: Hydra 1.3 wants them first.
- A value that Hydra's grammar refuses (``path=data(1).csv``) is taken as text.
- ``dataset=my.csv`` means ``dataset=csv dataset.path=my.csv``.
- ``tasks={…}`` replaces the tasks of the data set; ``tasks.price.weight=2`` changes one.
- A key outside ``hydra.`` is set whether or not a YAML file has it: the schema, which knows every key, refuses the
  wrong ones, all at once. Hydra would stop at the first.
- ``model.sharing=mmoe`` means ``model/sharing=mmoe``, the file of a group inside a group.
- The name of a config group's file is checked here, before anything is composed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from mtl_cli.config.errors import Problem, did_you_mean
from mtl_cli.config.paths import conf_dir, options, plugin_conf_dirs
from mtl_cli.config.registry import file_suffixes, kind_of_file

FLAGS_WITH_VALUE = {
    "-c": "--cfg", "--cfg": "--cfg", "-p": "--package", "--package": "--package",
    "-cp": "--config-path", "--config-path": "--config-path", "-cn": "--config-name", "--config-name": "--config-name",
    "-cd": "--config-dir", "--config-dir": "--config-dir",
}  # fmt: skip
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


@dataclass
class Arguments:
    """The arguments of `mtl train`."""

    flags: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    """For Hydra, without those that are at fault."""
    sweeps: dict[int, list[str]] = field(default_factory=dict)
    """By index in ``overrides``: the single values of a sweep such as ``seed=0,1,2``."""
    problems: list[Problem] = field(default_factory=list)
    multirun: bool = False
    inspect: bool = False
    """Whether Hydra only prints something (``--cfg``, ``--info``) and no run starts."""
    config_dirs: list[Path] = field(default_factory=list)
    run_dir: str | None = None
    groups: set[str] = field(default_factory=set)
    """The groups of which a file is chosen."""
    config_file: Path | None = None
    """A complete config, such as a run's ``config.yaml``, to take the place of ``train.yaml``."""

    @property
    def own_config(self) -> bool:
        """Whether the primary config is not ``train.yaml``."""
        return self.config_file is not None or bool({"--config-name", "--config-path"} & set(self.flags))


def read_arguments(argv: list[str]) -> Arguments:
    """Sort the command line into flags and overrides, and check what can be checked without composing."""
    arguments = Arguments()
    words = _take_flags(argv, arguments)
    arguments.config_dirs += [conf_dir(), *plugin_conf_dirs()]
    parser = OverridesParser.create()
    chosen = {word.split("=", 1)[0].lstrip("+") for word in words}
    for word in words:
        _read_override(word, parser, arguments)
    if not chosen & {"dataset", "experiment", "dataset.kind"} and not arguments.own_config:
        names = ", ".join(options("dataset", arguments.config_dirs))
        arguments.problems.append(Problem("dataset", "needs a value", f"give dataset=FILE.csv or one of {names}"))
    return arguments


def _take_flags(argv: list[str], arguments: Arguments) -> list[str]:
    words, rest = [], list(argv)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if not word.startswith("-"):
            words.append(word)
        elif name in FLAGS_WITH_VALUE:
            if not equals and not rest:
                arguments.problems.append(Problem(name, "needs a value"))
                continue
            value = value if equals else rest.pop(0)
            if FLAGS_WITH_VALUE[name] == "--config-dir":
                folder = Path(value).expanduser()
                if not folder.is_dir():
                    arguments.problems.append(Problem(name, f"there is no folder {folder}"))
                else:
                    arguments.config_dirs.append(folder)
            arguments.inspect |= FLAGS_WITH_VALUE[name] == "--cfg"
            arguments.flags += [FLAGS_WITH_VALUE[name], value]
        elif name in ("-i", "--info"):
            value = value if equals else rest.pop(0) if rest and rest[0] in INFO else "all"
            arguments.inspect = True
            arguments.flags += ["--info", value]
        elif word in ("-m", "--multirun"):
            arguments.multirun = True
        elif word in ("--resolve", "--hydra-help", "--version"):
            arguments.inspect |= word != "--resolve"
            arguments.flags.append(word)
        else:
            known = [*FLAGS_WITH_VALUE, "--info", "--multirun", "--resolve", "--hydra-help", "--help"]
            arguments.problems.append(Problem(word, "unknown flag", did_you_mean(word, known)))
    return words


def _read_override(word: str, parser: OverridesParser, arguments: Arguments) -> None:
    key, equals, value = word.partition("=")
    bare = key.lstrip("+~")
    if not equals and key.endswith((".yaml", ".yml")):
        arguments.config_file = resolve_config(key, arguments)
        return
    if not equals and not key.startswith("~"):
        hint = did_you_mean(f"{word}=", _groups())
        if kind_of_file(word):
            hint = f"did you mean dataset={word}?"
        elif (Path(word) / "config.yaml").is_file():
            hint = f"did you mean {Path(word) / 'config.yaml'}?"
        arguments.problems.append(Problem(word, "is neither a flag nor key=value", hint))
        return
    if bare == "run_dir" and arguments.multirun:
        arguments.run_dir = value
        return
    if bare == "dataset" and equals:
        arguments.groups.add("dataset")
        for override in _dataset_overrides(value, arguments):
            _add(override, parser, arguments)
        return
    if bare == "tasks" and not key.startswith(("+", "~")):
        arguments.overrides.append("++tasks=null")  # a mapping would be merged into what is there
    if equals and not value.startswith("{") and (group := _group_of(bare, arguments)):
        _check_option(group, value, arguments)
        if any(problem.where == dotted(group) for problem in arguments.problems):
            return
        arguments.groups.add(group)
        word = word.replace(bare, group, 1) if "@" not in bare else word
    elif equals and bare.split(".")[0] != "hydra" and "/" not in bare:
        word = f"++{bare}={value}"
    _add(word, parser, arguments)


def _add(word: str, parser: OverridesParser, arguments: Arguments) -> None:
    override = _parse(word, parser)
    if override is None:
        key, _, value = word.partition("=")
        word = f"{key}={quote(value)}"
        override = _parse(word, parser)
    if override is None:
        arguments.problems.append(Problem(word, "cannot be read as key=value"))
        return
    if override.is_sweep_override() and override.is_discrete_sweep():
        name = override.get_key_element()
        if not arguments.multirun:
            shown = dotted(name.lstrip("+"))
            values = [f"{shown}={value}" for value in override.sweep_string_iterator()]
            arguments.problems.append(
                Problem(shown, "has several values", f"add -m to run each of {', '.join(values)}")
            )
            return
        index = len(arguments.overrides)
        arguments.sweeps[index] = [f"{name}={value}" for value in override.sweep_string_iterator()]
    arguments.overrides.append(word)


def _parse(word: str, parser: OverridesParser) -> Override | None:
    try:
        return parser.parse_override(word)
    except HydraException:
        return None


def _dataset_overrides(value: str, arguments: Arguments) -> list[str]:
    """Turn ``dataset=wine`` or ``dataset=my.csv`` (or several, with -m) into group and path overrides."""
    known = options("dataset", arguments.config_dirs)
    if value in known:
        return [f"dataset={value}"]
    files = value.split(",") if arguments.multirun else [value]
    kinds = {kind_of_file(file) for file in files}
    if len(kinds) == 1 and None not in kinds:
        paths = ",".join(quote(str(Path(file).expanduser())) for file in files)
        return [f"dataset={kinds.pop()}", f"++dataset.path={paths}"]
    before = len(arguments.problems)
    _check_option("dataset", value, arguments)
    return [f"dataset={value}"] if len(arguments.problems) == before else []


def resolve_config(path: str, arguments: Arguments) -> Path | None:
    """Return the path of a config file that the user named."""
    file = Path(path).expanduser()
    if file.is_file():
        return file.absolute()
    arguments.problems.append(Problem(path, "there is no such file"))
    return None


def _groups() -> list[str]:
    return sorted(f"{folder.name}=" for folder in conf_dir().iterdir() if folder.is_dir() and folder.name != "hydra")


def _group_of(key: str, arguments: Arguments) -> str | None:
    group = key.split("@")[0].replace(".", "/")
    if group.startswith("hydra") or not group.strip("/"):
        return None
    return group if options(group, arguments.config_dirs) else None


def dotted(group: str) -> str:
    """Return a config group as its key is written: ``model/sharing`` fills ``model.sharing``."""
    return group if group.startswith("hydra") else group.replace("/", ".")


def _check_option(group: str, value: str, arguments: Arguments) -> None:
    known = options(group, arguments.config_dirs)
    names = [value]
    if arguments.multirun and value not in known:
        names = value.removeprefix("choice(").removesuffix(")").split(",")
    for name in (name.strip().strip("'\"") for name in names):
        if name not in known and name != "glob(*)" and not (name == "null" and group == "experiment"):
            hint = did_you_mean(name, known, f"{dotted(group)}=")
            if not arguments.multirun and "," in name and {part.strip() for part in name.split(",")} <= set(known):
                hint = "with -m, each of them is a run of its own"
            if group == "dataset":
                hint = f"{hint} (or a file ending in {file_suffixes()})"
            arguments.problems.append(Problem(dotted(group), f"there is no '{name}'", hint))


def quote(value: str) -> str:
    """Quote text for Hydra's grammar."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"') if '"' in value else value
    return f'"{escaped}"'
