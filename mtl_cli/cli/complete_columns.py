"""Tab completion where columns of the data are named: after ``tasks=``, ``dataset.id=``, ``tasks.COLUMN=``."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import components, kind_of_file

ONE = ("id", "weight", "sequence", "text", "image", "split.group", "split.time", "split.column")
"""Keys of a data set that name a column."""
SEVERAL = ("features.include", "features.exclude", "features.numeric", "features.categorical", "features.date")
"""Those that name some."""
HEAD = 200_000
"""Bytes of a table in which its header is looked for."""
LARGEST = 50_000_000
"""Bytes of a file that is read for its columns; a table as text may have any size."""
PLAIN = re.compile(r"[\w.-]+")
_COLUMN = re.compile(r"(?P<done>.*[{,]\s*)(?P<typed>[^:{},]*)")
_KIND = re.compile(r"(?P<done>.*[{,]\s*(?P<name>[^:{},]+):\s*)(?P<typed>[^:{},]*)")
_INNER = re.compile(r"(?P<done>.*:\s*\{[^{}]*\bkind:\s*)(?P<typed>[^:{},]*)")


def columns_of(dataset: Mapping[str, Any]) -> list[str]:
    """Return the columns of a data set's table; none if it cannot be read.

    Parameters
    ----------
    dataset : mapping
        As a config says it.
    """
    kind, path = str(dataset.get("kind")), dataset.get("path")
    if not isinstance(path, str):
        return []
    if kind == "text":
        kind = kind_of_file(path) or kind  # texts are in a table, unless the file is one of words
    try:
        if kind == "csv":
            return _header(path, dataset.get("separator"))
        cls = components("dataset")[kind]
        known = {key: dataset[key] for key in ("labels", "image", "folder", "text", "sheet") if dataset.get(key)}
        file = Path(path).expanduser()
        if not file.is_dir() and file.stat().st_size > LARGEST:
            return []
        source = cls(path=path, **{key: value for key, value in known.items() if key in vars(cls(path=path))})
        table = source.label_table(lambda line: None)
        return [] if table is None else [str(name) for name in table.columns]
    except (UserError, OSError, TypeError, KeyError):  # nothing is offered, and the command itself says what is wrong
        return []


def _header(path: str, separator: str | None) -> list[str]:
    from mtl_cli.data.files import matching_files, opener
    from mtl_cli.data.tables.text import detect_separator

    with opener(matching_files(path)[0])() as stream:
        head = stream.read(HEAD)
    text = head.decode("utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", errors="replace")
    rows = csv.reader(io.StringIO(text), delimiter=separator or detect_separator(text))
    return [name.strip() for name in next(rows, [])]


def named(key: str, value: str, columns: Sequence[str]) -> list[str] | None:
    """Return how the value of a key of a data set may go on, if it names columns; else None."""
    inner = key.removeprefix("dataset.")
    if inner == key:
        return None
    if inner in ONE:
        return that_start(columns, value)
    if inner not in SEVERAL:
        return None
    done, _, typed = value.rpartition(",") if "," in value else ("", "", value.removeprefix("["))
    before = f"{done}," if done else "["
    return [f"{before}{name}" for name in that_start(columns, typed)]


def tasks(value: str, columns: Sequence[str]) -> list[str]:
    """Return how the value of ``tasks`` may go on: columns, their kinds, and what comes behind a kind.

    There are always two answers or more where more is to be typed: a shell takes a single one for the whole word, and
    closes its quotes.
    """
    kinds = sorted(components("task"))
    if (found := _INNER.fullmatch(value)) is not None:
        matching = that_start(kinds, found["typed"])
        ends = ["}, ", "}}"] if len(matching) == 1 else [""]
        return [f"{found['done']}{kind}{end}" for kind in matching for end in ends]
    depth = value.count("{") - value.count("}")
    if not value:
        value, depth = "{", 1
    if depth != 1:
        return []
    if (found := _KIND.fullmatch(value)) is not None:
        done = found["done"] if found["done"].endswith(" ") else f"{found['done']} "
        matching = that_start(kinds, found["typed"])
        if len(matching) == 1 or found["typed"] in kinds:
            kind = found["typed"] if found["typed"] in kinds else matching[0]
            return [f"{done}{kind}, ", f"{done}{kind}}}"]
        return [f"{done}{kind}" for kind in matching]
    if (found := _COLUMN.fullmatch(value)) is None:
        return []
    used = {name.strip() for name in re.findall(r"[{,]\s*([^:{},]+):", found["done"])}
    matching = [_quoted(name) for name in columns if name not in used and _quoted(name).startswith(found["typed"])]
    if len(matching) == 1:
        return [f"{found['done']}{matching[0]}: {kind}" for kind in kinds]
    return [f"{found['done']}{name}: " for name in matching]


def task_keys(typed: str, columns: Sequence[str]) -> list[str]:
    """Return the keys ``tasks.COLUMN=``, which need no quotes."""
    return that_start((f"tasks.{name}=" for name in columns if PLAIN.fullmatch(name) and "." not in name), typed)


def task_kinds(key: str, value: str, columns: Sequence[str]) -> list[str]:
    """Return the kinds that ``tasks.COLUMN=`` may have."""
    name = key.removeprefix("tasks.")
    return that_start(sorted(components("task")), value) if name != key and name in columns else []


def _quoted(name: str) -> str:
    return name if PLAIN.fullmatch(name) else f'"{name}"'


def that_start(names: Iterable[str], typed: str) -> list[str]:
    """Return the names that begin as what is typed."""
    return [name for name in names if name.startswith(typed)]
