"""From a text to its words, and from a word to the numbers of its n-grams."""

from __future__ import annotations

import functools
import re
import unicodedata
import zlib

GRAMS = 32
"""Numbers of a word; a long word's last n-grams are left out."""
HASHES = 2**31
"""Numbers are below it; 0 is none."""
_TOKEN = re.compile("w(?:[wm]|a(?=w))*|[cp]m*(?:jm*[cp]m*)*")
_SPACES = re.compile(r"[ \t\n\r\f\v]+")
_APOSTROPHES = "'’"
_JOINER = "\u200d"
_ONE_BY_ONE = (
    (0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF),
)  # fmt: skip
"""Kana and Chinese characters, which are written without spaces: each is a word."""


class _Classes(dict[int, str]):
    """A letter for what a character is in a text, found when it is first met, for ``str.translate``.

    ``w`` of a word, ``m`` a mark on the character before, ``a`` an apostrophe, ``c`` a word of its own, ``p`` a symbol,
    ``j`` what joins two symbols to one, and ``s`` space.
    """

    def __missing__(self, number: int) -> str:
        self[number] = found = _class_of(chr(number))
        return found


def _class_of(character: str) -> str:
    category, number = unicodedata.category(character), ord(character)
    if any(first <= number <= last for first, last in _ONE_BY_ONE):
        return "c"
    if character in _APOSTROPHES:
        return "a"
    if character == _JOINER:
        return "j"
    if category[0] in "LN" or character == "_":
        return "w"
    if category[0] == "M" or category == "Cf" or 0x1F3FB <= number <= 0x1F3FF:  # those are colours of skin
        return "m"
    return "s" if category[0] in "ZC" else "p"


_CLASSES = _Classes()


def split_words(text: str) -> list[str]:
    """Return words, and symbols one by one: letters and digits with their marks, ``don't`` as one, emoji as a whole.

    A joiner between letters, as in Hindi or Persian, is of the word.
    """
    classes = text.translate(_CLASSES)
    classes = re.sub("(?<=[wm])j(?=[wm])", "m", classes)
    classes = re.sub("a(?!w)|(?<![wm])a", "p", classes)
    return [text[found.start() : found.end()] for found in _TOKEN.finditer(classes)]


def split_spaces(text: str) -> list[str]:
    """Return what stands between spaces; one that does not break, such as in ``10 000``, is of a word."""
    return [word for word in _SPACES.split(text) if word]


@functools.lru_cache(maxsize=2**18)
def numbers_of(word: str) -> tuple[int, ...]:
    """Return the numbers of a word: of itself, of its beginnings and endings, its shape, and its 3- and 4-grams.

    Upper and lower case count in the word as it is written and in its shape (``Xx.dd``) alone.
    """
    word = unicodedata.normalize("NFC", word)
    lower = word.casefold()
    marked = f"<{lower}>"
    found = [f"lower {lower}", f"word {word}", f"shape {_shape(word)}"]
    found += [f"first {lower[:n]}" for n in (1, 2, 3)] + [f"last {lower[-n:]}" for n in (1, 2, 3, 4)]
    found += [marked[start : start + n] for n in (3, 4) for start in range(len(marked) - n + 1)]
    kept = list(dict.fromkeys(found))[:GRAMS]
    return tuple(zlib.crc32(gram.encode("utf-8", "surrogatepass")) % (HASHES - 1) + 1 for gram in kept)


def _shape(word: str) -> str:
    """Return upper and lower case, digits and other characters of a word; of a run of one sort no more than two."""
    marks = "".join("X" if c.isupper() else "x" if c.isalpha() else "d" if c.isdigit() else c for c in word)
    return re.sub(r"(.)\1{2,}", r"\1\1", marks)
