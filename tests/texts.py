"""Generated texts whose labels can be learnt: `python -m tests.texts FOLDER` writes them.

- ``topic``: food, travel or work, by the nouns.
- ``rating``: by the adjectives, and by the product's price beside the text; ``recommended``: whether it is high.
- ``upos``: each word's part of speech.
- ``entities``: people of one or two words, and places, in IOB2.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

NOUNS = {
    "food": ["soup", "bread", "dinner", "kitchen", "cheese"],
    "travel": ["train", "hotel", "beach", "ticket", "airport"],
    "work": ["office", "meeting", "salary", "colleague", "project"],
}
GOOD, BAD = ["great", "lovely", "excellent", "pleasant"], ["awful", "dirty", "broken", "terrible"]
VERBS = ["liked", "found", "missed", "described", "visited"]
PEOPLE = [["Anna"], ["Boris", "Lind"], ["Clara"], ["Dmitri", "Okafor"], ["Elif"], ["Farid", "Sousa"]]
PLACES = [["Lisbon"], ["New", "Delhi"], ["Oslo"], ["Cape", "Town"]]


def sentence(random: np.random.Generator) -> tuple[list[tuple[str, str, str]], str, int]:
    """Return the words with their tags, the topic, and how many more adjectives are good than bad."""
    topic = str(random.choice(list(NOUNS)))
    mood = 0
    words: list[tuple[str, str, str]] = []

    def add(name: list[str], kind: str) -> None:
        words.extend((word, "PROPN", f"{'I' if i else 'B'}-{kind}") for i, word in enumerate(name))

    add(PEOPLE[random.integers(len(PEOPLE))], "PER")
    for _ in range(random.integers(1, 4)):
        good = bool(random.random() < 0.5)
        mood += 1 if good else -1
        words.append((str(random.choice(VERBS)), "VERB", "O"))
        words.append(("the", "DET", "O"))
        words.append((str(random.choice(GOOD if good else BAD)), "ADJ", "O"))
        words.append((str(random.choice(NOUNS[topic])), "NOUN", "O"))
        if random.random() < 0.4:
            words.append(("in", "ADP", "O"))
            add(PLACES[random.integers(len(PLACES))], "LOC")
        words.append(("and", "CCONJ", "O"))
    words[-1] = (".", "PUNCT", "O")
    return words, topic, mood


def texts(rows: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Return a table of a row per text."""
    random = np.random.default_rng(seed)
    made = [sentence(random) for _ in range(rows)]
    price = random.uniform(5, 50, rows).round(2)
    rating = np.array([mood for _, _, mood in made]) - 0.05 * (price - 27)
    return pd.DataFrame(
        {
            "id": [f"t{i:04}" for i in range(rows)],
            "review": [" ".join(word for word, _, _ in words) for words, _, _ in made],
            "price": price,
            "shop": random.choice(["north", "south"], rows),
            "rating": rating.round(3),
            "recommended": np.where(rating > 0, "yes", "no"),
            "topic": [topic for _, topic, _ in made],
            "upos": [" ".join(tag for _, tag, _ in words) for words, _, _ in made],
            "entities": [" ".join(tag for _, _, tag in words) for words, _, _ in made],
        }
    )


def conll(table: pd.DataFrame) -> str:
    """Return the texts as a CoNLL file of words, parts of speech and entities, with the topic in a comment."""
    lines = ["# global.columns = TEXT UPOS ENTITIES"]
    for name, topic, *columns in table[["id", "topic", "review", "upos", "entities"]].itertuples(index=False):
        lines += [f"# sent_id = {name}", f"# topic = {topic}"]
        lines += ["\t".join(cells) for cells in zip(*(column.split() for column in columns), strict=True)]
        lines.append("")
    return "\n".join(lines) + "\n"


def write(folder: Path, table: pd.DataFrame) -> None:
    """Write ``reviews.csv`` and ``news.conll``."""
    table.to_csv(folder / "reviews.csv", index=False)
    (folder / "news.conll").write_text(conll(table), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]), texts())
