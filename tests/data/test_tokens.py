"""Sequences as token numbers: what is legal, padding, batches of similar lengths."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_cli.config.errors import UserError
from mtl_cli.data.sequences import rows as module
from mtl_cli.data.sequences.reader import SequenceEncoder
from mtl_cli.data.sequences.residues import RESIDUES, VOCABULARY, are_nucleotides, encode
from mtl_cli.data.sequences.rows import LengthOrder, TokenRows

CPU = torch.device("cpu")


def rows_of(lengths: list[int], seed: int = 0) -> TokenRows:
    random = np.random.default_rng(seed)
    return TokenRows(torch.from_numpy(random.integers(1, 27, sum(lengths)).astype("uint8")), np.array(lengths))


def test_residues_are_numbered_from_1_in_either_case_and_a_stop_at_the_end_is_left_out() -> None:
    tokens, lengths, _ = encode(pd.Series([RESIDUES, "acdx*", " MK "]), None, "x")
    assert lengths.tolist() == [26, 4, 2]
    assert [VOCABULARY[token] for token in tokens] == list(f"{RESIDUES}ACDXMK")
    assert tokens.min() == 1, "0 is padding"
    assert tokens.dtype == np.uint8


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        (
            ["MK", "MK1L"],
            "x: '1' at position 3 of the sequence of row 2 ('b') is not a residue; a residue is one of ACDEF",
        ),
        (["M-K", "MK"], "x: '-' at position 2 of the sequence of row 1 ('a') is not a residue; take gaps out"),
        (
            ["MK", "M*K"],
            "x: 1 of 2 sequences hold a stop, '*', before their end; the first is at position 2 of the sequence of row"
            " 2 ('b'); dataset.stops=keep reads it as a letter, cut ends a sequence there, drop leaves such rows out",
        ),
        (["MKé", "MK"], "x: 'é' at position 3 of the sequence of row 1 ('a') is not a residue"),
        (["MK", ""], "x: the sequence of row 2 ('b') has no residue"),
        (["*", "MK"], "x: the sequence of row 1 ('a') has no residue"),
        (["MK", None], "x: the sequence of row 2 ('b') has no residue"),
    ],
)
def test_what_is_no_residue_is_named_with_its_row_and_position(sequences: list, message: str) -> None:
    with pytest.raises(UserError) as caught:
        encode(pd.Series(sequences), pd.Series(["a", "b"]), "x")
    assert str(caught.value).startswith(message)


def test_nucleotides_are_noticed() -> None:
    assert are_nucleotides(pd.Series(["ACGT" * 30]))
    assert not are_nucleotides(pd.Series(["ACGTM" * 30]))


def test_a_batch_is_padded_to_its_longest_row() -> None:
    rows = TokenRows(torch.tensor([1, 2, 3, 4, 5, 6], dtype=torch.uint8), np.array([1, 3, 2]))
    assert rows.take(torch.tensor([2, 0])).tolist() == [[5, 6], [1, 0]]
    assert rows.take(slice(None)).tolist() == [[1, 0, 0], [2, 3, 4], [5, 6, 0]]
    assert rows.select(np.array([False, True, True])).take(slice(None)).tolist() == [[2, 3, 4], [5, 6, 0]]
    assert rows.take(slice(0, 0)).shape == (0, 1)
    assert rows.tokens.dtype == torch.uint8, "a byte a residue in memory"


@settings(derandomize=True, max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=120), st.integers(1, 40), st.integers(1, 3), st.integers(0, 9)
)
def test_every_row_comes_once_an_epoch(lengths: list[int], batch_size: int, smallest: int, seed: int) -> None:
    order = rows_of(lengths).order(batch_size, smallest, seed, CPU)
    for _ in range(2):
        batches = list(order)
        assert len(batches) == len(order)
        seen = torch.cat(batches).tolist() if batches else []
        assert len(set(seen)) == len(seen)
        rest = len(lengths) % min(batch_size, len(lengths))
        assert len(lengths) - len(seen) == (rest if rest < smallest else 0)
        assert all(len(batch) <= batch_size for batch in batches)


def test_the_seed_fixes_the_order_and_epochs_differ() -> None:
    rows = rows_of(list(np.random.default_rng(0).integers(30, 400, 300)))
    first, again, other = (rows.order(16, 1, seed, CPU) for seed in (0, 0, 1))
    state = torch.random.get_rng_state()
    epochs = [[batch.tolist() for batch in first] for _ in range(2)]
    assert epochs == [[batch.tolist() for batch in again] for _ in range(2)]
    assert epochs[0] != [batch.tolist() for batch in other]
    assert {frozenset(batch) for batch in epochs[0]} != {frozenset(batch) for batch in epochs[1]}, "other batches"
    assert torch.equal(torch.random.get_rng_state(), state), "torch's own generator is left alone"


def test_little_of_a_batch_is_padding() -> None:
    """Lengths as of proteins (log-normal, 30 to 1022): under a tenth, where shuffled rows are half padding."""
    lengths = np.random.default_rng(0).lognormal(5.6, 0.6, 5000).clip(30, 1022).astype("int64")
    buckets = LengthOrder(torch.from_numpy(lengths), 32, 1, seed=0)
    shuffled = torch.randperm(5000, generator=torch.Generator().manual_seed(0)).split(32)

    def padding(batches: list[torch.Tensor]) -> float:
        size = sum(len(batch) * int(lengths[batch].max()) for batch in batches)
        return 1 - sum(int(lengths[batch].sum()) for batch in batches) / size

    assert padding(list(buckets)) < 0.1
    assert padding(list(shuffled)) > 0.5


def test_pieces_for_evaluation_hold_about_as_many_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 500)
    lengths = [*np.random.default_rng(0).integers(1, 90, 200).tolist(), 700]
    rows = rows_of(lengths)
    chunks = rows.chunks()
    assert sorted(torch.cat(chunks).tolist()) == list(range(201))
    sizes = [rows.take(chunk).numel() for chunk in chunks]
    assert max(sizes[:-1]) <= 500
    assert sizes[-1] == 700, "a row that is longer goes alone"
    assert sum(sizes) < 1.1 * sum(lengths)


def test_labels_of_residues_are_cut_with_the_sequence_and_must_be_as_many() -> None:
    table = pd.DataFrame({"s": ["MKLV", "MK"], "id": ["a", "b"]})
    rows = SequenceEncoder("s", "id", 3, truncate=True).encode(table, "x")
    assert rows.take(slice(None)).shape == (2, 3)
    labels = pd.Series(["HHEC", None])
    assert rows.align(labels, table["id"], "tasks.t").tolist() == ["HHE", None]
    with pytest.raises(UserError, match=r"tasks.t: the sequence of row 1 \('a'\) has 4 residues and 3 labels"):
        rows.align(pd.Series(["HHE", "HH"]), table["id"], "tasks.t")


def test_a_longer_sequence_is_an_error_that_names_the_ways_out() -> None:
    table = pd.DataFrame({"s": ["MK", "MKLV"]})
    with pytest.raises(UserError) as caught:
        SequenceEncoder("s", None, 3, truncate=False).encode(table, "x.csv")
    message = str(caught.value)
    assert message.startswith("x.csv: the sequence of row 2 has 4 residues, more than the 3 allowed")
    assert "dataset.max_length=4" in message
    assert "dataset.truncate=true" in message
