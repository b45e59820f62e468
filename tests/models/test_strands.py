"""Both strands of DNA: the reverse complement itself, predictions that do not depend on the strand, and k-mers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from mtl_cli.config.errors import UserError
from mtl_cli.config.schema import Model
from mtl_cli.data.inputs import InputSpec
from mtl_cli.data.sequences.reader import SequenceEncoder
from mtl_cli.data.sequences.residues import LETTERS, base_shares, complements
from mtl_cli.models.kmer_layers import KmerTrunk
from mtl_cli.models.network import Shape, build_network
from mtl_cli.models.sequence_layers import BaseEmbedding
from mtl_cli.models.strands import Augmented, Tied, reverse_complement
from mtl_cli.models.trunk import TrunkConfig
from mtl_cli.models.trunks.sequence_cnn import SequenceCNN
from mtl_cli.models.trunks.sequence_kmers import SequenceKmers

TRUNKS = [
    *(SequenceCNN(width=8, blocks=2, pooling=how, reverse_complement="tied") for how in ("max", "mean", "attention")),
    SequenceKmers(k=3, hidden=[8, 8], reverse_complement="tied"),
]


def spec_of(alphabet: str) -> InputSpec:
    return SequenceEncoder("s", None, None, False, letters=LETTERS[alphabet]).spec


def numbers(letters: str, *texts: str) -> torch.Tensor:
    length = max(map(len, texts))
    return torch.tensor([[letters.index(letter) + 1 for letter in text] + [0] * (length - len(text)) for text in texts])


@pytest.mark.parametrize("alphabet", ["dna", "rna"])
def test_the_other_strand_of_every_letter(alphabet: str) -> None:
    letters = LETTERS[alphabet]
    t = letters[3]
    rows = numbers(letters, "AACG", f"RYKM{t}BDN", "W")
    expected = numbers(letters, f"CG{t}{t}", "NHVAKMRY", "W")
    complement = torch.tensor(complements(letters))
    assert torch.equal(reverse_complement(rows, complement), expected)
    assert torch.equal(reverse_complement(expected, complement), rows), "twice is the same"


@pytest.mark.parametrize("trunk", TRUNKS, ids=lambda trunk: f"{type(trunk).__name__} {vars(trunk).get('pooling', '')}")
def test_predictions_are_equal_for_both_strands_where_they_are_tied(trunk: TrunkConfig) -> None:
    torch.manual_seed(0)
    spec = spec_of("dna")
    model = build_network(Model(trunk=trunk), spec, {"t": Shape(3)}).eval()
    random = np.random.default_rng(0)
    rows = numbers(LETTERS["dna"], *("".join(random.choice(list("ACGTN"), n)) for n in (30, 12, 21)))
    other = reverse_complement(rows, torch.tensor(spec.complement))
    with torch.no_grad():
        torch.testing.assert_close(model(rows)["t"], model(other)["t"], atol=1e-6, rtol=1e-6)
        assert not torch.allclose(model(rows[:1])["t"], model(rows[1:2, :12])["t"]), "they do depend on the sequence"


def test_an_unknown_letter_is_the_mean_of_the_bases_that_it_may_be() -> None:
    letters = LETTERS["rna"]
    embedding = BaseEmbedding(base_shares(letters) or [], 5)
    a, c, g, u, n, y, padding = embedding(torch.tensor([[*(letters.index(one) + 1 for one in "ACGUNY"), 0]]))[0]
    torch.testing.assert_close(n, (a + c + g + u) / 4)
    torch.testing.assert_close(y, (c + u) / 2)
    assert not padding.any()


def test_half_of_the_training_rows_are_read_from_the_other_strand() -> None:
    complement = complements(LETTERS["dna"])
    rows = numbers(LETTERS["dna"], *["AACGT"] * 400)
    module = Augmented(torch.nn.Identity(), complement)
    torch.manual_seed(0)
    turned = (module(rows) != rows).any(1).float().mean()
    assert 0.4 < turned < 0.6
    assert torch.equal(module.eval()(rows), rows)


def test_the_sum_of_vectors_is_the_counts_of_kmers_times_a_matrix() -> None:
    torch.manual_seed(0)
    letters = LETTERS["dna"]
    trunk = KmerTrunk(4, 3, [5, 4], "relu", 0.0)
    texts = ["ACGTACGTAA", "ACNGTTT", "AC"]
    found = trunk.numbers(numbers(letters, *texts))
    for row, text in zip(found.tolist(), texts, strict=True):
        words = [text[i : i + 3] for i in range(len(text) - 2)]
        known = Counter(word for word in words if set(word) <= set("ACGT"))
        by_number = Counter(number for number in row if number)
        value = lambda word: sum("ACGT".index(c) * 4 ** (2 - i) for i, c in enumerate(word)) + 1  # noqa: E731
        assert by_number == Counter({value(word): count for word, count in known.items()})  # type: ignore[no-untyped-call]


def test_proteins_have_no_other_strand_and_kmers_can_be_too_many() -> None:
    with pytest.raises(UserError, match="reverse_complement: is for DNA and RNA, and these sequences are proteins"):
        SequenceCNN(reverse_complement="tied").build(spec_of("protein"))
    with pytest.raises(UserError, match=r"model.trunk.k: is 6: there are 20\^6 k-mers; at most 4"):
        SequenceKmers(k=6).build(spec_of("protein"))
    assert isinstance(SequenceKmers(reverse_complement="tied").build(spec_of("rna")).module, Tied)
