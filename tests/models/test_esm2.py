"""ESM-2 as a trunk, on a tiny one that is made here: against transformers itself, and what is trained of it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import EsmConfig, EsmForMaskedLM, EsmModel, EsmTokenizer

from mtl_cli.balancing.step import TrainingStep
from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import components
from mtl_cli.config.schema import Model
from mtl_cli.data.sequences.residues import RESIDUES, VOCABULARY, encode
from mtl_cli.data.sequences.rows import TokenRows
from mtl_cli.models.embedding_cache import fingerprint
from mtl_cli.models.esm2.files import VOCABULARY as ESM_VOCABULARY
from mtl_cli.models.esm2.layers import ESM2Trunk
from mtl_cli.models.esm2.settings import SIZES, LoRA, Size
from mtl_cli.models.network import Network, build_network, shapes
from mtl_cli.models.trunks.esm2 import ESM2
from tests.models.test_sequence_cnn import SPEC, losses_of, make_batch, make_rows, make_tasks

SEQUENCES = ["MKTAYIAKQR", "GGSX", f"{RESIDUES}MK", "WW"]


def save_tiny(folder: Path, vocabulary: list[str] = ESM_VOCABULARY, epsilon: float = 1e-5) -> Path:
    """Save a two-layer ESM-2 with random weights, large enough for positions and neighbours to matter."""
    torch.manual_seed(0)
    config = EsmConfig(
        vocab_size=len(vocabulary), mask_token_id=vocabulary.index("<mask>"), pad_token_id=vocabulary.index("<pad>"),
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, max_position_embeddings=68,
        position_embedding_type="rotary", token_dropout=True, emb_layer_norm_before=False, layer_norm_eps=epsilon,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.2,
    )  # fmt: skip
    EsmModel(config, add_pooling_layer=False).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("esm") / "tiny")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def rows_of(sequences: list[str]) -> TokenRows:
    import pandas as pd

    tokens, lengths, _ = encode(pd.Series(sequences), None, "x")
    return TokenRows(torch.from_numpy(tokens), lengths)


def trunk_of(folder: Path, **keys) -> ESM2Trunk:
    module = ESM2(pretrained=str(folder), **{"hidden": [], "dropout": 0.0, **keys}).build(SPEC).module
    assert isinstance(module, ESM2Trunk)
    return module


def network_of(folder: Path, **keys) -> Network:
    torch.manual_seed(0)
    trunk = ESM2(pretrained=str(folder), **{"dropout": 0.0, "hidden": [8], **keys})
    return build_network(Model(trunk=trunk), SPEC, shapes(make_tasks()))


def test_published_vocabulary_and_sizes() -> None:
    from transformers.models.esm.configuration_esm import get_default_vocab_list

    assert list(get_default_vocab_list()) == ESM_VOCABULARY
    assert SIZES["esm2_t33_650M_UR50D"].longest == 1022


@pytest.mark.parametrize("shuffled", [False, True])
def test_tokens_and_states_are_those_of_transformers(tmp_path: Path, shuffled: bool) -> None:
    """Its own tokeniser and its own forward pass, on a padded batch; the vocabulary is that of the folder."""
    vocabulary = [*ESM_VOCABULARY[:4], *reversed(ESM_VOCABULARY[4:])] if shuffled else ESM_VOCABULARY
    folder = save_tiny(tmp_path / "esm", vocabulary)
    theirs = EsmTokenizer(str(folder / "vocab.txt"))(SEQUENCES, return_tensors="pt", padding=True)
    trunk, tokens = trunk_of(folder), rows_of(SEQUENCES).take(slice(None))
    for row, text in enumerate(SEQUENCES):
        ids = theirs["input_ids"][row, 1 : len(text) + 1]
        assert trunk.numbers[tokens[row, : len(text)]].tolist() == ids.tolist()
    assert vocabulary[int(trunk.numbers[VOCABULARY.index("J")])] == "<unk>", "the one residue that ESM-2 lacks"
    with torch.no_grad():
        expected = EsmModel.from_pretrained(folder, add_pooling_layer=False).eval()(**theirs).last_hidden_state
    mask = theirs["attention_mask"].bool()
    found = trunk.states(tokens)
    torch.testing.assert_close(found[mask], expected[mask], atol=1e-5, rtol=1e-5)


def test_the_language_model_that_is_published_is_read_too(tiny: Path, tmp_path: Path) -> None:
    """The hub's files hold ESM-2 with its head for masked residues, in half precision or not."""
    backbone = EsmModel.from_pretrained(tiny, add_pooling_layer=False)
    model = EsmForMaskedLM(backbone.config)
    model.esm.load_state_dict(backbone.state_dict())
    model.half().save_pretrained(tmp_path)
    tokens = rows_of(SEQUENCES).take(slice(None))
    found = trunk_of(tmp_path)
    assert {p.dtype for p in found.parameters()} == {torch.float32}
    torch.testing.assert_close(found(tokens)["row"], trunk_of(tiny)(tokens)["row"], atol=0.02, rtol=0.02)


@pytest.mark.parametrize("pooling", ["mean", "cls", "attention"])
def test_neither_padding_nor_the_marks_count(tiny: Path, pooling: str) -> None:
    trunk, rows = trunk_of(tiny, pooling=pooling, hidden=[8]).eval(), rows_of(SEQUENCES)
    together = trunk(rows.take(slice(None)))
    wide = trunk(torch.nn.functional.pad(rows.take(slice(None)), (0, 9)))
    for row, text in enumerate(SEQUENCES):
        alone = trunk(rows.take(torch.tensor([row])))
        for found in (together, wide):
            torch.testing.assert_close(found["row"][row], alone["row"][0], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(found["token"][row, : len(text)], alone["token"][0], atol=1e-5, rtol=1e-5)
            assert not found["token"][row, len(text) :].any()
    if pooling == "mean":
        states = trunk_of(tiny).states(rows.take(torch.tensor([0])))
        plain = trunk_of(tiny, pooling=pooling)(rows.take(torch.tensor([0])))
        torch.testing.assert_close(plain["row"], states[:, 1:-1].mean(1))


def test_padding_changes_no_gradient(tiny: Path) -> None:
    rows = make_rows()
    model, single = network_of(tiny, tune="all").double(), network_of(tiny, tune="all").double()
    whole = losses_of(model, make_batch(rows))
    sum(total / count for total, count in whole.values()).backward()
    for row in range(len(rows)):
        piece = losses_of(single, make_batch(rows, torch.tensor([row])))
        sum(total / whole[name][1] for name, (total, _) in piece.items()).backward()
    for found, expected in zip(model.parameters(), single.parameters(), strict=True):
        if expected.grad is not None:
            torch.testing.assert_close(found.grad, expected.grad, atol=1e-8, rtol=1e-6)


def trained(model: Network) -> set[str]:
    return {name for name, p in model.named_parameters() if p.requires_grad and ".backbone." in name}


def test_what_is_trained(tiny: Path) -> None:
    assert trained(network_of(tiny, tune="frozen")) == set()
    last = trained(network_of(tiny, tune="last", last=1))
    assert last and all(".layer.1." in name or "emb_layer_norm_after" in name for name in last)
    every = network_of(tiny, tune="all")
    assert all(p.requires_grad for p in every.parameters())
    lora = network_of(tiny, tune="lora", lora=LoRA(rank=3, modules=["query", "value"]))
    assert len(trained(lora)) == 2 * 2 * 2, "an A and a B of two matrices of two layers"
    assert all("lora_" in name for name in trained(lora))
    shared = {id(p) for p in lora.shared_parameters()}
    assert all(id(p) in shared for name, p in lora.named_parameters() if name in trained(lora))


@pytest.mark.parametrize("tune", ["frozen", "last", "all", "lora"])
def test_a_step_moves_what_is_trained_and_nothing_else(tiny: Path, tune: str) -> None:
    model, batch = network_of(tiny, tune=tune, last=1), make_batch(make_rows())
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    for _ in range(2):  # LoRA's A has no gradient before B has moved
        optimizer.zero_grad()
        sum(total / count for total, count in losses_of(model.train(), batch).values()).backward()
        optimizer.step()
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("hidden", [[8], []])
@pytest.mark.parametrize("tune", ["frozen", "last", "all", "lora"])
def test_every_tasks_gradient_passes_the_last_shared_layer(tiny: Path, tune: str, hidden: list[int]) -> None:
    model = network_of(tiny, tune=tune, last=1, hidden=hidden)
    layer = model.last_shared_layer
    if tune == "frozen" and not hidden:
        assert layer is None
        assert not ESM2(pretrained=str(tiny), hidden=[]).shares_layers, "so that balancers say so before a run"
        return
    assert layer is not None and layer.weight.requires_grad
    for total, _ in losses_of(model, make_batch(make_rows())).values():
        (gradient,) = torch.autograd.grad(total, layer.weight, retain_graph=True)
        assert gradient.abs().sum() > 0


@pytest.mark.parametrize("name", ["gradnorm", "mgda", "graddrop", "uw"])
@pytest.mark.parametrize("tune", ["frozen", "last", "all", "lora"])
def test_balancers_weigh_what_is_trained(tiny: Path, name: str, tune: str) -> None:
    model, batch, tasks = network_of(tiny, tune=tune, last=1), make_batch(make_rows()), make_tasks()
    step = TrainingStep(model, tasks, components("balancer")[name](), torch.device("cpu"))
    plain = network_of(tiny, tune=tune, last=1)
    shared = [p for p in plain.shared_parameters() if p.requires_grad]
    for _ in range(2):
        model.zero_grad()
        step(batch)
    means = [total / count * tasks[task].weight for task, (total, count) in losses_of(plain, batch).items()]
    weighted = (step.weights.detach() * torch.stack(means)).sum()
    expected = torch.autograd.grad(weighted, shared, allow_unused=True)
    assert all(p.grad is None for p in model.shared_parameters() if not p.requires_grad)
    if not step.directed:
        for p, gradient in zip([p for p in model.shared_parameters() if p.requires_grad], expected, strict=True):
            wanted = torch.zeros_like(p) if gradient is None else gradient
            torch.testing.assert_close(torch.zeros_like(p) if p.grad is None else p.grad, wanted, atol=1e-5, rtol=1e-3)


def test_lora_begins_at_the_pretrained_model(tiny: Path) -> None:
    tokens = rows_of(SEQUENCES).take(slice(None))
    torch.testing.assert_close(trunk_of(tiny, tune="lora").states(tokens), trunk_of(tiny).states(tokens))


def test_a_frozen_model_is_never_in_training_mode(tiny: Path) -> None:
    trunk = trunk_of(tiny, hidden=[8], dropout=0.5).train()
    assert trunk.hidden.training
    assert not any(module.training for module in trunk.backbone.modules())


def test_the_cache_changes_nothing(tiny: Path, tmp_path: Path) -> None:
    """With sequences that repeat, in batches of other lengths, cold and warm; what is kept is used."""
    sequences = [*SEQUENCES, SEQUENCES[1], SEQUENCES[0]]
    rows = rows_of(sequences)
    plain, cached = trunk_of(tiny), trunk_of(tiny, cache=str(tmp_path / "cache"))
    for chosen in ([0, 1], [1, 4, 3], [0, 1, 2, 3, 4, 5], [5]):
        tokens = rows.take(torch.tensor(chosen))
        found, expected = cached(tokens), plain(tokens)
        for level in ("row", "token"):
            torch.testing.assert_close(found[level], expected[level], atol=1e-5, rtol=1e-5)
    files = sorted((tmp_path / "cache").rglob("*.npy"))
    assert len(files) == len(SEQUENCES), "a file for each sequence that differs"
    sizes = {np.load(file, allow_pickle=False).shape for file in files}
    assert sizes == {(len(text) + 2, 16) for text in SEQUENCES}
    cached.backbone.forward = None  # type: ignore[method-assign, assignment]
    again = cached(rows.take(slice(None)))
    torch.testing.assert_close(again["row"], plain(rows.take(slice(None)))["row"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kept", [0, 40, -7])
def test_a_file_of_the_cache_that_is_cut_off_is_written_anew(tiny: Path, tmp_path: Path, kept: int) -> None:
    """Whether nothing, half its header, or nearly all of it is left."""
    cached, tokens = trunk_of(tiny, cache=str(tmp_path)), rows_of(SEQUENCES).take(slice(None))
    expected = cached(tokens)["token"]
    whole = {file: file.read_bytes() for file in tmp_path.rglob("*.npy")}
    file = min(whole)
    file.write_bytes(whole[file][:kept])
    torch.testing.assert_close(cached(tokens)["token"], expected, atol=1e-5, rtol=1e-5)
    assert np.load(file, allow_pickle=False).nbytes and len(file.read_bytes()) == len(whole[file])


def test_another_model_has_another_cache(tiny: Path, tmp_path: Path) -> None:
    first, other = trunk_of(tiny, cache=str(tmp_path)), trunk_of(tiny, cache=str(tmp_path))
    tokens = rows_of(SEQUENCES).take(slice(None))
    first(tokens)
    changed = {name: value + 0.1 if "dense.weight" in name else value for name, value in other.state_dict().items()}
    before = fingerprint(other.backbone)
    other(tokens)
    other.load_state_dict(changed)
    assert fingerprint(other.backbone) != before
    plain = trunk_of(tiny)
    plain.load_state_dict(changed)
    torch.testing.assert_close(other(tokens)["token"], plain(tokens)["token"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tune", ["frozen", "lora"])
def test_a_settled_config_builds_the_same_without_the_folder(tmp_path: Path, tune: str) -> None:
    folder = save_tiny(tmp_path / "esm", epsilon=0.1)
    config = ESM2(pretrained=str(folder), tune=tune)
    trunk, settled = config.build(SPEC), config.settled()
    shutil.rmtree(folder)
    again = settled.build(SPEC)
    again.module.load_state_dict(trunk.module.state_dict())
    tokens = rows_of(SEQUENCES).take(slice(None))
    assert settled.size == Size(2, 16, 2, 32, 68, True, 0.1, ESM_VOCABULARY)
    torch.testing.assert_close(again.module.eval()(tokens)["row"], trunk.module.eval()(tokens)["row"])


def test_a_name_at_the_hub_without_a_network_is_one_line() -> None:
    with pytest.raises(UserError) as caught:
        ESM2(pretrained="esm2_t6_8M_UR50D").build(SPEC)
    line = str(caught.value)
    assert line.startswith("model.trunk.pretrained: 'facebook/esm2_t6_8M_UR50D' is not on this machine and cannot be")
    assert "\n" not in line


def test_a_folder_without_weights_or_with_others_is_one_line(tiny: Path, tmp_path: Path) -> None:
    for wrong, message in (("model.safetensors", "cannot be loaded"), ("config.json", "holds no config.json")):
        folder = tmp_path / wrong
        shutil.copytree(tiny, folder)
        (folder / wrong).unlink()
        with pytest.raises(UserError, match=message):
            ESM2(pretrained=str(folder)).build(SPEC)
    config = (tiny / "config.json").read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 3')
    folder = tmp_path / "more"
    shutil.copytree(tiny, folder)
    (folder / "config.json").write_text(config)
    with pytest.raises(UserError, match="the first one missing is encoder.layer.2"):
        ESM2(pretrained=str(folder)).build(SPEC)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"rotary"', '"absolute"', "holds no ESM-2"),
        ('"model_type": "esm"', '"model_type": "bert"', "holds no ESM-2"),
        ('"hidden_size"', '"size"', "the config.json of '.*' lacks 'hidden_size'"),
    ],
)
def test_another_kind_of_model_is_one_line(tiny: Path, tmp_path: Path, old: str, new: str, message: str) -> None:
    config = (tiny / "config.json").read_text()
    assert old in config
    (tmp_path / "config.json").write_text(config.replace(old, new))
    with pytest.raises(UserError, match=message):
        ESM2(pretrained=str(tmp_path)).known_size()


def test_random_weights_of_a_size() -> None:
    trunk = ESM2(pretrained=False, size=Size(2, 16, 2), tune="all", hidden=[])
    assert trunk.settled() is trunk
    module = trunk.build(SPEC).module
    published = replace(trunk, size="esm2_t6_8M_UR50D").build(SPEC).module
    assert sum(p.numel() for p in published.parameters()) == 7_408_960, "all of ESM-2 8M but its heads"
    assert module(rows_of(SEQUENCES).take(slice(None)))["row"].shape == (4, 16)
