"""What a model file says of itself."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from mtl_cli.config.registry import components
from mtl_cli.data.inputs import InputSpec
from mtl_cli.inference.description import describe, layers_of
from mtl_cli.inference.trained import TrainedModel
from mtl_cli.models.network import Network, Shape
from mtl_cli.models.trunks.mlp import MLP
from tests.conftest import InProcess, houses


def test_it_has_tasks_features_layers_and_origin(houses_run: Path) -> None:
    found = describe(str(houses_run))
    assert [(task["name"], task["kind"]) for task in found.tasks] == [
        ("price", "regression"), ("sold", "binary"), ("kind", "multiclass"), ("tags", "multilabel"),
    ]  # fmt: skip
    assert found.tasks[2]["classes"] == ["flat", "house", "villa"]
    features = {feature.name: feature for feature in found.features}
    assert {name: feature.kind for name, feature in features.items()} == {
        "area": "numeric", "rooms": "numeric", "city": "categorical", "garden": "boolean", "built": "date",
    }  # fmt: skip
    assert "3 levels (Lyon, Oslo, Riga) and one for all others" in features["city"].encoding
    assert re.search(r"\(x − \S+\) / \S+, pulled in below \S+ and above \S+; an empty cell", features["area"].encoding)
    assert sum(len(feature.inputs) for feature in found.features) == found.shape[0]
    assert (found.members, found.license, found.plugins) == (2, "CC-BY-4.0", {})
    assert found.fingerprints.keys() == {""} and len(found.fingerprints[""]) == 64
    assert found.run["score"] == json.loads((houses_run / "metrics.json").read_text())["score"]


def test_parameters_add_up_and_heads_are_their_tasks_own(houses_run: Path) -> None:
    found = describe(str(houses_run / "mtl_model.pt"))
    network = TrainedModel.load(str(houses_run)).network
    assert found.parameters == sum(p.numel() for p in network.parameters())
    assert found.shared == sum(p.numel() for p in network.shared_parameters())
    heads = {layer.name: layer.tasks for layer in found.layers if layer.name.startswith("head of")}
    assert heads == {f"head of {task}": [task] for task in ("price", "sold", "kind", "tags")}


@pytest.mark.parametrize("scheme", ["hard", "none", "mmoe", "cgc", "ple"])
def test_shared_layers_are_those_that_the_scheme_says_are(scheme: str) -> None:
    spec, tasks = InputSpec("features", (3,), ["a", "b", "c"]), {"one": Shape(1), "two": Shape(2)}
    levels = {name: shape.level for name, shape in tasks.items()}
    shared = components("sharing")[scheme]().build(MLP(hidden=[5, 4]), spec, levels)
    heads = {name: torch.nn.Linear(shared.width, shape.outputs) for name, shape in tasks.items()}
    network = Network(shared, heads)
    layers = layers_of(network, spec, {})
    assert sum(layer.parameters for layer in layers) == sum(p.numel() for p in network.parameters())
    several = sum(layer.parameters for layer in layers if len(layer.tasks) == 2)
    assert several == sum(p.numel() for p in network.shared_parameters())


def test_joined_data_sets_have_features_and_layers_of_their_own(mtl: InProcess, houses_csv: Path) -> None:
    houses(60, 1).rename(columns={"area": "size"}).to_csv("more.csv", index=False)
    status, _, err = mtl(
        "train", "dataset=joint", "dataset.datasets={one: houses.csv, two: more.csv}", "run_dir=run", "plots=false",
        "tasks={price: {kind: regression, dataset: one}, sold: {kind: binary, dataset: two}}", "trainer.epochs=1",
    )  # fmt: skip
    assert status == 0, err
    found = describe("run")
    assert found.fingerprints.keys() == found.data.keys() == {"one", "two"}
    assert {feature.dataset for feature in found.features} == {"one", "two"}
    adapters = [layer.tasks for layer in found.layers if "adapters" in layer.name]
    assert adapters == [["price"], ["sold"]]
