"""Embeddings of numbers: against the library they come from, and what they leave alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rtdl_num_embeddings
import torch

from mtl_cli.config.errors import UserError
from mtl_cli.config.schema import Model
from mtl_cli.data.inputs import DenseRows, InputSpec
from mtl_cli.models.embedding_layers import PiecewiseLinear
from mtl_cli.models.embeddings import Embeddings
from mtl_cli.models.network import Shape, build_network, fit_layers
from mtl_cli.models.trunks.mlp import MLP
from tests.conftest import InProcess, houses

KINDS = ["linear", "periodic", "piecewise"]


def rows(distinct: int, n: int = 199) -> torch.Tensor:
    """Two columns: one of many values, one of few."""
    generator = torch.Generator().manual_seed(distinct)
    return torch.stack([torch.randn(n, generator=generator), torch.arange(n) % distinct], 1).float()


@pytest.mark.filterwarnings("ignore:The .* feature has just two bin edges")
@pytest.mark.parametrize("distinct", [2, 3, 5, 100], ids=lambda n: f"{n} values")
def test_piecewise_is_the_librarys(distinct: int) -> None:
    """The same function and the same gradients, inside the training range and beyond it."""
    torch.manual_seed(0)
    values = rows(distinct)
    ours = PiecewiseLinear(2, 4, bins=8)
    ours.fit(values)
    bins = rtdl_num_embeddings.compute_bins(values, n_bins=8)
    theirs = rtdl_num_embeddings.PiecewiseLinearEmbeddings(bins, 4, activation=False, version="B")
    assert [int((slope > 0).sum()) for slope in ours.slope] == [len(edges) - 1 for edges in bins]
    with torch.no_grad():
        ours.weight.normal_()
        theirs.linear0.load_state_dict(ours.linear.state_dict())
        for i, edges in enumerate(bins):  # there the last bin of a feature comes last, behind what pads it
            last = len(edges) - 2
            theirs.linear.weight[i].zero_()
            theirs.linear.weight[i, :last] = ours.weight[i, :last]
            theirs.linear.weight[i, -1] = ours.weight[i, last]
    probe = torch.cat([values, 5 * values - 3])
    assert torch.allclose(ours(probe), theirs(probe), atol=1e-5)
    (ours(probe) ** 2).sum().backward()
    (theirs(probe) ** 2).sum().backward()
    assert torch.allclose(ours.weight.grad[0, :7], theirs.linear.weight.grad[0, :7], rtol=1e-4)


def test_a_constant_column_gets_no_bin() -> None:
    values = rows(3)
    values[:, 1] = 4.0
    layer = PiecewiseLinear(2, 4, bins=8)
    layer.fit(values)
    assert float(layer.slope[1].abs().sum()) == 0
    assert float(layer.slope[0].min()) > 0
    assert layer(values).isfinite().all()
    values[:] = 4.0
    PiecewiseLinear(2, 4, bins=8).fit(values)


def test_more_bins_than_rows() -> None:
    with pytest.raises(UserError, match="bins: is 199, and there are 199 training rows"):
        PiecewiseLinear(2, 4, bins=199).fit(rows(3))


@pytest.mark.parametrize("kind", KINDS)
def test_indicators_stay_as_they_are(kind: str) -> None:
    spec = InputSpec("features", (4,), indicators=[1, 2])
    embedded = Embeddings(kind=kind, width=3, bins=4).build(spec)  # type: ignore[arg-type]
    assert embedded is not None
    inputs = torch.randn(6, 4)
    found = embedded(inputs)
    assert found.shape == (6, sum(embedded.chunks)) == (6, 2 * 3 + 2)
    assert torch.equal(found[:, 6:], inputs[:, [1, 2]])
    moved = inputs.clone()
    moved[:, 3] += 1
    changed = (embedded(moved) != found).any(0)
    assert changed[3:6].any() and not changed[:3].any() and not changed[6:].any()


@pytest.mark.parametrize("kind", [*KINDS, "bins"])
def test_an_embedded_network_learns_what_a_plain_one_cannot(kind: str) -> None:
    """A function of many bends, as tables have them, in as many steps."""
    torch.manual_seed(0)
    inputs = torch.rand(512, 2) * 4 - 2
    target = (inputs[:, 0] * 6).sin().sign() * (inputs[:, 1] > 0.3)
    losses = {}
    for name in ("none", kind):
        torch.manual_seed(1)
        embeddings = Embeddings(kind=name, bins=16, sigma=0.5)  # type: ignore[arg-type]
        trunk = MLP(hidden=[32], dropout=0.0, embeddings=embeddings)
        model = build_network(Model(trunk=trunk), InputSpec("features", (2,)), {"y": Shape(1)})
        fit_layers(model, DenseRows(inputs))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(150):
            optimizer.zero_grad()
            loss = (model(inputs)["y"][:, 0] - target).square().mean()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        losses[name] = loss.item()
    assert losses[kind] < losses["none"] * (0.7 if kind == "linear" else 0.5)


def test_bins_are_of_training_rows(tmp_path: Path, mtl: InProcess) -> None:
    """And they are in the model file, which is read without unpickling."""
    table = pd.DataFrame({"x": np.arange(300.0), "y": np.arange(300.0) % 7, "part": "train"})
    table.loc[200:, "part"] = ["val", "test"] * 50
    table.loc[200:, "x"] = 1e6
    table.to_csv("spoilt.csv", index=False)
    status, _, err = mtl(
        "train", "dataset=spoilt.csv", "tasks={y: regression}", "dataset.split.column=part", "plots=false",
        "trainer.epochs=2", "model.trunk.embeddings={kind: piecewise, bins: 4}", "run_dir=run",
    )  # fmt: skip
    assert status == 0, err
    weights = torch.load("run/mtl_model.pt", weights_only=True)["weights"]
    edge = next(value for name, value in weights.items() if name.endswith("layer.edge"))
    train = (np.arange(200) - 99.5) / np.arange(200).std()
    assert np.allclose(edge[0], np.quantile(train, [0, 0.25, 0.5, 0.75]), atol=1e-5)
    status, out, _ = mtl("predict", "run", "spoilt.csv")
    assert status == 0
    assert len(out.splitlines()) == 301


def test_a_table_of_categories_has_nothing_to_embed(mtl: InProcess) -> None:
    houses().to_csv("houses.csv", index=False)
    arguments = ["train", "dataset=houses.csv", "tasks={price: regression}", "model.trunk.embeddings.kind=piecewise"]
    status, _, err = mtl(*arguments, "dataset.features.include=[city,garden]")
    assert status == 2
    assert "every input is a category" in err and "kind=none" in err
    assert not Path("outputs").exists()


@pytest.mark.parametrize(("kind", "key"), [("none", "bins=8"), ("linear", "bins=8"), ("piecewise", "sigma=0.1")])
def test_a_setting_that_a_kind_does_not_go_by(mtl: InProcess, kind: str, key: str) -> None:
    status, _, err = mtl(
        "train", "dataset=wine", f"model.trunk.embeddings.kind={kind}", f"model.trunk.embeddings.{key}"
    )
    assert status == 2
    assert f"has no effect with model.trunk.embeddings.kind={kind}" in err


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("kind=quantile", "cannot be 'quantile'"),
        ("bins=many", "must be"),
        ("bins=1", "must be at least 2, not 1"),
        (f"bins={'9' * 40}", "must be at most 1000, not 9999"),
        ("sigma=0", "must be above 0"),
        ("width=0", "must be above 0"),
        ("width=8", "has no effect with model.trunk.embeddings.kind=auto"),
    ],
)
def test_wrong_keys(mtl: InProcess, key: str, what: str) -> None:
    status, _, err = mtl("train", "dataset=wine", f"model.trunk.embeddings.{key}")
    assert status == 2
    assert f"model.trunk.embeddings.{key.split('=')[0]}" in err and what in err


def test_the_extra_is_named(mtl: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither package is installed, in one line."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for arguments in (["model=tabm"], ["model.trunk.embeddings.kind=linear"]):
        status, _, err = mtl("train", "dataset=wine", *arguments)
        assert status == 2
        assert err.count("\n") == 1
        assert "pip install 'mtl-cli[tabular]'" in err
