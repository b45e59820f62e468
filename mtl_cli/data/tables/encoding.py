"""How a file of text is encoded, and what can be told of it before it is read as a table."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass
from io import TextIOWrapper

from mtl_cli.config.errors import UserError
from mtl_cli.data.files import Opener, opener_of
from mtl_cli.io import BLOCK

FOUND = ("utf-8-sig", "cp1252")
"""What is tried where nothing tells the encoding."""
HEAD = 200_000
"""Characters from which the separator and the width of a line are found."""
_MAGIC = {
    b"PAR1": ("a parquet file", "use dataset=parquet"),
    b"ARROW1": ("a feather file", "use dataset=feather"),
    b"PK\x03\x04": ("a zip file (xlsx?)", "use dataset=excel for a workbook, or export it as CSV"),
    b"\xd0\xcf\x11\xe0": (
        "a workbook or document of old Office",
        "use dataset=excel for a workbook, or export it as CSV",
    ),
    b"\x89PNG": ("a PNG image", None),
    b"\x89HDF": ("an HDF5 file", "use dataset=h5ad for cells, or export it as CSV or parquet"),
    b"%PDF": ("a PDF", "export it as CSV or parquet"),
    b"\x93NUMPY": ("an array of NumPy", "use dataset=npz for images"),
}
_CONTROL = bytes([*range(0x09), *range(0x0E, 0x20)])
"""Bytes that no text has, in UTF-8 and in cp1252."""


@dataclass(frozen=True)
class TextFile:
    """Text whose encoding is known.

    Parameters
    ----------
    open_bytes : callable
    where : str
        The file's name for messages.
    encoding : str
    head : str
        Its first ``HEAD`` characters.
    lines : int
        Line ends of any kind, with one at the end.
    """

    open_bytes: Opener
    where: str
    encoding: str
    head: str
    lines: int

    def open(self) -> TextIOWrapper:
        """Open the text at its beginning; line ends stay as they are."""
        return TextIOWrapper(self.open_bytes(), encoding=self.encoding, newline="")


def look_at(open_bytes: Opener, where: str, encoding: str | None, notice: Callable[[str], None]) -> TextFile:
    """Read a file of text through, a block at a time, and tell how it is encoded.

    As told, else by its byte-order mark, else UTF-8, else cp1252 with a notice.

    Raises
    ------
    UserError
        If it is damaged, no text, or not of the ``encoding`` that was told.
    """
    with open_bytes() as stream:
        begin = stream.read(8)
    for magic, (what, hint) in _MAGIC.items():
        if begin.startswith(magic):
            raise UserError(where, f"is {what}, not text", hint or "export it as CSV or parquet")
    if encoding is not None:
        return _as_told(open_bytes, where, encoding)
    if begin[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _as_told(open_bytes, where, "utf-16")
    try:
        found = _through(open_bytes, where, FOUND[0])
    except _NotEncodedError as fault:
        what = f"byte 0x{fault.byte:02x} in line {fault.line} is not UTF-8"
        try:
            found = _through(open_bytes, where, FOUND[1])
        except _NotEncodedError:
            raise UserError(where, what, "give its encoding: dataset.encoding=latin-1") from fault
        notice(f"{where}: {what}; read as {FOUND[1]} (dataset.encoding=… overrides this)")
    return found


def first_lines(open_bytes: Opener) -> str:
    """Return how a file begins, decoded roughly: enough to see the marks between its fields."""
    with open_bytes() as stream:
        begin = stream.read(HEAD)
    return begin.decode("utf-16" if begin[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin-1", errors="ignore")


def decode(data: bytes, where: str, encoding: str | None, notice: Callable[[str], None]) -> str:
    """Return the text of a file in memory, as ``look_at`` finds it to be encoded."""
    with look_at(opener_of(data, where), where, encoding, notice).open() as stream:
        return stream.read()


class _NotEncodedError(Exception):
    """Some byte is not of an encoding."""

    def __init__(self, byte: int, offset: int, line: int) -> None:
        super().__init__(byte, offset, line)
        self.byte, self.offset, self.line = byte, offset, line


def _as_told(open_bytes: Opener, where: str, encoding: str) -> TextFile:
    try:
        name = codecs.lookup(encoding).name
        "".encode(name)
    except (LookupError, ValueError) as error:  # a ValueError for a name with NUL in it
        hint = "for example utf-8, latin-1, cp1252, utf-16"
        raise UserError("dataset.encoding", f"there is no encoding '{encoding}'", hint) from error
    try:
        return _through(open_bytes, where, name)
    except _NotEncodedError as fault:
        raise UserError(where, f"byte 0x{fault.byte:02x} at offset {fault.offset} is not {encoding}") from fault


def _through(open_bytes: Opener, where: str, encoding: str) -> TextFile:
    """Decode a file from its beginning to its end. Raises ``_NotEncodedError`` or UserError."""
    decoder = codecs.getincrementaldecoder(encoding)()
    head, lines, offset, last = "", 0, 0, "\n"
    with open_bytes() as stream:
        while True:
            block = stream.read(BLOCK)
            held = len(decoder.getstate()[0])
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                before = error.object[: error.start]
                line = lines + before.count(b"\n") + 1
                raise _NotEncodedError(error.object[error.start], offset - held + error.start, line) from error
            offset += len(block)
            if encoding in FOUND and len(block.translate(None, _CONTROL)) < len(block):
                what = "is not a table of text: it holds control characters"
                raise UserError(where, what, "export it as CSV or parquet")
            if len(head) < HEAD:
                head += text[: HEAD - len(head)]
            if text:
                lines += text.count("\n")
                if "\r" in text:
                    lines += text.count("\r") - text.count("\r\n")
                lines -= last == "\r" and text[0] == "\n"
                last = text[-1]
            if not block:
                return TextFile(open_bytes, where, encoding, head, lines + (last not in "\r\n"))
