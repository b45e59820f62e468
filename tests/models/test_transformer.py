"""Encoders of texts as trunks, on a tiny BERT and RoBERTa that are made here, against transformers itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from torch import nn
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, RobertaConfig, RobertaModel

from mtl_cli.config.errors import UserError
from mtl_cli.data.text.config import Text
from mtl_cli.data.text.pieces import Pieces, tokenizer_text
from mtl_cli.data.text.reader import TextEncoder
from mtl_cli.models.transformer.layers import TransformerTrunk, windows_of
from mtl_cli.models.trunks.transformer import Transformer
from mtl_cli.models.tuning import LowRank

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WHOLE = ["the", "and", "an", "##na", "##er", "in"]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS, ".", *(f"##{letter}" for letter in LETTERS), *WHOLE]
TEXTS = ["Anna the soup", "in an oven and .", "", "supercalifragilistic 😀 x"]


def save_tiny(folder: Path, positions: int = 40) -> Path:
    """Save a two-layer BERT with random weights, large enough for neighbours to matter, and its tokenizer."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(PIECES), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=positions, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        initializer_range=0.3,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    tokenizer = Tokenizer(WordPiece({piece: i for i, piece in enumerate(PIECES)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]")
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("bert") / "tiny")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def encoder_for(folder: Path) -> TextEncoder:
    return TextEncoder(["text"], None, "spaces", None, False, tokenizer=tokenizer_text(str(folder)))


def rows_of(folder: Path, lines: list[str]):
    return encoder_for(folder).encode(pd.DataFrame({"text": [line.lower() for line in lines]}), "x")


def trunk_of(folder: Path, **keys) -> TransformerTrunk:
    torch.manual_seed(1)
    module = Transformer(pretrained=str(folder), **keys).build(encoder_for(folder).spec).module
    assert isinstance(module, TransformerTrunk)
    return module.eval()


def test_words_become_pieces_and_remember_where_they_begin(tiny: Path) -> None:
    rows = rows_of(tiny, TEXTS)
    assert rows.lengths.tolist() == [3, 5, 0, 3]
    taken = rows.take(torch.tensor([0, 2]))
    names = [[PIECES[n - 1] for n in row if n] for row in taken[:, :, 0].tolist()]
    assert names == [["an", "##na", "the", "s", "##o", "##u", "##p"], []]
    assert taken[0, :, 1].tolist() == [1, 0, 1, 1, 0, 0, 0]
    spec = encoder_for(tiny).spec
    assert (spec.kind, spec.shape, spec.before, spec.behind) == ("pieces", (len(PIECES),), [2], [3])


def test_states_are_those_of_transformers(tiny: Path) -> None:
    """At the first mark and at every piece of each row, whatever fills the batch."""
    trunk, rows = trunk_of(tiny, hidden=[]), rows_of(tiny, TEXTS)
    bert = BertModel.from_pretrained(tiny).eval()
    pieces = rows.take(slice(None))
    found = trunk.states(pieces[:, :, 0])
    words = trunk(pieces)["token"]
    for i in range(len(TEXTS)):
        own = [n - 1 for n in pieces[i, :, 0].tolist() if n]
        with torch.no_grad():
            expected = bert(input_ids=torch.tensor([[2, *own, 3]])).last_hidden_state[0]
        torch.testing.assert_close(found[i, : len(own) + 1], expected[:-1], rtol=1e-4, atol=1e-5)
        begins = pieces[i, : len(own), 1].bool()
        torch.testing.assert_close(words[i, : rows.lengths[i]], expected[1:-1][begins], rtol=1e-4, atol=1e-5)
        assert words[i, rows.lengths[i] :].eq(0).all()


def test_a_row_does_not_depend_on_the_others(tiny: Path) -> None:
    for pooling in ("mean", "cls", "attention"):
        trunk, rows = trunk_of(tiny, pooling=pooling), rows_of(tiny, TEXTS)
        whole = trunk(rows.take(slice(None)))
        assert torch.isfinite(whole["row"]).all()
        for i in range(len(TEXTS)):
            alone = trunk(rows.take(torch.tensor([i])))
            torch.testing.assert_close(alone["row"][0], whole["row"][i], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("length", "room"), [(5, 5), (6, 5), (23, 5), (24, 6), (100, 7), (3, 2), (0, 4)])
def test_windows_cover_each_piece_once_and_keep_it_from_where_it_is_far_from_a_cut(length: int, room: int) -> None:
    windows = windows_of([length], room)
    kept = [piece for _, _, _, low, high in windows for piece in range(low, high)]
    assert kept == list(range(length))
    for _, start, end, low, high in windows:
        assert start <= low and high <= end and end - start <= room
        if start > 0:
            assert low - start >= room // 4 or room < 4, "what stands before it is seen too"


def test_a_long_text_is_seen_through_windows(tiny: Path) -> None:
    lines = ["the soup and an oven in " * 6, "an oven"]
    rows = rows_of(tiny, lines)
    trunk = trunk_of(tiny, hidden=[], window=20)
    pieces = rows.take(slice(None))[:, :, 0]
    found = trunk.states(pieces)
    for row, start, end, low, high in windows_of((pieces > 0).sum(1).tolist(), 18):
        alone = trunk._encode(pieces[row : row + 1, start:end])[0, 1:]
        torch.testing.assert_close(
            found[row, 1 + low : 1 + high], alone[low - start : high - start], rtol=1e-4, atol=1e-5
        )
    short = trunk.states(pieces[1:, :5])
    torch.testing.assert_close(found[1, : short.shape[1]], short[0], rtol=1e-4, atol=1e-5)
    assert torch.isfinite(trunk_of(tiny)(rows.take(slice(None)))["row"]).all(), "longer than the encoder's positions"


@pytest.mark.parametrize("tune", ["frozen", "last", "lora", "all"])
def test_what_is_trained(tiny: Path, tune: str) -> None:
    built = Transformer(pretrained=str(tiny), tune=tune, last=1).build(encoder_for(tiny).spec)
    trained = {name for name, p in built.module.backbone.named_parameters() if p.requires_grad}
    every = {name for name, _ in built.module.backbone.named_parameters()}
    expected = {
        "frozen": set(), "all": every, "last": {name for name in every if ".layer.1." in name},
        "lora": {name for name in every if "lora" in name},
    }[tune]  # fmt: skip
    assert trained == expected and (tune == "frozen") == (not expected)
    built.module.train()
    found = built.module(rows_of(tiny, TEXTS).take(slice(None)))
    (found["row"].square().sum() + found["token"].square().sum()).backward()
    lacking = {name for name, p in built.module.named_parameters() if p.requires_grad and p.grad is None}
    assert not lacking
    assert built.last_shared_layer is built.module.last_hidden


def test_without_layers_above_it_the_last_layer_that_is_trained_is_shared(tiny: Path) -> None:
    spec = encoder_for(tiny).spec
    for tune in ("last", "lora"):
        built = Transformer(pretrained=str(tiny), tune=tune, hidden=[]).build(spec)
        assert isinstance(built.last_shared_layer, nn.Linear) and built.last_shared_layer.weight.requires_grad
    assert not Transformer(pretrained=str(tiny), hidden=[]).shares_layers


def test_the_cache_gives_what_the_encoder_gives(tiny: Path, tmp_path: Path) -> None:
    rows = rows_of(tiny, TEXTS)
    plain, cached = trunk_of(tiny), trunk_of(tiny, cache=str(tmp_path / "kept"))
    expected = plain(rows.take(slice(None)))
    for _ in range(2):
        found = cached(rows.take(slice(None)))
        torch.testing.assert_close(found["row"], expected["row"], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found["token"], expected["token"], rtol=1e-4, atol=1e-5)
    assert len(list((tmp_path / "kept").rglob("*.npy"))) == 4


def test_a_settled_config_builds_the_same_layers_from_nothing(tiny: Path) -> None:
    config = Transformer(pretrained=str(tiny), tune="lora")
    spec = encoder_for(tiny).spec
    first, again = config.build(spec).module, config.settled().build(spec).module
    again.load_state_dict(first.state_dict())
    inputs = rows_of(tiny, TEXTS).take(slice(None))
    torch.testing.assert_close(first.eval()(inputs)["row"], again.eval()(inputs)["row"])


def test_an_encoder_that_counts_positions_from_its_padding_on(tmp_path: Path) -> None:
    """RoBERTa's first positions are never used: 20 embeddings are 18 pieces."""
    save_tiny(tmp_path)
    config = RobertaConfig(
        vocab_size=len(PIECES), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=20, pad_token_id=1,
    )  # fmt: skip
    RobertaModel(config).save_pretrained(tmp_path)
    trunk = trunk_of(tmp_path)
    assert trunk.room == 16
    assert torch.isfinite(trunk(rows_of(tmp_path, ["the soup and an oven in " * 5]).take(slice(None)))["row"]).all()


def test_pieces_of_bytes_see_a_space_in_front_of_each_word() -> None:
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel

    from mtl_cli.data.text.pieces import _with_space_in_front

    tokenizer = Tokenizer(BPE({"Ġ": 0, "a": 1, "Ġa": 2}, [("Ġ", "a")]))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    pieces = Pieces.of(_with_space_in_front(tokenizer.to_str(), "x"))
    assert pieces.of_words(["a", "aa"]) == [[2], [2, 1]]
    assert (pieces.before, pieces.behind) == ([], [])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"pretrained": "nowhere"}, "there is no folder 'nowhere'"),
        ({"pretrained": True}, "true does not say which weights"),
        ({"pretrained": False, "tune": "all"}, "model.trunk.architecture: needs a value"),
        ({"pretrained": False, "architecture": {"model_type": "bert"}}, "frozen leaves its weights"),
        ({"pretrained": "a/b", "tune": "all", "cache": True}, "stores the output of a frozen encoder"),
    ],
)
def test_what_cannot_be_is_told_without_a_hub(keys: dict, message: str) -> None:
    assert message in " ".join(map(str, Transformer(**keys).check([])))


def test_what_is_wrong_with_a_folder(tiny: Path, tmp_path: Path) -> None:
    spec = encoder_for(tiny).spec
    with pytest.raises(UserError, match="model.trunk.last: is 5, and there are 2 layers"):
        Transformer(pretrained=str(tiny), tune="last", last=5).build(spec)
    with pytest.raises(UserError, match=r"model.trunk.lora.modules: .*its linear layers are .*query"):
        Transformer(pretrained=str(tiny), tune="lora", lora=LowRank(modules=["qury"])).build(spec)
    with pytest.raises(UserError, match="model.trunk.window: is 100, and the encoder sees 40 pieces at once"):
        Transformer(pretrained=str(tiny), window=100).build(spec)
    with pytest.raises(UserError, match="its tokenizer is that of another model"):
        Transformer(pretrained=str(tiny)).build(replace(spec, shape=(10_000,)))
    with pytest.raises(UserError, match=r"dataset.pieces: '.*' holds no tokenizer"):
        tokenizer_text(str(tmp_path))
    with pytest.raises(UserError, match=r"model.trunk.pretrained: '.*' cannot be loaded"):
        Transformer(pretrained=str(tmp_path)).build(spec)


def test_the_tokenizer_comes_with_the_trunk() -> None:
    from mtl_cli.config.assemble import assemble
    from mtl_cli.config.parse import parse

    words = [
        "dataset=text",
        "dataset.path=x.conll",
        "tasks={a: token}",
        "model=transformer",
        "model.trunk.pretrained=a/b",
    ]
    dataset = parse(assemble(words), check=False).dataset
    assert isinstance(dataset, Text) and (dataset.pieces, dataset.input_kind) == ("a/b", "pieces")
    assert parse(assemble([*words, "dataset.pieces=c/d"]), check=False).dataset.pieces == "c/d"
