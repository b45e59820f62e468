"""Entities as tags of tokens: reading the usual schemes, tags that go together, and counting entities.

In IOB2, an entity of type PER is ``B-PER`` at its first token and ``I-PER`` at the others; ``O`` is outside of any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Scheme = Literal["iob2", "iob1", "iobes", "bilou"]
"""``iob1``: ``B-`` only where an entity follows one of its type. ``iobes`` also marks last tokens (``E-``) and single
ones (``S-``); ``bilou`` calls these ``L-`` and ``U-``."""
OUTSIDE = "O"
LETTERS: dict[Scheme, str] = {"iob2": "BI", "iob1": "BI", "iobes": "BIES", "bilou": "BILU"}
_LAST_OR_SINGLE = {"E": "I", "L": "I", "S": "B", "U": "B"}


class TagError(ValueError):
    """A row's tag is not as it must be.

    Parameters
    ----------
    position : int
        Of its token, from 1.
    what : str
        What is wrong with it.
    """

    def __init__(self, position: int, what: str) -> None:
        super().__init__(what)
        self.position, self.what = position, what


def scheme_of(tags: set[str]) -> Scheme | None:
    """Return the scheme of all tags that occur; None if they are classes and mark no entities."""
    letters = {tag[0] for tag in tags if tag[1:2] == "-" and len(tag) > 2}
    if OUTSIDE not in tags or not letters & {"B", "I"}:
        return None
    if letters & {"L", "U"}:
        return "bilou"
    return "iobes" if letters & {"E", "S"} else "iob2"


def as_iob2(tags: Sequence[str], scheme: Scheme, missing: Sequence[str]) -> list[str]:
    """Return a row's tags in IOB2; a tag without a label stays as it is.

    Raises
    ------
    TagError
        For a tag that is none of the scheme's, or an ``I-`` that continues nothing. Behind a token without a label,
        an ``I-`` may continue what is not known.
    """
    found: list[str] = []
    before = OUTSIDE
    for position, tag in enumerate(tags, 1):
        if tag in missing or tag == OUTSIDE:
            found.append(tag)
            before = tag
            continue
        letter, dash, kind = tag.partition("-")
        if not dash or not kind or letter not in tuple(LETTERS[scheme]):
            letters = ", ".join(f"{one}-TYPE" for one in LETTERS[scheme])
            raise TagError(position, f"'{tag}' is not a tag of {scheme}, which has O, {letters}")
        continues = before in missing or before.partition("-")[2] == kind
        if scheme == "iob1":
            letter = "I" if letter == "I" and continues else "B"
        elif letter in "IEL" and not continues:
            raise TagError(position, f"'{tag}' continues no entity of type {kind}")
        found.append(f"{_LAST_OR_SINGLE.get(letter, letter)}-{kind}")
        before = OUTSIDE if letter in _LAST_OR_SINGLE else tag
    return found


@dataclass(frozen=True)
class Tags:
    """What the classes of a task mean as tags of IOB2.

    Parameters
    ----------
    types : list of str
        Of the entities, in order.
    of_class : list of int
        The type of each class, −1 for outside.
    begins : list of bool
        Whether a class is a ``B-``.
    """

    types: list[str]
    of_class: list[int]
    begins: list[bool]

    @classmethod
    def of(cls, classes: Sequence[str]) -> Tags:
        """Return the meaning of classes such as ``["B-PER", "I-PER", "O"]``."""
        kinds = [tag.partition("-")[2] for tag in classes]
        types = sorted({kind for kind in kinds if kind})
        return cls(types, [types.index(k) if k else -1 for k in kinds], [tag.startswith("B-") for tag in classes])

    def allowed(self) -> tuple[list[bool], list[list[bool]]]:
        """Return which classes a row may begin with, and which may follow which: an ``I-`` only its own type."""
        inside = [kind >= 0 and not begins for kind, begins in zip(self.of_class, self.begins, strict=True)]
        after = [[not i or self.of_class[a] == kind for kind, i in zip(self.of_class, inside, strict=True)]
                 for a in range(len(inside))]  # fmt: skip
        return [not i for i in inside], after


def best_path(output: torch.Tensor, first: Sequence[bool], after: Sequence[Sequence[bool]]) -> torch.Tensor:
    """Return the most probable of the rows of classes in which each may follow the one before (Viterbi 1967).

    Parameters
    ----------
    output : Tensor of shape (n, length, classes)
        Logarithms of odds; the probability of a row of classes is the product of theirs.
    first : sequence of bool
        Which classes a row may begin with.
    after : sequence of sequence of bool
        Which class (second) may follow which (first).

    Returns
    -------
    Tensor of int64, shape (n, length)
    """
    import torch

    scores = output.float().log_softmax(-1)
    barred = torch.tensor(after, device=output.device).logical_not()
    total = scores[:, 0].masked_fill(torch.tensor(first, device=output.device).logical_not(), -torch.inf)
    came = []
    for place in range(1, output.shape[1]):
        best, origin = (total.unsqueeze(2).masked_fill(barred, -torch.inf)).max(1)
        total = best + scores[:, place]
        came.append(origin)
    found = [total.argmax(1)]
    for origin in reversed(came):
        found.append(origin.gather(1, found[-1].unsqueeze(1)).squeeze(1))
    return torch.stack(found[::-1], 1)


@dataclass(frozen=True)
class EntityCounts:
    """Entities of each row and type: how many there are, were found, and both with the same ends; all (n, types)."""

    there: torch.Tensor
    found: torch.Tensor
    right: torch.Tensor


def count_entities(tags: Tags, truth: torch.Tensor, predicted: torch.Tensor) -> EntityCounts:
    """Count entities as seqeval does (``f1_score`` with its default mode, which is that of CoNLL's own script).

    Tokens without a label are taken out first. An ``I-`` that continues nothing begins an entity; an entity that was
    found is right if its type, its first and its last token are.

    Parameters
    ----------
    tags : Tags
    truth, predicted : Tensor of int, shape (n, length)
        Class numbers; below 0 in ``truth`` where there is no label.
    """
    import torch

    labelled = truth >= 0
    rows = torch.arange(len(truth), device=truth.device).unsqueeze(1).expand_as(truth)[labelled]
    kinds, begins = (torch.tensor(each, device=truth.device) for each in (tags.of_class, tags.begins))
    counts = []
    marks = []
    for classes in (truth[labelled].long(), predicted[labelled].long()):
        kind, begin = kinds[classes], begins[classes]
        same = torch.zeros_like(begin)
        same[1:] = (kind[1:] == kind[:-1]) & (rows[1:] == rows[:-1])
        starts = (kind >= 0) & (begin | ~same)
        ends = kind >= 0
        ends[:-1] &= ~(same[1:] & ~begin[1:])
        first, last = starts.nonzero()[:, 0], ends.nonzero()[:, 0]
        marks.append((first * (len(kind) + 1) + last) * (len(tags.types) + 1) + kind[first])
        counts.append(_per_row(rows[first], kind[first], len(truth), len(tags.types)))
    both = torch.isin(marks[0], marks[1], assume_unique=True)
    first = torch.div(marks[0][both], (len(rows) + 1) * (len(tags.types) + 1), rounding_mode="floor")
    kind = marks[0][both] % (len(tags.types) + 1)
    return EntityCounts(counts[0], counts[1], _per_row(rows[first], kind, len(truth), len(tags.types)))


def _per_row(rows: torch.Tensor, kinds: torch.Tensor, n: int, types: int) -> torch.Tensor:
    return (rows * types + kinds).bincount(minlength=n * types).view(n, types)
