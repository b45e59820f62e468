"""Files at the lowest level: written whole or not at all, read and unpacked within bounds, and where caches lie.

Nothing here knows of configs or of the user's keys. What is wrong with a file is raised as ``DamagedFile`` or as an
``OSError``, and whoever knows what to call the file makes an error for the user of it.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import json
import math
import os
import re
import tempfile
import zlib
from collections.abc import Callable, Iterator
from io import BufferedReader, BytesIO, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, Protocol

GZIP = b"\x1f\x8b"
"""How a gzip file begins."""
COMPRESSED = {GZIP: "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
"""How compressed files begin."""
BLOCK = 2**20
UNWRITTEN = "cannot be written"
_UNFINISHED = re.compile(r"\..+-[a-z0-9_]{8}(\.\w+)?")
"""What the files are called that ``atomic`` fills."""


class DamagedFile(ValueError):
    """What was read is cut off, damaged, or longer than it may be.

    Parameters
    ----------
    what : str
        A sentence without its subject, such as "is cut off".
    hint : str, optional
        What to do about it.
    """

    def __init__(self, what: str, hint: str | None = None) -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


def user_path(text: str | Path) -> Path:
    """Return the path that a user wrote, with ``~`` written out.

    Raises
    ------
    OSError
        If no file can have such a name.
    """
    if "\0" in str(text):
        raise OSError(errno.EINVAL, "no file's name has a NUL in it", str(text))
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # ~ of somebody who is not there
        raise FileNotFoundError(errno.ENOENT, "there is no such user's home", str(text)) from error


def user_cache() -> Path:
    """Return this program's folder where the user keeps caches: ``$XDG_CACHE_HOME/mtl``, else ``~/.cache/mtl``."""
    return user_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "mtl"


_unfinished: set[Path] = set()
"""Files that are being written beside those that they are to replace."""


def atomic(path: Path, write: Callable[[Path], object], durable: bool = False) -> None:
    """Let ``write`` fill a file beside ``path``, then put it in place in one step.

    Parameters
    ----------
    path : Path
    write : callable
        Takes the file to fill.
    durable : bool, default False
        Wait until it has reached the disk, so that one of the two files is there even if the power fails.
    """
    with naming(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:100]}-", suffix=path.suffix[-20:])
        os.close(handle)
        temporary = Path(name)
        _unfinished.add(temporary)
        try:
            write(temporary)
            temporary.chmod(0o666 & ~_umask())
            if durable:
                _sync(temporary)
            temporary.replace(path)
            if durable and os.name == "posix":
                _sync(path.parent)
        finally:
            with contextlib.suppress(OSError):  # of a folder that is gone: what went wrong before is told
                temporary.unlink(missing_ok=True)
            _unfinished.discard(temporary)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an error of writing a file say which, whatever it was called meanwhile."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if str(error.strerror).startswith(UNWRITTEN):  # what is inside has said so
            raise
        raise OSError(error.errno, f"{UNWRITTEN}: {error.strerror or error}", str(path)) from error


def _sync(path: Path) -> None:
    """Wait until what was written to a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_unfinished() -> None:
    """Take away what is only half written, before the process ends without unwinding."""
    for path in list(_unfinished):
        path.unlink(missing_ok=True)


def leftovers(folder: Path) -> list[Path]:
    """Return the files in a folder, and in those below it, that ``atomic`` left when its process was killed."""
    return [path for path in folder.rglob(".*-*") if _UNFINISHED.fullmatch(path.name) and path.is_file()]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def to_json(value: Any, indent: int | None = None) -> str:
    """Return JSON that every parser reads: NaN and infinities become null."""
    return json.dumps(_finite(value), indent=indent, ensure_ascii=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Stream(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes; none at the end."""


def read_within(stream: Stream, limit: int, block: int, received: Callable[[int], object]) -> bytes:
    """Read all of a stream.

    Parameters
    ----------
    stream : readable
    limit : int
        The most bytes that it may give.
    block : int
        Bytes to ask for at once.
    received : callable
        Told how many bytes have come, after each block.

    Raises
    ------
    DamagedFile
        If there are more than ``limit``.
    """
    data = bytearray()
    while piece := stream.read(block):
        data += piece
        received(len(data))
        if len(data) > limit:
            raise DamagedFile("is longer than it must be")
    return bytes(data)


def unpack(data: bytes, limit: int) -> bytes:
    """Return what is in a gzip file, or the bytes themselves if they are not gzipped.

    Raises
    ------
    DamagedFile
        If it is damaged, or holds more than ``limit`` bytes; no more are unpacked.
    """
    if not data.startswith(GZIP):
        return data
    found = unpack_first(data, limit + 1)
    if len(found) > limit:
        raise DamagedFile(f"is longer than it must be: more than {limit} bytes once unpacked")
    return found


def unpack_first(data: bytes, size: int) -> bytes:
    """Return the first ``size`` bytes of what is in a gzip file, or of the bytes themselves; all if they are fewer.

    Raises
    ------
    DamagedFile
        If the gzip file is cut off or damaged before them.
    """
    if not data.startswith(GZIP):
        return data[:size]
    blocks: list[bytes] = []
    try:
        with gzip.GzipFile(fileobj=BytesIO(data)) as stream:
            while size > 0 and (block := stream.read(min(size, BLOCK))):
                blocks.append(block)
                size -= len(block)
        return b"".join(blocks)
    except EOFError as error:
        raise DamagedFile("is cut off: the gzip stream has no end", "copy or fetch the file again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DamagedFile(f"is a damaged gzip file: {error}", "copy or fetch the file again") from error


def unpacked(
    stream: BinaryIO, error_for: Callable[[DamagedFile | OSError], Exception], keep_open: bool = False
) -> BinaryIO:
    """Return a stream of what is in a file: as it is, or unpacked if it is compressed.

    Parameters
    ----------
    stream : readable, seekable
    error_for : callable
        Makes the exception that reading raises of what is wrong with the file.
    keep_open : bool
        Whether ``stream`` stays open when what is returned is closed.
    """
    return BufferedReader(_Unpacked(stream, error_for, keep_open), BLOCK)


class _Unpacked(RawIOBase):
    """What is in a file. The errors of the codecs are raised as one of the caller's."""

    def __init__(
        self, stream: BinaryIO, error_for: Callable[[DamagedFile | OSError], Exception], keep_open: bool
    ) -> None:
        self.source, self.error_for, self.keep_open = stream, error_for, keep_open
        try:
            stream.seek(0)
            begin = stream.read(4)
            stream.seek(0)
        except OSError as error:
            raise error_for(error) from error
        self.codec = next((codec for magic, codec in COMPRESSED.items() if begin.startswith(magic)), None)
        self.stream = _decompressor(stream, self.codec)

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.keep_open:
            self.source.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        try:
            found = self.stream.read(len(buffer))
        except EOFError as error:
            raise self.error_for(_cut_off(self.codec)) from error
        except (OSError, ValueError, zlib.error) as error:  # pyarrow's are OSError and ValueError
            if self.codec is None:
                raise self.error_for(error if isinstance(error, OSError) else OSError(str(error))) from error
            if "truncated" in str(error).lower():
                raise self.error_for(_cut_off(self.codec)) from error
            what = f"is a damaged {self.codec} file: {error}"
            raise self.error_for(DamagedFile(what, "copy or fetch the file again")) from error
        buffer[: len(found)] = found
        return len(found)


def _cut_off(codec: str | None) -> DamagedFile:
    return DamagedFile(f"is cut off: the {codec} stream has no end", "copy or fetch the file again")


def _decompressor(stream: BinaryIO, codec: str | None) -> Stream:
    if codec == "gzip":
        return gzip.GzipFile(fileobj=stream)
    if codec == "zstd":
        import pyarrow

        packed: Stream = pyarrow.CompressedInputStream(pyarrow.PythonFile(stream, "r"), "zstd")
        return packed
    return stream
