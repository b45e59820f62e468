"""A run as one zip to give away: its model, card, metrics, config, split and checksums."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mtl_cli.config.errors import UserError
from mtl_cli.io import atomic
from mtl_cli.runs.directory import CONFIG, HISTORY, METRICS, MODEL, OUT_OF_FOLD, PREDICTIONS, RUN, SPLITS
from mtl_cli.runs.records import LARGEST, parse_record, read_record

SUFFIX = ".zip"
CARD, SUMS = "README.md", "SHA256SUMS"
PACKED = (MODEL, CONFIG, METRICS, RUN, HISTORY)
"""What is always packed, as far as it is there."""
ROWS = (SPLITS, PREDICTIONS, OUT_OF_FOLD)
"""What names or shows single rows: packed where that was asked for."""
STAMP = (1980, 1, 1, 0, 0, 0)
"""Of all files, so that one run makes one zip."""
MOST_TIMES = 50
"""How many times larger than in the zip a model may be: weights hardly become smaller."""


def write_pack(run: Path, target: Path, card: str, rows: bool) -> list[str]:
    """Write a run's zip, whole or not at all; return the names of its files.

    Parameters
    ----------
    run : Path
        The run's folder.
    target : Path
    card : str
        In Markdown.
    rows : bool
        Whether the files that show single rows are packed too.
    """
    names = [name for name in (*PACKED, *(ROWS if rows else ())) if (run / name).is_file()]
    names += sorted(path.name for path in run.glob("*_weights.csv"))
    contents = {CARD: card.encode(), **{name: (run / name).read_bytes() for name in names}}
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in contents.items())
    contents[SUMS] = sums.encode()

    def write(file: Path) -> None:
        with zipfile.ZipFile(file, "w") as packed:
            for name, data in contents.items():
                info = zipfile.ZipInfo(name, STAMP)
                info.compress_type = zipfile.ZIP_STORED if name == MODEL else zipfile.ZIP_DEFLATED
                info.external_attr = 0o644 << 16
                packed.writestr(info, data)

    atomic(target, write)
    return list(contents)


def is_pack(path: Path) -> bool:
    """Whether a file is taken for a run's zip, by its name."""
    return path.suffix.lower() == SUFFIX


def check_pack(path: Path) -> None:
    """Raise UserError if a zip holds no model."""
    with _opened(path) as packed:
        if MODEL not in packed.namelist():
            raise UserError(str(path), f"holds no {MODEL}", "give a zip that mtl pack wrote")


def packed_model(path: Path) -> bytes:
    """Return the model file in a run's zip; nothing is unpacked on disk.

    Raises
    ------
    UserError
        If there is none, or it is not what the checksums say.
    """
    check_pack(path)
    with _opened(path) as packed:
        info = packed.getinfo(MODEL)
        if info.file_size > MOST_TIMES * info.compress_size:
            raise UserError(str(path), f"its {MODEL} would be unpacked to {info.file_size:,} bytes", "is it a model?")
        try:
            data = packed.read(MODEL)
            sums = dict(_sums(packed.read(SUMS).decode())) if SUMS in packed.namelist() else {}
        except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, UnicodeDecodeError) as error:
            raise UserError(str(path), f"is damaged: {error}") from error
    if sums.get(MODEL, "") not in ("", hashlib.sha256(data).hexdigest()):
        raise UserError(str(path), f"its {MODEL} is not the one that {SUMS} lists", "it was changed, or is damaged")
    return data


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """A folder named as a run's zip, with the files in it that mtl writes, until the block ends.

    Raises
    ------
    UserError
        If it holds no model, its model is not what the checksums say, or a file would be far larger than the zip.
    """
    model = packed_model(path)
    with _opened(path) as packed, tempfile.TemporaryDirectory() as made:
        folder = Path(made) / path.stem
        folder.mkdir()
        (folder / MODEL).write_bytes(model)
        for info in packed.infolist():
            name = info.filename
            if name == MODEL or not (name in (*PACKED, *ROWS) or (name.endswith("_weights.csv") and "/" not in name)):
                continue
            if info.file_size > max(LARGEST, MOST_TIMES * info.compress_size):
                raise UserError(str(path), f"its {name} would be unpacked to {info.file_size:,} bytes")
            try:
                (folder / name).write_bytes(packed.read(name))
            except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
                raise UserError(str(path), f"is damaged: {error}") from error
        yield folder


def beside(file: Path, name: str) -> Any:
    """Return what a JSON file says that lies beside a model file, or in its zip; None if there is none."""
    if not is_pack(file):
        other = file.parent / name
        return read_record(other) or None
    with _opened(file) as packed:
        if name not in packed.namelist():
            return None
        if packed.getinfo(name).file_size > LARGEST:
            raise UserError(str(file), f"its {name} would be unpacked to more than {LARGEST // 2**20} MiB")
        return parse_record(packed.read(name), name, f"{name} in {file}")


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(
            str(path), "is not a zip file", "give the folder of a run, or a zip that mtl pack wrote"
        ) from error


def _sums(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        digest, _, name = line.partition("  ")
        yield name, digest
