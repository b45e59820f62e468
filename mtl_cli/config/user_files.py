"""The user's own YAML files, read before Hydra sees them.

Mistakes are reported with file and line. ``yes``, ``no``, ``on`` and ``off`` are text, as in YAML 1.2, so that a label
may be called NO; where a key is true or false, those words are accepted for it. ``010`` and ``12:30``, which YAML 1.1
reads in base 8 and 60, are text as well, and so is every key, such as ``1.50``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mtl_cli.config.errors import UserError
from mtl_cli.io import naming

OURS = "mtl runs jobs itself: run_dir=FOLDER names the folder, and -m launcher=processes n_jobs=2 runs two jobs at once"
"""What to say of Hydra's own keys."""


class Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML as OmegaConf reads it (1e-3 is a number, dates are text), but for yes, no, on, off, 010 and 12:30."""

    depth = 0
    """Mappings and lists that are begun, and not ended."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        within = self.check_event(yaml.CollectionStartEvent)
        self.depth += within
        if self.depth > DEEPEST:
            what = f"is nested more than {DEEPEST} deep"
            raise yaml.constructor.ConstructorError(None, None, what, self.peek_event().start_mark)
        node = super().compose_node(parent, index)
        self.depth -= within
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    what = f"'{key.value}' is given twice"
                    raise yaml.constructor.ConstructorError(None, None, what, key.start_mark)
                seen.add(key.value)
        self.flatten_mapping(node)
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                key.tag = "tag:yaml.org,2002:str"
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


_BOOL, _INT, _FLOAT, _DATE = (f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float", "timestamp"))
Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_BOOL, _INT, _FLOAT, _DATE)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
Loader.add_implicit_resolver(
    _INT, re.compile(r"^[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0b[01_]+)$"), list("-+0123456789")
)
Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(
        r"^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
        r"|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)


LARGEST = 2 * 2**20
"""Bytes of a config file."""
DEEPEST, MOST = 50, 100_000
"""How deep mappings and lists of a config may lie in one another, and how many values it may have in all."""


def read_yaml(text: str) -> Any:
    """Return what YAML text says.

    Raises
    ------
    YAMLError
        If it is none, is nested too deeply, or its anchors stand for more than any config needs.
    """
    loader = Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check_size(node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check_size(node: yaml.Node) -> None:
    """Count what a node would be with each alias written out, as it will be."""
    sizes: dict[int, int | None] = {}

    def size(node: yaml.Node) -> int:
        if isinstance(node, yaml.ScalarNode):
            return 1
        if id(node) in sizes:
            known = sizes[id(node)]
            if known is None:
                raise yaml.constructor.ConstructorError(
                    None, None, "an alias stands inside its anchor", node.start_mark
                )
            return known
        sizes[id(node)] = None
        parts = [item for pair in node.value for item in pair] if isinstance(node, yaml.MappingNode) else node.value
        sizes[id(node)] = found = 1 + sum(map(size, parts))
        if found > MOST:
            raise yaml.constructor.ConstructorError(None, None, f"has more than {MOST:,} values", node.start_mark)
        return found

    size(node)


def read_file(file: Path) -> dict[Any, Any]:
    """Return what a config file says.

    Raises
    ------
    UserError
        With the file and the line at fault.
    """
    try:
        if file.stat().st_size > LARGEST:
            what = f"is larger than {LARGEST // 2**20} MiB, too large for a config"
            raise UserError(str(file), what, "give a config such as a run's config.yaml")
        content = read_yaml(file.read_text(encoding="utf-8-sig"))
    except yaml.YAMLError as error:
        raise cannot_be_read(error, file) from error
    except UnicodeDecodeError as error:
        raise UserError(str(file), f"is not UTF-8 text (byte {error.start + 1})") from error
    except OSError as error:
        raise UserError(str(file), f"cannot be read: {error.strerror}") from error
    except ValueError as error:  # such as a number of more digits than Python reads
        raise UserError(str(file), f"is not YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(str(file), "is not a mapping of keys", "give a config such as a run's config.yaml")
    return content


def cannot_be_read(error: yaml.YAMLError, file: Path | None = None) -> UserError:
    """Return the line that says where YAML is wrong, and how."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    name = str(file) if file is not None else getattr(mark, "name", "YAML")
    where = f"{name}:{mark.line + 1}" if mark is not None else name
    return UserError(where, f"is not YAML: {what}")


def refuse_hydra(file: Path, content: dict[Any, Any], header: str = "") -> None:
    """Raise UserError if a file has keys of Hydra's own, which could run code or make folders."""
    found = next((str(key) for key in content if str(key).split(".")[0] == "hydra"), None)
    if found is None and re.search(r"@package\s+hydra\b", header):
        found = "@package hydra"
    entries = content.get("defaults")
    for entry in entries if isinstance(entries, list) else ():
        for text in [*entry, *map(str, entry.values())] if isinstance(entry, dict) else [str(entry)]:
            if re.match(r"(override\s+|optional\s+)*/?hydra(/|$)", str(text)) or "hydra" in str(text).partition("@")[2]:
                found = str(text).split()[-1]
    if found is not None:
        raise UserError(str(file), f"{found}: Hydra's own keys are not accepted", OURS)


@dataclass(frozen=True)
class GroupFile:
    """A file of a config group.

    Parameters
    ----------
    name : str
        Its path in the folder of groups, such as ``balancer/mine.yaml``.
    header : str
        Its line ``# @package …``, if it has one.
    content : dict
    """

    name: str
    header: str
    content: dict[Any, Any]

    def write(self, folder: Path) -> None:
        """Write the file as Hydra is to read it."""
        path = folder / self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with naming(path):
                path.write_text(self.header + OmegaConf.to_yaml(OmegaConf.create(self.content)), encoding="utf-8")
        except OmegaConfBaseException as error:
            raise UserError(self.name, str(error).splitlines()[0]) from error


def group_file(folder: Path, name: str) -> GroupFile:
    """Read and check a file of a group."""
    file = folder / name
    content = read_file(file)
    header = next((line for line in file.read_text(encoding="utf-8-sig").splitlines() if "@package" in line), "")
    header = f"{header}\n" if header.startswith("#") else ""
    refuse_hydra(file, content, header)
    return GroupFile(name, header, content)


def follow(names: Sequence[str], folders: Sequence[Path], shipped: Sequence[Path]) -> Iterator[GroupFile]:
    """Yield the user's files among ``names`` and among those that their ``defaults`` name.

    Parameters
    ----------
    names : sequence of str
        Such as ``balancer/mine.yaml``.
    folders, shipped : sequence of Path
        The user's folders of groups, and ours.
    """
    waiting, seen = list(names), set()
    while waiting:
        name = waiting.pop(0)
        folder = next((folder for folder in folders if (folder / name).is_file()), None)
        if name in seen or folder is None:
            continue
        seen.add(name)
        if any((other / name).is_file() for other in shipped):
            raise UserError(str(folder / name), "has the name of a config that mtl ships", "give it another name")
        found = group_file(folder, name)
        waiting += entries(found.content, name.rpartition("/")[0])
        yield found


def entries(content: dict[Any, Any], group: str) -> list[str]:
    """Return the files that a config's ``defaults`` name, such as ``model/sharing/mmoe.yaml``."""
    found = []
    listed = content.get("defaults")
    for entry in listed if isinstance(listed, list) else ():
        pairs = entry.items() if isinstance(entry, dict) else [("", entry)]
        for key, options in pairs:
            path = str(key).removeprefix("optional ").removeprefix("override ").strip().partition("@")[0]
            for option in options if isinstance(options, list) else [options]:
                whole = f"{path}/{str(option).partition('@')[0]}".strip("/") if path else str(option).partition("@")[0]
                absolute = path.startswith("/") or str(option).startswith("/")
                whole = whole.strip("/")
                found.append(f"{whole if absolute or not group else f'{group}/{whole}'}.yaml")
    return found
