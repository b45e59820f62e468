"""The network over words: padding and other rows change nothing, and empty texts and features are read."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mtl_cli.config.schema import Model
from mtl_cli.data.inputs import DenseRows, InputSpec
from mtl_cli.data.text.rows import text_rows
from mtl_cli.data.text.words import GRAMS
from mtl_cli.models.network import Shape, build_network, fit_layers
from mtl_cli.models.sharing.none import SingleTask
from mtl_cli.models.text_layers import TextTrunk
from mtl_cli.models.trunks.text_cnn import TextCNN

SPEC = InputSpec("text", (GRAMS,))
WITH_FEATURES = InputSpec("text", (GRAMS,), parts={"features": InputSpec("features", (2,), ["a", "b"])})
TEXTS = [["the", "cat", "sat"], [], ["a"], ["one", "two", "three", "four", "five"]]


def test_a_rows_representation_does_not_depend_on_the_others() -> None:
    torch.manual_seed(0)
    trunk = TextCNN(width=16, blocks=3).build(SPEC)
    trunk.module.eval()
    rows = text_rows(TEXTS)
    whole = trunk.module(rows.take(slice(None)))
    assert whole["row"].shape == (4, 16) and whole["token"].shape == (4, 5, 16)
    assert torch.isfinite(whole["row"]).all() and torch.isfinite(whole["token"]).all()
    for i, words in enumerate(TEXTS):
        alone = trunk.module(rows.take(torch.tensor([i])))
        torch.testing.assert_close(alone["row"][0], whole["row"][i])
        torch.testing.assert_close(alone["token"][0, : len(words)], whole["token"][i, : len(words)])
        assert whole["token"][i, len(words) :].eq(0).all()


def test_words_are_seen_in_their_order() -> None:
    torch.manual_seed(0)
    trunk = TextCNN(width=16).build(SPEC)
    trunk.module.eval()
    found = trunk.module(text_rows([["dog", "bites", "man"], ["man", "bites", "dog"]]).take(slice(None)))
    assert not torch.allclose(found["row"][0], found["row"][1])
    assert not torch.allclose(found["token"][0, 1], found["token"][1, 1])


def test_features_beside_a_text_count_for_what_labels_it_as_a_whole() -> None:
    torch.manual_seed(0)
    trunk = TextCNN(width=16).build(WITH_FEATURES)
    trunk.module.eval()
    columns = DenseRows(np.array([[0, 1], [0, 1], [5, 1]], "float32"))
    found = trunk.module(text_rows([["a"], ["a"], ["a"]]).beside(columns).take(slice(None)))
    torch.testing.assert_close(found["row"][0], found["row"][1])
    assert not torch.allclose(found["row"][0], found["row"][2])


def test_every_layer_learns_and_dropout_is_of_training_alone() -> None:
    torch.manual_seed(0)
    trunk = TextCNN(width=16, buckets=50, word_dropout=0.3).build(SPEC)
    inputs = text_rows(TEXTS).take(slice(None))
    found = trunk.module(inputs)
    (found["row"].sum() + found["token"].sum()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in trunk.module.parameters())
    assert trunk.module.embedding.bag.weight.grad[0].eq(0).all(), "padding is not trained"
    assert not torch.equal(trunk.module(inputs)["row"], trunk.module(inputs)["row"])
    trunk.module.eval()
    assert torch.equal(trunk.module(inputs)["row"], trunk.module(inputs)["row"])


@pytest.mark.parametrize(("texts", "share"), [(0, 0.8), (8000, 0.8), (8001, 0.3)])
def test_of_many_texts_fewer_words_are_left_out(texts: int, share: float) -> None:
    """By default; what is drawn is the same, so that means of the same words come of the same share."""
    rows = text_rows([[f"w{i}" for i in range(40)]] * 20).take(slice(None))
    found = []
    for word_dropout in ("auto", share):
        torch.manual_seed(0)
        module = TextCNN(width=16, word_dropout=word_dropout, input_dropout=0.0).build(SPEC).module  # type: ignore[arg-type]
        module.texts.fill_(texts)
        torch.manual_seed(1)
        found.append(module(rows)["row"])
    assert torch.equal(*found)


@pytest.mark.parametrize("factor", [0.5, 0.01])
def test_it_can_be_made_narrower(factor: float) -> None:
    narrow = TextCNN().scaled(factor)
    assert narrow.width == max(1, round(128 * factor))
    narrow.build(SPEC)


def test_training_rows_are_counted_with_columns_beside_them() -> None:
    tasks = {"t": Shape(2), "w": Shape(3, "token")}
    network = build_network(Model(trunk=TextCNN(), sharing=SingleTask()), WITH_FEATURES, tasks)
    fit_layers(network, text_rows(TEXTS).beside(DenseRows(np.zeros((4, 2), "float32"))))
    counted = [module for module in network.modules() if isinstance(module, TextTrunk)]
    assert [float(module.texts) for module in counted] == [4, 4]
