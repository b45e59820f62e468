"""Reading CoNLL files: a line per word with its tags in columns, and a blank line behind each text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mtl_cli.config.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

UNIVERSAL = ["id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc"]
"""The columns of CoNLL-U."""
_COMMENT = re.compile(r"#\s*([^=]+?)\s*=\s*(.*?)\s*$")
_NO_WORD = re.compile(r"\d+[-.]\d+")
"""The number, in CoNLL-U, of several words that are written as one, or of a word that is not written."""
_NUMBERED = re.compile(r"(.+)[-_.:/]\D?(\d+)")
"""The name of a sentence: that of its document, and its number there."""
NO_BREAK = "\u00a0"
DOCUMENT = "document"


def read_conll(text: str, where: str, columns: Sequence[str] | None, word: str) -> pd.DataFrame:
    """Return a table of a row per text: its words, and the tags of each further column, with spaces between them.

    Comments ``# key = value`` are columns too, that of ``# newdoc id = …`` for all texts that follow, as ``document``;
    ``# text = …`` is not, for it says the words again. Without ``# newdoc``, the document is what the names of
    sentences, ``# sent_id = …``, have before their number. A space within a word becomes one that does not break.

    Parameters
    ----------
    text, where : str
        The file, and its name.
    columns : sequence of str, optional
        What the columns are called. By default as a comment ``# global.columns = …`` says; with ten columns those of
        CoNLL-U; else the words and ``tag``, or ``tag_1``, ``tag_2`` ….
    word : str
        The name of the column of words; the first if none has it (``form`` in CoNLL-U).

    Raises
    ------
    UserError
        If there is no text, or a line has not as many columns as the first, naming it.
    """
    named: list[str] | None = None if columns is None else list(columns)
    texts: list[tuple[dict[str, str], list[list[str]]]] = []
    about: dict[str, str] = {}
    lines: list[list[str]] = []
    lasting: dict[str, str] = {}
    width = 0
    for number, raw in enumerate([*text.splitlines(), ""], 1):
        line = raw.rstrip("\r\n")
        if not line.strip():
            if lines:
                texts.append(({**lasting, **about}, lines))
                about, lines = {}, []
            continue
        if line.startswith("#") and (not lines) and (line.startswith("# ") or "\t" not in line):
            if found := _COMMENT.match(line):
                key, value = found[1], found[2]
                if key == "global.columns":
                    named = named or [name.lower() for name in value.split()]
                elif key.startswith("newdoc"):
                    lasting = {DOCUMENT: value}
                elif key != "text":
                    about[key] = value
            continue
        cells = line.split("\t") if "\t" in line else line.split()
        if cells[0] == "-DOCSTART-":
            continue
        width = width or len(cells)
        if len(cells) != width or "" in (cell.strip() for cell in cells):
            what = f"line {number} has {sum(bool(cell.strip()) for cell in cells)} columns and the first has {width}"
            raise UserError(where, what, "each word needs a tag in each column, such as _ where it has no label")
        lines.append([NO_BREAK.join(cell.split()) for cell in cells])
    if not texts:
        raise UserError(where, "the file is empty" if not text.strip() else "holds no word")
    names = _names(named, width, where, word)
    return _table(texts, names, where)


def _names(named: list[str] | None, width: int, where: str, word: str) -> list[str]:
    """Return what each column is called, that of the words ``word``."""
    if named is not None and len(named) != width:
        raise UserError("dataset.columns", f"names {len(named)} columns, and {where} has {width}")
    if width < 2:
        raise UserError(where, "has one column only", "each line is a word and its tags, with a tab between them")
    if named is None:
        named = list(UNIVERSAL) if width == len(UNIVERSAL) else [word, *(f"tag_{i}" for i in range(1, width))]
        named = [word, "tag"] if width == 2 else named
    if word not in named:
        first = "form" if "form" in named else named[0]
        named = [word if name == first else name for name in named]
    return named


def _table(texts: list[tuple[dict[str, str], list[list[str]]]], names: list[str], where: str) -> pd.DataFrame:
    """Return the table of texts: what comments say of each, and the cells of its lines."""
    import pandas as pd

    numbered = "id" in names
    columns: dict[str, list[str | None]] = {name: [] for name in names if not (numbered and name == "id")}
    keys = dict.fromkeys(key for about, _ in texts for key in about)
    if both := [key for key in keys if key in columns]:
        what = f"'{both[0]}' is a column of tags, and a comment '# {both[0]} = …' too"
        raise UserError(where, what, "give dataset.columns=[…] other names")
    for _, lines in texts:
        words = [cells for cells in lines if not (numbered and _NO_WORD.fullmatch(cells[names.index("id")]))]
        for place, name in enumerate(names):
            if name in columns:
                columns[name].append(" ".join(cells[place] for cells in words))
    for key in keys:
        columns[key] = [about.get(key) for about, _ in texts]
    if DOCUMENT not in columns and (found := documents_of([about.get("sent_id") for about, _ in texts])):
        columns[DOCUMENT] = list(found)
    return pd.DataFrame({name: pd.Series(values, dtype="str") for name, values in columns.items()})


def documents_of(names: Sequence[str | None]) -> list[str] | None:
    """Return the document of each sentence by its name, where these are as in treebanks: web-1-0001, web-1-0002, ….

    None unless each name ends in a number, those of a document stand together and rise, and there are several
    documents, of which one has several sentences.
    """
    found: list[str] = []
    seen: set[str] = set()
    before = 0
    for name in names:
        match = _NUMBERED.fullmatch(name or "")
        if match is None:
            return None
        document, number = match[1], int(match[2])
        if found and document == found[-1]:
            if number <= before:
                return None
        elif document in seen:
            return None
        seen.add(document)
        found.append(document)
        before = number
    return found if 1 < len(seen) < len(found) else None
