"""Texts: cut into words, hashed, read from tables and CoNLL files, and kept in step with their tags."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_cli.config.errors import UserError
from mtl_cli.data.folding import Folding
from mtl_cli.data.split import SplitConfig
from mtl_cli.data.tables.features import FeatureConfig
from mtl_cli.data.text.config import Text
from mtl_cli.data.text.conll import documents_of, read_conll
from mtl_cli.data.text.reader import TextEncoder
from mtl_cli.data.text.rows import text_rows
from mtl_cli.data.text.words import GRAMS, HASHES, numbers_of, split_words
from mtl_cli.tasks.kinds.multiclass import Multiclass
from mtl_cli.tasks.kinds.token import Token
from tests.texts import conll, texts


def told(line: str) -> None:
    """Take a line."""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't panic: it's 5%!", ["Don't", "panic", ":", "it's", "5", "%", "!"]),
        ("'quoted' rock-n-roll @user_1", ["'", "quoted", "'", "rock", "-", "n", "-", "roll", "@", "user_1"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("شكرا جزيلا!", ["شكرا", "جزيلا", "!"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("你好 hello", ["你", "好", "hello"]),
        ("👨\u200d👩\u200d👧 👍🏽❤\ufe0f ok", ["👨\u200d👩\u200d👧", "👍🏽", "❤\ufe0f", "ok"]),
        ("e\u0301té", ["e\u0301té"]),
        (" \t\n", []),
        ("", []),
    ],
)
def test_words_of_many_scripts(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.text(max_size=30))
def test_every_letter_is_in_a_word_and_every_word_has_numbers(text: str) -> None:
    words = split_words(text)
    assert [c for c in "".join(words) if c.isalnum()] == [c for c in text if c.isalnum()]
    for word in words:
        numbers = numbers_of(word)
        assert 0 < len(numbers) <= GRAMS and all(0 < number < HASHES for number in numbers)


def test_numbers_do_not_depend_on_how_a_letter_is_encoded() -> None:
    assert numbers_of("e\u0301t") == numbers_of("ét")
    assert len(set(numbers_of("Paris")) & set(numbers_of("paris"))) == len(numbers_of("paris")) - 2, "word and shape"


def test_rows_are_padded_to_the_longest_of_a_batch() -> None:
    rows = text_rows([["a", "b", "a"], [], ["b"]])
    taken = rows.take(torch.tensor([0, 2]))
    assert isinstance(taken, torch.Tensor) and taken.shape == (2, 3, GRAMS)
    assert torch.equal(taken[0, 0], taken[0, 2]) and torch.equal(taken[0, 1], taken[1, 0])
    assert taken[1, 1:].eq(0).all()
    assert rows.take(torch.tensor([1])).shape == (1, 1, GRAMS), "an empty text is padding alone"
    assert rows.select(np.array([False, True, True])).lengths.tolist() == [0, 1]


def test_a_conll_file_becomes_a_row_per_text() -> None:
    text = "# newdoc id = d1\n# genre = web\n# text = New York\nNew\tPROPN\tB-LOC\nYork\tPROPN\tI-LOC\n\n\nYes INTJ O\n"
    table = read_conll(text, "x", ["text", "pos", "ner"], "text")
    assert table["text"].tolist() == ["New York", "Yes"]
    assert table["ner"].tolist() == ["B-LOC I-LOC", "O"]
    assert table["document"].tolist() == ["d1", "d1"]
    assert table["genre"].tolist()[0] == "web" and pd.isna(table["genre"].iloc[1])


@pytest.mark.parametrize(
    ("names", "documents"),
    [
        (["web-1-0001", "web-1-0002", "web-2-0001"], ["web-1", "web-1", "web-2"]),
        (["a_s1", "a_s2", "b.7"], ["a", "a", "b"]),
        (["t-1", "t-2", "t-3"], None),  # one document, or none
        (["a-1", "b-1", "c-1"], None),  # each a document of its own
        (["a-1", "b-1", "a-2"], None),  # not together
        (["a-2", "a-1", "b-1"], None),  # not in order
        (["a-1", None, "b-1", "b-2"], None),
        (["t0001", "t0002"], None),
    ],
)
def test_names_of_sentences_tell_of_documents(names: list[str | None], documents: list[str] | None) -> None:
    assert documents_of(names) == documents


def write_documents(folder: Path, documents: int) -> Path:
    """Write a CoNLL file of documents of three texts each, of which the last is the same in all."""
    table = texts(3 * documents)
    table["id"] = [f"doc{i // 3}-{i % 3}" for i in range(len(table))]
    table.loc[2::3, ["review", "upos", "entities"]] = ["Thanks", "INTJ", "O"]
    (folder / "d.conll").write_text(conll(table))
    return folder / "d.conll"


@pytest.mark.parametrize("folded", [False, True])
def test_texts_of_a_document_stay_in_one_part(tmp_path: Path, folded: bool) -> None:
    source = Text(path=str(write_documents(tmp_path, 40)), split=SplitConfig(test=0.2, val=0.2), id="sent_id")
    lines: list[str] = []
    found = source.prepare({"topic": Multiclass()}, lines.append, folding=Folding(4) if folded else None)
    parts = found.splits.assign(document=found.splits["sent_id"].str.replace(r"-\d$", "", regex=True))
    assert parts.groupby("document")["split"].nunique().eq(1).all()
    assert "the 120 texts are of 40 documents, each of which stays in one part" in lines[0]
    if folded:
        assert found.held_out is not None
        held = parts.assign(fold=-1)
        held.loc[found.held_out.rows, "fold"] = found.held_out.numbers[0]
        assert held.groupby("document")["fold"].nunique().eq(1).all()
        assert np.bincount(found.held_out.numbers[0]).tolist() == [24] * 4, (
            "equal texts do not tie all of them together"
        )


@pytest.mark.parametrize(
    ("documents", "keys"),
    [(40, {"documents": "apart"}), (29, {}), (40, {"split": SplitConfig(group="topic")})],
)
def test_documents_need_not_stay_together(tmp_path: Path, documents: int, keys: dict) -> None:
    source = Text(path=str(write_documents(tmp_path, documents)), **keys)
    lines: list[str] = []
    source.prepare({"upos": Token()}, lines.append)
    assert not any("documents" in line for line in lines)


def test_documents_that_are_labels_are_not_kept_together(tmp_path: Path) -> None:
    lines: list[str] = []
    Text(path=str(write_documents(tmp_path, 40))).prepare({"document": Multiclass()}, lines.append)
    assert not any("stays in one part" in line for line in lines)


def test_conll_u_has_names_of_its_own() -> None:
    line = "{}\t{}\t{}\tVERB\tVB\t_\t0\troot\t_\t_"
    text = "\n".join([line.format("1-2", "vámonos", "_"), line.format(1, "vamos", "ir"), line.format(2, "nos", "nos")])
    table = read_conll(text + "\n", "x", None, "text")
    assert table["text"].tolist() == ["vamos nos"]
    assert table["upos"].tolist() == ["VERB VERB"]
    assert "id" not in table.columns


def test_a_space_within_a_word_does_not_make_two() -> None:
    table = read_conll("10 000\tNUM\nmen\tNOUN\n", "x", None, "text")
    assert table["text"].tolist() == ["10\u00a0000 men"]
    assert Text(path="a.conll").token_encoder({}).texts(table, "x") == [["10\u00a0000", "men"]]


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("", None, "x: the file is empty"),
        ("# a = b\n\n", None, "x: holds no word"),
        ("a\tN\nb\n", None, "x: line 2 has 1 columns and the first has 2; each word needs a tag"),
        ("a\tN\nb\t\n", None, "x: line 2 has 1 columns and the first has 2"),
        ("a\nb\n", None, "x: has one column only"),
        ("a\tN\n", ["text"], "dataset.columns: names 1 columns, and x has 2"),
        ("# tag = 1\na\tN\n", None, "x: 'tag' is a column of tags, and a comment '# tag = …' too"),
    ],
)
def test_what_is_wrong_with_a_conll_file(text: str, columns: list[str] | None, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read_conll(text, "x", columns, "text")
    assert str(caught.value).startswith(message)


def test_one_table_in_every_form(tmp_path: Path) -> None:
    table = texts(20)
    columns = ["review", "upos", "entities"]
    (tmp_path / "a.conll").write_text(conll(table))
    table.to_csv(tmp_path / "a.csv", index=False)
    lists = table[columns].map(str.split).to_dict("records")
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lists)))
    pd.DataFrame(lists).to_parquet(tmp_path / "a.parquet")
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        found = Text(path=str(tmp_path / name), text="review").read(columns, told)
        pd.testing.assert_frame_equal(found[columns].astype(object), table[columns].astype(object))
    found = Text(path=str(tmp_path / "a.conll"), text="text").read([], told)
    assert found["text"].tolist() == table["review"].tolist()
    assert found["entities"].tolist() == table["entities"].tolist()
    assert found["topic"].tolist() == table["topic"].tolist()


def test_empty_texts_are_read_and_told() -> None:
    table = pd.DataFrame({"a": ["x y", None, "  "], "b": ["z", "w", None]})
    lines: list[str] = []
    encoder = TextEncoder(["a", "b"], None, "words", None, False)
    rows = encoder.encode(table, "t.csv")
    encoder.compare(table, rows, "t.csv", lines.append)
    assert lines == ["t.csv: 1 of 3 texts are empty"]
    assert rows.lengths.tolist() == [3, 1, 0]


def test_texts_are_cut_into_words_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts(50).to_csv(tmp_path / "t.csv", index=False)
    cuts: list[int] = []
    cut = TextEncoder.texts

    def counted(encoder: TextEncoder, table: pd.DataFrame, where: str) -> list[list[str]]:
        cuts.append(len(table))
        return cut(encoder, table, where)

    monkeypatch.setattr(TextEncoder, "texts", counted)
    source = Text(path=str(tmp_path / "t.csv"), text="review", features=FeatureConfig(exclude=["upos", "entities"]))
    found = source.prepare({"topic": Multiclass()}, told)
    assert cuts == [50] and sum(map(len, found.parts.values())) == 50


def test_a_longer_text_is_refused_or_cut_with_its_tags() -> None:
    table = pd.DataFrame({"a": ["x y z", "x"], "id": ["p", "q"]})
    with pytest.raises(UserError) as caught:
        TextEncoder(["a"], "id", "spaces", 2, False).encode(table, "t.csv")
    assert str(caught.value).startswith("t.csv: the text of row 1 ('p') has 3 words, more than the 2 allowed")
    assert "dataset.max_length=3" in str(caught.value) and "dataset.truncate=true" in str(caught.value)
    rows = TextEncoder(["a"], "id", "spaces", 2, True).encode(table, "t.csv")
    assert rows.lengths.tolist() == [2, 1]
    assert rows.align(pd.Series(["A B C", None]), table["id"], "tasks.t").tolist() == ["A B", None]
    with pytest.raises(UserError) as caught:
        rows.align(pd.Series(["A B C", "A B"]), table["id"], "tasks.t")
    assert str(caught.value).startswith("tasks.t: the text of row 2 ('q') has 1 words and 2 tags")
