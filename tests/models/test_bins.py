"""Bins beside a table's numbers: against the library's encoding, and what a network makes of them."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import rtdl_num_embeddings
import torch
from torch import nn

from mtl_cli.balancing.gradients import choose_backend
from mtl_cli.balancing.gradients.mlp import Stack
from mtl_cli.balancing.methods.upgrad import UPGrad
from mtl_cli.config.errors import UserError
from mtl_cli.config.schema import Model
from mtl_cli.data.inputs import DenseRows, InputSpec
from mtl_cli.models.bins import SCALE, Bins
from mtl_cli.models.embeddings import MOST, Embeddings
from mtl_cli.models.network import Network, Shape, build_network, fit_layers
from mtl_cli.models.trunks.mlp import MLP
from mtl_cli.tasks.task import Target
from mtl_cli.training.together.network import BatchedNetwork, plain_layers
from tests.conftest import InProcess


def rows(n: int = 199, seed: int = 0) -> torch.Tensor:
    """Three columns: one of many values, one that is 0 or 1, one of five values."""
    generator = torch.Generator().manual_seed(seed)
    every = torch.arange(n)
    return torch.stack([torch.randn(n, generator=generator), (every % 2).float(), (every % 5).float()], 1)


def fitted(values: torch.Tensor, bins: int = 8) -> Bins:
    layer = Bins(3, [0, 2], bins)
    layer.fit_inputs(values)
    return layer


def make(seed: int, values: torch.Tensor) -> Network:
    torch.manual_seed(seed)
    spec = InputSpec("features", (3,), names=["a", "b", "c"], indicators=[1])
    model = build_network(Model(trunk=MLP(hidden=[6], dropout=0.0)), spec, {"y": Shape(1), "k": Shape(3)})
    fit_layers(model, DenseRows(values))
    return model


def test_the_encoding_is_the_librarys() -> None:
    """Within the training range and beyond it; a number with fewer values has fewer bins."""
    values = rows()
    layer = fitted(values)
    numbers = values[:, [0, 2]]
    edges = rtdl_num_embeddings.compute_bins(numbers, n_bins=8)
    theirs = rtdl_num_embeddings.PiecewiseLinearEncoding(edges)
    probe = torch.cat([values, 5 * values - 3])
    found = layer(probe)
    assert torch.equal(found[:, :3], probe)
    assert [len(own) for own in edges] == [9, 5]
    used = [*range(8), *range(8, 12)]
    assert torch.allclose(found[:, 3:][:, used], SCALE * theirs(probe[:, [0, 2]]), atol=1e-5)
    assert not found[:, 3 + 12 :].any()


def test_few_rows_and_constants_have_fewer_bins_or_none() -> None:
    values = rows(79)
    assert [int((own > 0).sum()) for own in fitted(values).slope] == [3, 3]
    assert not fitted(rows(39)).slope.any()
    values[:, 2] = 4.0
    layer = fitted(values)
    assert not layer.slope[1].any() and layer(values).isfinite().all()


def test_a_network_begins_as_one_without_bins() -> None:
    values = rows()
    model = make(0, values)
    first, linear, *rest = model.stack() or []
    assert isinstance(first, Bins) and isinstance(linear, nn.Linear)
    plain = nn.Sequential(nn.Linear(3, 6), *rest)
    plain[0].load_state_dict({"weight": linear.weight[:, :3], "bias": linear.bias})
    assert torch.allclose(model.representations(values)["y"], plain(values), atol=1e-6)
    assert not linear.weight[:, 3:].any() and linear.weight[:, :3].abs().max() > 0.5 / 3**0.5


@pytest.mark.parametrize(
    ("spec", "bins"),
    [
        (InputSpec("features", (3,), names=["a", "b", "c"], indicators=[1]), 8),
        (InputSpec("features", (33,), names=["x"] * 33), 4),
        (InputSpec("features", (MOST + 1,), names=["x"] * (MOST + 1)), None),
        (InputSpec("features", (2,), names=["a", "b"], indicators=[0, 1]), None),
        (InputSpec("features", (3,)), None),
        (InputSpec("image", (1, 4, 4), center=[0.0], scale=[1.0]), None),
    ],
    ids=["a table", "a wide one", "too wide", "categories", "behind adapters", "images"],
)
def test_auto(spec: InputSpec, bins: int | None) -> None:
    found = Embeddings(kind="auto").build(spec)
    assert (None if found is None else found.chunks[-1]) == bins
    if bins is None:
        assert Embeddings(kind="auto", bins=16).build(spec) is None, "a former default, which configs of runs hold"
        with pytest.raises(UserError, match="embeddings.bins: has no effect with kind=auto"):
            Embeddings(kind="auto", bins=8).build(spec)


def test_the_quick_way_to_the_gradients_is_taken() -> None:
    model = make(0, rows())
    backend = choose_backend(model, UPGrad(), 2)
    assert isinstance(backend, Stack)
    backend.forward(rows())
    assert backend.name == "mlp"


def test_members_have_bins_of_their_own() -> None:
    """Run as one network, each is what it is alone."""
    each = [rows(seed=seed) * (seed + 1) for seed in range(3)]
    alone = [make(seed, values) for seed, values in enumerate(each)]
    generators = [torch.Generator() for _ in each]
    with torch.no_grad():
        for model in alone:
            model.stack()[1].weight.normal_()  # type: ignore[index,operator,union-attr]
        together = BatchedNetwork([copy.deepcopy(model) for model in alone])
        found = together(torch.stack(each), [199] * 3, generators)
        for task in ("y", "k"):
            for own, model, values in zip(found[task], alone, each, strict=True):
                assert torch.allclose(own, model(values)[task], atol=1e-5)
        together.keep([2])
        assert torch.allclose(together(each[2][None], [199], generators)["y"][0], alone[2](each[2])["y"], atol=1e-5)


def test_bins_behind_other_layers_are_not_run_at_once() -> None:
    layers = [nn.Linear(3, 3), Bins(3, [0, 1, 2], 4)]
    assert plain_layers(layers) is None
    assert plain_layers(layers[::-1]) == layers[::-1]


def test_a_model_keeps_them(mtl: InProcess) -> None:
    """In its file; and a run says which it has."""
    status, _, err = mtl(
        "train", "dataset=wine", "trainer.epochs=1", "trainer.folds=none", "trainer.baselines=none", "plots=false",
        "run_dir=run",
    )  # fmt: skip
    assert status == 0, err
    weights = torch.load("run/mtl_model.pt", weights_only=True)["weights"]
    (edge,) = [value for name, value in weights.items() if name.endswith(".edge")]
    assert edge.shape == (11, 8) and edge.any()


@pytest.mark.parametrize("effect", ["straight", "steps"])
def test_bins_are_left_out_where_a_linear_model_gains_nothing(effect: str) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(300, 3, generator=generator)
    signal = values[:, 0] if effect == "straight" else (values[:, 0] > 0.5).float()
    number = signal + 0.1 * torch.randn(300, generator=generator)
    mask = np.arange(300) % 3 > 0
    targets = [Target(np.where(mask, number, 0.0), mask), Target((signal > 0.3).long().numpy(), np.zeros(300, bool))]
    for kind in ("auto", "bins"):
        torch.manual_seed(0)
        spec = InputSpec("features", (3,), names=["a", "b", "c"])
        model = build_network(Model(trunk=MLP(embeddings=Embeddings(kind=kind))), spec, {"y": Shape(1)})
        said = fit_layers(model, DenseRows(values), targets)
        layer = (model.stack() or [])[0]
        assert isinstance(layer, Bins)
        left_out = effect == "straight" and kind == "auto"
        assert bool(said) == left_out == (not layer(values)[:, 3:].any())
        if said:
            assert "no bins" in said[0] and "kind=bins" in said[0]
