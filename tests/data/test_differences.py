"""Where sequences differ from a reference, and which reference a family has."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mtl_cli.data.sequences.differences import differences, find_reference
from mtl_cli.data.sequences.residues import VOCABULARY

REFERENCE = "MKLVAGTWYE"


def numbers(*texts: str) -> torch.Tensor:
    length = max(map(len, texts))
    rows = [[VOCABULARY.index(letter) for letter in text] + [0] * (length - len(text)) for text in texts]
    return torch.tensor(rows)


def told(text: str, *others: str) -> list[str]:
    """The differences of the first text in words; others only fill the batch."""
    found = differences(numbers(text, *others), numbers(REFERENCE)[0])
    name = lambda token: "-" if token == 0 else VOCABULARY[token]  # noqa: E731
    entries = zip(*(values.tolist() for values in found), strict=True)
    return sorted(f"{name(was)}{place}{name(now)}" for row, place, was, now in entries if row == 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MKLVAGTWYE", []),
        ("MKLVCGTWYE", ["A4C"]),
        ("AKLVAGTWYC", ["E9C", "M0A"]),
        ("MKLVAGTWY", ["E9-"]),
        ("KLVAGTWYE", ["M0-"]),
        ("MKLVGTWYE", ["A4-"]),
        ("MKLCVAGTWYE", ["-3C"]),
        ("CMKLVAGTWYE", ["-0C"]),
        ("MKLVAGTWYEC", ["-10C"]),
        ("MKCVAGWYE", ["L2C", "T6-"]),
        ("MKLVAPPGTWYC", ["-5P", "-5P", "E9C"]),
    ],
)
def test_substitutions_and_one_gap(text: str, expected: list[str]) -> None:
    assert told(text) == expected
    assert told(text, "MKLVAGTWYEMKLV", "MK") == expected, "whatever the batch is padded to"


def test_rows_come_in_order_and_a_row_without_differences_has_no_entry() -> None:
    rows = numbers("MKLVAGTWYC", REFERENCE, "MKVAGTWYE", "CKLVAGTWYE")
    assert differences(rows, numbers(REFERENCE)[0]).row.tolist() == [0, 2, 3]


def test_the_reference_is_the_sequence_that_a_family_was_made_from() -> None:
    """Also where most rows have a residue more, each at another place."""
    random = np.random.default_rng(0)
    letters = "ACDEFGHIKLMNPQRSTVWY"
    wild = "".join(random.choice(list(letters), 60))
    texts = []
    for row in range(300):
        place = int(random.integers(60))
        texts.append(wild[:place] + str(random.choice(list(letters))) + wild[place + (row % 5 < 2) :])
    reference, mean = find_reference(numbers(*texts))
    assert "".join(VOCABULARY[token] for token in reference) == wild
    assert 0.9 < mean <= 1
    unrelated = ["".join(random.choice(list(letters), 60)) for _ in range(300)]
    assert find_reference(numbers(*unrelated))[1] > 50
