"""Generated DNA whose labels can be learnt: `python -m tests.dna FOLDER` writes it.

- ``bound``: whether there is a motif of eight bases, on either strand.
- ``content``: the share of G and C, with noise.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

MOTIF = "TGACGTCC"
PAIRS = str.maketrans("ACGTUN", "TGCAAN")


def other_strand(text: str) -> str:
    """The reverse complement of DNA."""
    return text.translate(PAIRS)[::-1]


def dna(rows: int = 400, seed: int = 0, shortest: int = 40, longest: int = 80) -> pd.DataFrame:
    """A table of generated DNA, a base in a hundred unknown."""
    random = np.random.default_rng(seed)
    found = []
    for row in range(rows):
        share = random.uniform(0.3, 0.7)
        odds = [(1 - share) / 2, share / 2, share / 2, (1 - share) / 2]
        letters = random.choice(list("ACGT"), int(random.integers(shortest, longest + 1)), p=odds)
        letters[random.random(len(letters)) < 0.01] = "N"
        text = "".join(letters)
        bound = random.random() < 0.5
        if bound:
            place = int(random.integers(len(text) - len(MOTIF)))
            motif = MOTIF if random.random() < 0.5 else other_strand(MOTIF)
            text = text[:place] + motif + text[place + len(MOTIF) :]
        content = (text.count("G") + text.count("C")) / len(text) + random.normal(0, 0.02)
        found.append((f"D{row:05}", text, "yes" if bound else "no", content))
    return pd.DataFrame(found, columns=["id", "sequence", "bound", "content"])


def write(folder: Path, table: pd.DataFrame) -> None:
    """Write ``dna.fasta``, labels in its headers, and ``dna.csv``."""
    table.to_csv(folder / "dna.csv", index=False)
    records = [f">{row.id} bound={row.bound} content={row.content:.4f}\n{row.sequence}\n" for row in table.itertuples()]
    (folder / "dna.fasta").write_text("".join(records))


if __name__ == "__main__":
    write(Path(sys.argv[1]), dna(1000))
