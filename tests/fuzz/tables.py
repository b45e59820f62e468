"""Tables made at random, written as text in many ways: what the fuzzer feeds, with what is true of each."""

from __future__ import annotations

import csv
import gzip
import io
import random
from collections.abc import Callable
from dataclasses import dataclass, field

MISSING = ["", "", "NA", "NaN", "null", "n/a"]
NAMES = [
    "x",
    "größe",
    "a.b",
    "x=1",
    "$p",
    "[z]",
    "price (€)",
    "1",
    "2.0",
    "価格",
    "row",
    "split",
    "a b",
    "%",
    "*",
    "it's",
]
WORDS = ["red", "green", "navy blue", "öl", "x,y", 'say "hi"', "a;b", "tab\there", "=cmd", "🐟", "ñ", "N", "O'Neil"]
CLASSES = [
    ["yes", "no"],
    ["1", "2", "3"],
    ["4", "4.5", "5"],
    ["A", "B"],
    ["true", "false"],
    ["$", "$$"],
    ["é", "è", "e"],
]
ODD_NUMBERS = ["1e300", "-1e300", "1e-320", "99999999999999999999", "1e5", "-0", "+7", "007", "0x1F", ".5", "1."]
DAYS = ["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S+02:00", "%d/%m/%y"]


@dataclass
class Draft:
    """A table before it is written, and how it will be.

    Parameters
    ----------
    header : list of str
    rows : list of list of str
        As long as the header.
    labels : dict of str to (str or None)
        The label cells of each task, None where there is none; None in their place where what a cell is, is open.
    """

    header: list[str]
    rows: list[list[str]]
    labels: dict[str, list[str | None] | None]
    kinds: dict[str, str]
    separator: str = ","
    end: str = "\n"
    encoding: str = "utf-8"
    quote_all: bool = False
    space: str = ""
    last_end: bool = True
    blank_lines: bool = False
    pack: str = ""
    done: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Case:
    """A file, and what is true of it.

    Parameters
    ----------
    data : bytes
    suffix : str
    rows : int or None
        None where damage may have made it any number.
    labels : dict of str to list of (str or None)
        By task and row; only of tasks whose labels are certain.
    kinds : dict of str to str
        Of tasks.
    ids : list of str
        Of the column ``id``.
    done : list of str
        What was done to the table.
    """

    data: bytes
    suffix: str
    rows: int | None
    labels: dict[str, list[str | None]]
    kinds: dict[str, str]
    ids: list[str]
    done: list[str]


def make(draw: random.Random) -> Case:
    """Make a table, do a few things to it, write it, and perhaps damage that."""
    draft = _draft(draw)
    for change in draw.sample(CHANGES, draw.randrange(0, 5)):
        change(draft, draw)
        draft.done.append(change.__name__)
    ids = [row[0] for row in draft.rows]
    data = _write(draft, draw)
    labels = {name: cells for name, cells in draft.labels.items() if cells is not None}
    rows: int | None = len(draft.rows)
    if draw.random() < 0.3:
        damage = draw.choice(DAMAGES)
        data, rows, labels = damage(data, draw), None, {}
        draft.done.append(damage.__name__)
    suffix = draw.choice([".csv", ".tsv", ".txt"]) + (draft.pack and "." + draft.pack)
    return Case(data, suffix, rows, labels, draft.kinds, ids, draft.done)


def _draft(draw: random.Random) -> Draft:
    count = draw.choice([3, 12, 30, 60, 60, 60, 60, 60])
    header, columns = ["id"], [[f"r{i}" for i in range(count)]]
    for name in draw.sample(NAMES, draw.randrange(1, 5)):
        header.append(name)
        columns.append(_feature(draw, count))
    labels: dict[str, list[str | None] | None] = {}
    kinds: dict[str, str] = {}
    for number in range(draw.randrange(1, 4)):
        name, kind = f"t{number}", draw.choice(["regression", "binary", "multiclass"])
        classes = draw.choice([c for c in CLASSES if (len(c) == 2) == (kind == "binary")])
        truth = [draw.choice(classes) if kind != "regression" else f"{draw.gauss(5, 3):.3f}" for _ in range(count)]
        gaps = draw.choice([0, 0, 0.2])
        labels[name] = [None if draw.random() < gaps else label for label in truth]
        kinds[name] = kind
        header.append(name)
        columns.append([draw.choice(MISSING) if label is None else label for label in labels[name] or []])
    return Draft(header, [list(row) for row in zip(*columns, strict=True)], labels, kinds)


def _feature(draw: random.Random, count: int) -> list[str]:
    kind = draw.choice(["float", "float", "int", "word", "flag", "day", "constant", "empty", "bits"])
    if kind == "day":
        form = draw.choice(DAYS)
        import datetime

        start = datetime.datetime(2020, 1, 1)
        cells = [(start + datetime.timedelta(hours=draw.randrange(50_000))).strftime(form) for _ in range(count)]
    elif kind == "word":
        few = draw.sample(WORDS, 4)
        cells = [draw.choice(few) for _ in range(count)]
    else:
        value: dict[str, Callable[[], str]] = {
            "float": lambda: f"{draw.gauss(0, 100):.2f}",
            "int": lambda: str(draw.randrange(-5, 1000)),
            "flag": lambda: draw.choice(["True", "False"]),
            "constant": lambda: "7",
            "empty": lambda: "",
            "bits": lambda: draw.choice("01"),
        }
        cells = [value[kind]() for _ in range(count)]
    gaps = draw.choice([0, 0, 0.1])
    return [draw.choice(MISSING) if draw.random() < gaps else cell for cell in cells]


def _write(draft: Draft, draw: random.Random) -> bytes:
    stream = io.StringIO()
    quoted = draft.quote_all or draft.end == "\r"  # the csv module would leave a cell with \n unquoted there
    quoting = csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    writer = csv.writer(stream, delimiter=draft.separator, lineterminator=draft.end, quoting=quoting)
    for row in [draft.header, *draft.rows]:
        if draft.blank_lines and draw.random() < 0.2:
            stream.write(draft.end)
        writer.writerow([draft.space + cell if cell and cell[0] not in ' "' else cell for cell in row])
    text = stream.getvalue()
    if not draft.last_end:
        text = text.removesuffix(draft.end)
    data = text.encode(draft.encoding, errors="replace")
    if draft.pack == "gz":
        return gzip.compress(data)
    if draft.pack == "zst":
        import pyarrow

        return bytes(pyarrow.compress(data, "zstd", asbytes=True))
    return data


def semicolons(draft: Draft, draw: random.Random) -> None:
    draft.separator = draw.choice(";\t|")


def line_ends(draft: Draft, draw: random.Random) -> None:
    draft.end = draw.choice(["\r", "\r\n"])


def encoding(draft: Draft, draw: random.Random) -> None:
    draft.encoding = draw.choice(["utf-8-sig", "utf-16"])


def quoted(draft: Draft, draw: random.Random) -> None:
    draft.quote_all = True


def packed(draft: Draft, draw: random.Random) -> None:
    draft.pack = draw.choice(["gz", "zst"])


def spaces(draft: Draft, draw: random.Random) -> None:
    draft.space = " "


def no_last_end(draft: Draft, draw: random.Random) -> None:
    draft.last_end = False


def blank_lines(draft: Draft, draw: random.Random) -> None:
    draft.blank_lines = True


def lines_in_cells(draft: Draft, draw: random.Random) -> None:
    place = draw.randrange(1, len(draft.header))
    if draft.header[place] not in draft.kinds:
        for row in draft.rows:
            row[place] = draw.choice(["two\nlines", "one", 'a "quote"\r\nand, more'])


def long_cell(draft: Draft, draw: random.Random) -> None:
    place = draw.randrange(1, len(draft.header))
    if draft.header[place] not in draft.kinds:
        draw.choice(draft.rows)[place] = "x" * draw.choice([130_000, 140_000])


def odd_cells(draft: Draft, draw: random.Random) -> None:
    """Put odd words or numbers anywhere but in ids; a label that becomes one is open."""
    place = draw.randrange(1, len(draft.header))
    for row in draw.sample(draft.rows, min(len(draft.rows), draw.choice([1, 3, 30]))):
        row[place] = draw.choice(
            [*ODD_NUMBERS, "?", "-", "<5", "1,5", "1.234,56", "7,269", "inf", "9999-12-31", "n.d.", " "]
        )
    draft.labels[draft.header[place]] = None
    draft.labels = {name: cells for name, cells in draft.labels.items() if name in draft.kinds}


def decimal_commas(draft: Draft, draw: random.Random) -> None:
    """Write the features' numbers with commas; what points in the labels are is open then."""
    draft.labels = {name: None if draft.kinds[name] == "regression" else c for name, c in draft.labels.items()}
    for place, name in enumerate(draft.header):
        if place and name not in draft.kinds:
            for row in draft.rows:
                if row[place].replace(".", "").lstrip("-").isdigit():
                    row[place] = row[place].replace(".", ",")


def missing_ids(draft: Draft, draw: random.Random) -> None:
    for row in draw.sample(draft.rows, 2):
        row[0] = draw.choice(["NA", "null", "nan", "007", "1.0"])


def strange_names(draft: Draft, draw: random.Random) -> None:
    place = draw.randrange(1, len(draft.header))
    if draft.header[place] not in draft.kinds:
        draft.header[place] = draw.choice(
            ["", draft.header[0], "two\nlines", " x ", "id ", "x" * 200_000, "a,b", "nan"]
        )


CHANGES = [
    semicolons, line_ends, encoding, quoted, packed, spaces, no_last_end, blank_lines, lines_in_cells, long_cell,
    odd_cells, odd_cells, odd_cells, decimal_commas, missing_ids, strange_names,
]  # fmt: skip


def cut_off(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


def bytes_changed(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice([1, 3, 20])):
        changed[draw.randrange(len(changed))] = draw.choice([*b'",;\t\r\n\x00\xff\xe9 0', draw.randrange(256)])
    return bytes(changed)


def piece_twice(data: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(data))
    piece = data[start : start + draw.randrange(1, 200)]
    place = draw.randrange(len(data))
    return data[:place] + piece + data[place:]


def piece_lost(data: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(data))
    return data[:start] + data[start + draw.randrange(1, 60) :]


def open_quote(data: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(min(len(data), draw.choice([20, 10_000])))
    return data[:place] + b'"' + data[place:]


DAMAGES: list[Callable[[bytes, random.Random], bytes]] = [cut_off, bytes_changed, piece_twice, piece_lost, open_quote]
