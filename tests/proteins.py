"""Generated proteins whose labels can be learnt: `python -m tests.proteins FOLDER` writes them.

- ``family``: one of four, by a motif of eight residues, of which one in ten is changed, anywhere in the sequence.
- ``terms``: which of two shorter motifs there are, as ``metal|membrane``.
- ``stability``: a weighted mean over the residues, with noise.
- ``structure``: H, E or C for each residue, by what most of the seven residues around it are.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
MOTIFS = {"kinase": "HRDLKPEN", "globin": "WGKVNVDE", "lectin": "QWNDCPYY", "protease": "GDSGGPMF"}
TERMS = {"metal": "CHHC", "membrane": "GWWG"}
KINDS = {"H": "AELMQKRH", "E": "VIYFWT", "C": "GPNDSC"}
WEIGHTS = dict(zip("ACDEFGHIKLMNPQRSTVWY", np.linspace(-2, 2, 20), strict=True))


def sequence(random: np.random.Generator, length: int) -> list[str]:
    """Stretches of residues that are mostly of one kind."""
    letters: list[str] = []
    while len(letters) < length:
        kind = random.choice(list(KINDS))
        for _ in range(random.integers(5, 15)):
            letters.append(str(random.choice(list(KINDS[kind])) if random.random() < 0.8 else random.choice(LETTERS)))
    return letters[:length]


def put(random: np.random.Generator, letters: list[str], motif: str, start: int) -> None:
    """Put a motif into a sequence, one in ten of its residues changed."""
    for i, letter in enumerate(motif):
        letters[start + i] = letter if random.random() < 0.9 else str(random.choice(LETTERS))


def structure(text: str) -> str:
    """The states of a sequence."""
    kinds = np.array([next((k for k, letters in KINDS.items() if c in letters), "C") for c in text])
    states = []
    for i in range(len(text)):
        window = kinds[max(0, i - 3) : i + 4]
        states.append(max("HEC", key=lambda kind: (window == kind).sum()))
    return "".join(states)


def proteins(rows: int = 400, seed: int = 0, shortest: int = 30, longest: int = 120) -> pd.DataFrame:
    """A table of generated proteins, without missing labels."""
    random = np.random.default_rng(seed)
    found = []
    for row in range(rows):
        letters = sequence(random, int(random.integers(shortest, longest + 1)))
        family = str(random.choice(list(MOTIFS)))
        thirds = random.permutation(3)  # the motifs do not overlap
        size = len(letters) // 3
        place = lambda third, motif: int(third * size + random.integers(0, size - len(motif) + 1))  # noqa: B023, E731
        put(random, letters, MOTIFS[family], place(thirds[0], MOTIFS[family]))
        terms = [term for term in TERMS if random.random() < 0.5]
        for term, third in zip(terms, thirds[1:], strict=False):
            put(random, letters, TERMS[term], place(third, TERMS[term]))
        text = "".join(letters)
        stability = np.mean([WEIGHTS[letter] for letter in text]) + random.normal(0, 0.05)
        found.append((f"P{row:05}", text, family, "|".join(terms) or "none", stability, structure(text)))
    return pd.DataFrame(found, columns=["id", "sequence", "family", "terms", "stability", "structure"])


def variants(rows: int = 300, seed: int = 0, length: int = 50, most: int = 3, indels: bool = False) -> pd.DataFrame:
    """A table of variants of one protein, each of which differs from it in one to ``most`` places.

    ``binding`` falls with each difference, the more the nearer it is to the middle and the less alike the residues are;
    ``folds`` is whether it stays above its median. With ``indels``, a quarter lacks a residue or has one more.
    """
    random = np.random.default_rng(seed)
    wild = random.choice(LETTERS, length)
    cost = np.exp(-(((np.arange(length) - length / 2) / (length / 6)) ** 2))
    found = []
    for row in range(rows):
        letters, binding = wild.copy(), 0.0
        for place in random.choice(length, random.integers(1, most + 1), replace=False):
            letters[place] = random.choice(LETTERS[wild[place] != LETTERS])
            binding -= cost[place] * (0.5 + abs(WEIGHTS[letters[place]] - WEIGHTS[wild[place]]))
        text = "".join(letters)
        if indels and random.random() < 0.25:
            place = int(random.integers(length))
            extra = str(random.choice(LETTERS)) if random.random() < 0.5 else ""
            text = text[:place] + extra + text[place + (not extra) :]
            binding -= 2 * cost[place]
        found.append((f"V{row:05}", text, binding + random.normal(0, 0.1)))
    table = pd.DataFrame(found, columns=["id", "sequence", "binding"])
    return table.assign(folds=np.where(table["binding"] > table["binding"].median(), "yes", "no"))


def write(folder: Path, table: pd.DataFrame) -> None:
    """Write ``proteins.fasta`` and ``labels.csv``, the same as one table, ``proteins.csv``, and ``variants.csv``."""
    table.to_csv(folder / "proteins.csv", index=False)
    table.drop(columns="sequence").to_csv(folder / "labels.csv", index=False)
    records = [f">{name}\n{text}\n" for name, text in zip(table["id"], table["sequence"], strict=True)]
    (folder / "proteins.fasta").write_text("".join(records))
    variants().to_csv(folder / "variants.csv", index=False)


if __name__ == "__main__":
    write(Path(sys.argv[1]), proteins(1000))
