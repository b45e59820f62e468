"""Reading what may come from anybody: files of tensors, and folders of runs. They are data, and checked as such.

Nothing is unpacked that is larger than the file, no link is followed out of a run's folder, and what is read is plain:
dicts, lists, tensors, numbers and text, not nested more deeply than mtl writes them.
"""

from __future__ import annotations

import contextlib
import types
import typing
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

from mtl_cli.config.errors import LONGEST, UserError, shortened

if TYPE_CHECKING:
    import torch

DEEPEST, MOST = 60, 20_000_000
"""How deep values may lie in one another, and how many there may be, each counted as often as it stands somewhere."""


T = TypeVar("T")


class NotOurs(ValueError):
    """What a file holds is not what mtl writes; the text says why, as the rest of a sentence about it."""


def read_tensors(source: Path | BinaryIO, device: torch.device | str = "cpu", lazy: bool = False) -> dict[str, Any]:
    """Read a file that ``torch.save`` wrote, without running anything in it.

    Parameters
    ----------
    source : Path or readable, seekable stream
    device : torch.device or str
        Where its tensors are wanted.
    lazy : bool, default False
        Read tensors of a path only when they are looked at.

    Raises
    ------
    NotOurs
        If it is damaged, would take more memory than its size, or holds anything but plain values.
    OSError
        If it cannot be read.
    """
    import torch

    _check_size(source)
    try:
        content = torch.load(source, map_location=device, weights_only=True, mmap=lazy)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # whatever the unpickler makes of bytes that are not ours
        raise NotOurs("is damaged") from error
    if not isinstance(content, dict):
        raise NotOurs("holds no dict")
    _Plain().check(content, 0)
    return content


def _check_size(source: Path | BinaryIO) -> None:
    """Look into the zip that such a file is: a part of it that is packed could become anything."""
    try:
        with zipfile.ZipFile(source) as packed:
            parts = packed.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise NotOurs("is damaged") from error
    if any(part.compress_type != zipfile.ZIP_STORED or part.file_size != part.compress_size for part in parts):
        raise NotOurs("is packed, which mtl does not do")
    if not isinstance(source, Path):
        source.seek(0)
        return
    if sum(part.file_size for part in parts) > source.stat().st_size:
        raise NotOurs("would be larger than the file")


class _Plain:
    """Counts values, and refuses what is not plain or not as large as it says."""

    def __init__(self) -> None:
        self.count = 0

    def check(self, value: Any, depth: int) -> None:
        import torch

        self.count += 1
        if depth > DEEPEST or self.count > MOST:
            raise NotOurs("holds more than mtl writes")
        if isinstance(value, torch.Tensor):
            if value.layout != torch.strided or value.numel() * value.element_size() > value.untyped_storage().nbytes():
                raise NotOurs("holds a tensor that is larger than what is there of it")
        elif isinstance(value, Mapping):
            for key, item in value.items():
                if not isinstance(key, str | int | float | bool | None):
                    raise NotOurs("holds a dict with keys that are not text")
                self.check(item, depth + 1)
        elif isinstance(value, list | tuple):
            for item in value:
                self.check(item, depth + 1)
        elif not isinstance(value, str | int | float | bool | bytes | None):
            raise NotOurs(f"holds a {type(value).__name__}")


def check_links(folder: Path) -> None:
    """Raise UserError if a link in a run's folder leads out of it: what is there is not the run's.

    A run that somebody made could so have another file of the user's be read, or written.
    """
    if not folder.is_dir():
        return
    root = folder.resolve()
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            raise UserError(str(path), f"is a link out of the run's folder, to {path.readlink()}", "take it away")


class Needed(str):
    """A key that has to be there."""


def check_types(value: Any, expected: Any, where: str = "") -> None:
    """Raise NotOurs if plain values are not of the types that are expected.

    Parameters
    ----------
    value
    expected
        A type, a tuple of types, a list of what is expected of each value, or a dict from keys that may be there to
        what is expected of them, where ``...`` stands for every key; ``Needed`` ones have to be there. Whole
        numbers do for ``float``, so does None.
    where : str
        The key.
    """
    if isinstance(expected, dict):
        if not isinstance(value, Mapping):
            raise NotOurs(f"has no mapping where {where or 'all'} should be one")
        for key in expected:
            if isinstance(key, Needed) and key not in value:
                raise NotOurs(f"has no {where}.{key}" if where else f"has no {key}")
        for key, item in value.items():
            if (wanted := expected.get(key, expected.get(...))) is not None:
                check_types(item, wanted, f"{where}.{key}" if where else str(key))
        return
    if isinstance(expected, list):
        if not isinstance(value, list):
            raise NotOurs(f"has no list where {where} should be one")
        for place, item in enumerate(value):
            check_types(item, expected[0], f"{where}[{place}]")
        return
    kinds = expected if isinstance(expected, tuple) else (expected,)
    if float in kinds:
        kinds = (*kinds, int, type(None))
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise NotOurs(f"has {_a(type(value))} where {where} should be {_a(kinds[0])}")


def _a(kind: type) -> str:
    return f"{'an' if kind is int else 'a'} {kind.__name__}"


def made_of(kind: type[T], state: Any) -> T:
    """Return a dataclass made of plain values, as ``asdict`` gives them: its annotations say what each has to be.

    Raises
    ------
    NotOurs
        If a field is missing, is none of the dataclass's, or has a value of another type.
    """
    return cast("T", _of_type(kind, state, kind.__name__))


def _of_type(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if is_dataclass(hint):
        return _of_fields(hint, value, where)
    if origin in (typing.Union, types.UnionType):
        for choice in args:
            with contextlib.suppress(NotOurs):
                return _of_type(choice, value, where)
    elif origin is typing.Literal:
        if any(type(value) is type(choice) and value == choice for choice in args):
            return value
    elif origin in (list, tuple, Sequence):
        if isinstance(value, list | tuple) and (origin is not tuple or args[-1] is ... or len(args) == len(value)):
            inner = args if origin is tuple and args[-1] is not ... else args[:1] * len(value)
            found = [_of_type(*pair, f"{where}[{place}]") for place, pair in enumerate(zip(inner, value, strict=True))]
            return tuple(found) if origin is tuple else found
    elif origin in (dict, Mapping):
        if isinstance(value, Mapping):
            return {_of_type(args[0], k, where): _of_type(args[1], item, f"{where}.{k}") for k, item in value.items()}
    elif hint is Any or type(value) is hint or (hint is float and type(value) is int):
        return value
    raise NotOurs(f"has {shortened(repr(value), LONGEST)} where {where} should be {_name(hint)}")


def _of_fields(kind: Any, state: Any, where: str) -> Any:
    known = {field.name: field for field in fields(kind)}
    needed = {name for name, field in known.items() if field.default is MISSING and field.default_factory is MISSING}
    if not isinstance(state, Mapping) or not needed <= state.keys() <= known.keys():
        raise NotOurs(f"has other fields than {where} has")
    hints = typing.get_type_hints(kind)
    return kind(**{name: _of_type(hints[name], value, f"{where}.{name}") for name, value in state.items()})


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint).replace("typing.", "")
