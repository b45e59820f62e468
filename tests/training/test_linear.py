"""Linear models beside a network, of a family: what they are fitted to, and how much of the outputs they are."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mtl_cli.config.schema import Model
from mtl_cli.data.base import Part, Prepared
from mtl_cli.data.batches import Batches
from mtl_cli.data.sequences.reader import SequenceEncoder
from mtl_cli.data.sequences.residues import LETTERS as ALPHABETS
from mtl_cli.data.tables.config import CSV
from mtl_cli.inference.evaluate import SHARES, Validation, outputs
from mtl_cli.models.linear import LinearModels, mean_shares
from mtl_cli.models.network import Network, Shape, build_network, shapes
from mtl_cli.models.trunks.sequence_cnn import SequenceCNN
from mtl_cli.tasks.kinds.binary import Binary
from mtl_cli.tasks.kinds.multiclass import Multiclass
from mtl_cli.tasks.kinds.regression import Regression
from mtl_cli.training.linear import PENALTIES, SECOND, Chosen, fit_linear

CPU = torch.device("cpu")
LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWY"))


def family(rows: int, seed: int = 0, length: int = 20) -> pd.DataFrame:
    """Variants whose effects add up: the tasks have them in common, ``second`` with more noise and labels in half."""
    random = np.random.default_rng(seed)
    wild, effects = np.random.default_rng(0).integers(0, 20, length), np.random.default_rng(1).normal(size=(length, 20))
    now = np.repeat(wild[None], rows, 0)
    for row in now:
        places = random.choice(length, 3, replace=False)
        row[places] = (wild[places] + random.integers(1, 20, 3)) % 20
    y = (effects[np.arange(length), now] * (now != wild)).sum(1)
    table = pd.DataFrame(
        {"sequence": ["".join(LETTERS[row]) for row in now], "first": y + random.normal(size=rows) / 4}
    )
    table["second"] = np.where(random.random(rows) < 0.5, np.nan, y + 2 * random.normal(size=rows))
    table["high"] = np.where(y + random.normal(size=rows) > 0, "yes", "no")
    table["third"] = np.digitize(y + random.normal(size=rows), [-1, 1]).astype(str)
    return table


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    file = tmp_path_factory.mktemp("family") / "variants.csv"
    family(600).to_csv(file, index=False)
    tasks = {"first": Regression(), "second": Regression(), "high": Binary(), "third": Multiclass()}
    return CSV(path=str(file), sequence="sequence").prepare(tasks, lambda line: None)


def network_of(data: Prepared, linear: Literal["auto", "none"] = "auto", **keys: Any) -> Network:
    torch.manual_seed(0)
    trunk = SequenceCNN(width=12, dropout=0.0, **keys)
    return build_network(Model(trunk=trunk, linear=linear), data.reader.spec, shapes(data.tasks))


@pytest.fixture(scope="module")
def validation(data: Prepared) -> Validation:
    return Validation(Batches(data.parts["val"], CPU), data.tasks)


@pytest.fixture(scope="module")
def fitted(data: Prepared, validation: Validation) -> LinearModels:
    linear = network_of(data).linear
    assert linear is not None
    fit_linear(linear, data, validation, None)
    return linear


def own(data: Prepared, name: str, penalty: float) -> Any:
    """Return the model of a task as scikit-learn makes it."""
    numbers = data.tasks[name].learns == "number"
    return Ridge(alpha=penalty) if numbers else LogisticRegression(C=1 / penalty, max_iter=1000)


def said(model: Any, inputs: Any) -> np.ndarray:
    """Return what such a model, or a pipeline with one at its end, says of rows, (n, outputs)."""
    found = model.decision_function(inputs) if hasattr(model, "decision_function") else model.predict(inputs)
    return np.asarray(found).reshape(inputs.shape[0], -1)


def test_both_steps_are_those_of_scikit_learn(data: Prepared, validation: Validation, fitted: LinearModels) -> None:
    train, val, test = (fitted.reads.table(data.parts[part].inputs) for part in ("train", "val", "test"))
    left_out, first = [], {}
    for name, penalty in zip(fitted.tasks, fitted.penalties.tolist(), strict=True):
        target, model = data.parts["train"].targets[name], own(data, name, penalty)
        rows = np.flatnonzero(target.mask)
        values, numbers = target.values[rows], isinstance(model, Ridge)
        model.fit(train[rows], values)
        outside = said(model, train)
        folds = (KFold if numbers else StratifiedKFold)(5, shuffle=True, random_state=0)
        how = "predict" if numbers else "decision_function"
        outside[rows] = cross_val_predict(model, train[rows], values, cv=folds, method=how).reshape(len(rows), -1)
        left_out.append(outside)
        first[name] = [said(model, part) for part in (val, test)]
    found = [fitted(data.parts[part].inputs.take(slice(None))) for part in ("val", "test")]
    assert fitted.second.sum() >= 2
    for name, second in zip(fitted.tasks, fitted.second.tolist(), strict=True):
        target = data.parts["train"].targets[name]
        step = make_pipeline(StandardScaler(with_mean=False), own(data, name, SECOND))
        step.fit(np.hstack(left_out)[target.mask], target.values[target.mask])
        both = [said(step, np.hstack([own[part] for own in first.values()])) for part in (0, 1)]
        losses = [float(validation.loss(name, torch.from_numpy(one[0]).float())) for one in (first[name], both)]
        assert second == (losses[1] < losses[0]), "the better of both on validation rows is taken"
        for part, outputs_of_part in enumerate(found):
            expected = torch.from_numpy((both if second else first[name])[part]).float()
            torch.testing.assert_close(outputs_of_part[name], expected, atol=1e-2, rtol=1e-2)


def test_units_of_labels_and_of_weights_are_of_no_matter(data: Prepared, fitted: LinearModels) -> None:
    def scaled(part: Part) -> Part:
        targets = dict(part.targets)
        for name in ("first", "second"):
            targets[name] = replace(targets[name], values=targets[name].values / 1000)
        weights = {name: np.full(len(part), 1e-3, "float32") for name in targets}
        return replace(part, targets=targets, weights=weights)

    small = replace(data, parts={name: scaled(part) for name, part in data.parts.items()})
    linear = network_of(data).linear
    assert linear is not None
    fit_linear(linear, small, Validation(Batches(small.parts["val"], CPU), small.tasks), None)
    inputs = data.parts["test"].inputs.take(slice(None))
    found, expected = linear(inputs), fitted(inputs)
    for name in data.tasks:
        unit = 1000 if name in ("first", "second") else 1
        torch.testing.assert_close(unit * found[name], expected[name], atol=1e-2, rtol=1e-2)


def test_rows_count_as_their_weights_say(data: Prepared, fitted: LinearModels) -> None:
    part, random = data.parts["train"], np.random.default_rng(0)
    wrong = random.random(len(part)) < 0.3
    targets = {
        name: replace(target, values=np.where(wrong, random.permutation(target.values), target.values))
        for name, target in part.targets.items()
    }

    def error(weight: float, known: np.ndarray) -> float:
        linear, weights = network_of(data).linear, np.where(wrong, weight, 1).astype("float32")
        assert linear is not None
        labels = {name: replace(target, mask=target.mask & known) for name, target in targets.items()}
        own = replace(part, targets=labels, weights=dict.fromkeys(targets, weights))
        fit_linear(linear, replace(data, parts={"train": own}), None, None)
        found = linear(data.parts["test"].inputs.take(slice(None)))["first"][:, 0].numpy()
        return float(np.square(found - data.parts["test"].targets["first"].values).mean())

    every = np.ones(len(part), bool)
    assert error(0.0, every) == pytest.approx(error(1.0, ~wrong), rel=0.1), "they are as good as not there"
    assert error(0.0, every) < 0.85 * error(1.0, every)


def test_the_penalty_is_that_of_the_least_loss_on_validation_rows(
    data: Prepared, validation: Validation, fitted: LinearModels
) -> None:
    train, val = (fitted.reads.table(data.parts[part].inputs) for part in ("train", "val"))
    target, there = data.parts["train"].targets["second"], data.parts["val"].targets["second"]
    errors = []
    for penalty in PENALTIES:
        model = Ridge(alpha=penalty).fit(train[target.mask], target.values[target.mask])
        errors.append(np.square(model.predict(val) - there.values)[there.mask].mean())
    assert float(fitted.penalties[1]) == pytest.approx(PENALTIES[int(np.argmin(errors))])
    assert len({round(penalty, 3) for penalty in fitted.penalties.tolist()}) > 1, "each task has its own"


def test_what_tasks_have_in_common_is_learnt_from_all_their_labels(data: Prepared, fitted: LinearModels) -> None:
    train, test = (fitted.reads.table(data.parts[part].inputs) for part in ("train", "test"))
    target, there = data.parts["train"].targets["second"], data.parts["test"].targets["second"]
    alone = max(
        r2_score(
            there.values[there.mask],
            Ridge(alpha=penalty).fit(train[target.mask], target.values[target.mask]).predict(test)[there.mask],
        )
        for penalty in PENALTIES
    )
    together = fitted(data.parts["test"].inputs.take(slice(None)))["second"][:, 0].numpy()
    assert r2_score(there.values[there.mask], together[there.mask]) > alone + 0.1


def test_shares_are_those_of_the_least_loss_and_the_outputs_are_what_they_make(
    data: Prepared, fitted: LinearModels
) -> None:
    network = network_of(data)
    network.linear = copy.deepcopy(fitted)
    validation = Validation(Batches(data.parts["val"], CPU), data.tasks)
    alone = network_of(data, "none")
    alone.load_state_dict({key: value for key, value in network.state_dict().items() if not key.startswith("linear.")})
    with torch.no_grad():
        for name, head in alone.heads.items():  # as if the network had learnt a part of each task
            head.weight.mul_(0.1 if name == "third" else 3)
            network.heads[name].load_state_dict(head.state_dict())
    inputs, part = data.parts["val"].inputs, data.parts["val"]
    by_network, by_linear = outputs(alone, inputs), fitted(inputs.take(slice(None)))
    for _ in range(2):
        row = validation(network)
        for name in data.tasks:
            losses = [
                float(validation.loss(name, (1 - share) * by_network[name] + share * by_linear[name]))
                for share in SHARES
            ]
            assert row[f"linear_{name}"] == pytest.approx(SHARES[int(np.argmin(losses))])
            assert row[f"val_loss_{name}"] == pytest.approx(min(losses), rel=1e-5)
        first, y = by_network["first"][:, 0].numpy(), part.targets["first"].values
        apart = by_linear["first"][:, 0].numpy() - first
        best = np.clip(((y - first) * apart).sum() / (apart**2).sum(), 0, 1)
        assert abs(row["linear_first"] - best) <= 0.05 + 1e-6, "of squared errors there is a closed form"
        found = outputs(network, inputs)
        for name, output in found.items():
            share = row[f"linear_{name}"]
            torch.testing.assert_close(output, (1 - share) * by_network[name] + share * by_linear[name])


def test_classes_and_labels_that_are_lacking(data: Prepared) -> None:
    """No label, one class, and two of three: there is the constant, or a class that is all but impossible."""
    rows, targets = len(data.parts["train"]), dict(data.parts["train"].targets)
    nothing, values = np.zeros(rows, bool), targets["third"].values
    targets["second"] = replace(targets["second"], mask=nothing)
    targets["high"] = replace(targets["high"], values=np.ones_like(targets["high"].values))
    targets["third"] = replace(targets["third"], mask=values != 1)
    few = replace(data, parts={"train": replace(data.parts["train"], targets=targets)})
    linear = network_of(data).linear
    assert linear is not None
    fit_linear(linear, few, None, Chosen({"first": 10.0}, {"first": 0.75, "third": 0.5}, {"third": True}))
    found = linear(data.parts["test"].inputs.take(slice(None)))
    for name in ("second", "high"):
        torch.testing.assert_close(found[name], torch.from_numpy(data.tasks[name].baseline).expand_as(found[name]))
    shares = found["third"].softmax(1).numpy()
    assert shares[:, 1].max() < 1e-4
    there = data.parts["test"].targets["third"]
    others = there.mask & (there.values != 1)
    most = np.bincount(there.values[others]).max() / others.sum()
    assert (shares.argmax(1) == there.values)[others].mean() > most + 0.1
    assert not linear.penalties.any() and not linear.second.any(), "no validation row chose anything"
    assert mean_shares([linear]) == {"first": 0.75, "second": 0, "high": 0, "third": 0.5}


def test_what_takes_long_is_told_and_what_takes_too_long_left_out(
    data: Prepared, validation: Validation, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    for most, fitted in ((1e9, True), (1000.0, False)):
        monkeypatch.setattr("mtl_cli.training.linear.LONG", 1000)
        monkeypatch.setattr("mtl_cli.training.linear.MOST", most)
        network = network_of(data)
        assert network.linear is not None
        fit_linear(network.linear, data, validation, None, told.append)
        shares = Validation(Batches(data.parts["val"], CPU), data.tasks)(network)
        assert bool(network.linear.weight.any()) == any(shares[f"linear_{name}"] for name in data.tasks) == fitted
    assert [line.split(": ")[1][:31] for line in told] == [
        "linear models are fitted first,", "linear models of so many rows a",
    ]  # fmt: skip


def test_of_several_networks_the_middle_penalty_and_the_mean_share_are_taken(data: Prepared) -> None:
    several = [network_of(data).linear for _ in range(3)]
    linear = [one for one in several if one is not None]
    for one, penalty, share, second in zip(linear, (0.1, 30, 1), (0.0, 0.9, 0.6), (1, 0, 1), strict=True):
        one.penalties.fill_(penalty)
        one.shares.fill_(share)
        one.second.fill_(second)
    linear[1].penalties[1] = linear[1].shares[1] = 0  # of the second task, no validation row had a label
    chosen = Chosen.by(linear)
    assert chosen.penalties == pytest.approx({"first": 1, "second": 0.55, "high": 1, "third": 1})
    assert chosen.shares == pytest.approx({"first": 0.5, "second": 0.3, "high": 0.5, "third": 0.5})
    assert chosen.second == dict.fromkeys(data.tasks, True)
    assert Chosen.by([network_of(data).linear]) == Chosen.by([None]) == Chosen({}, {}, {})


def test_there_is_none_where_rows_are_no_family_or_are_read_from_both_strands(data: Prepared) -> None:
    assert network_of(data, "none").linear is None
    whole = replace(data.reader.spec, reference=[])
    model = Model(trunk=SequenceCNN(), linear="auto")
    assert build_network(model, whole, shapes(data.tasks)).linear is None
    dna = replace(SequenceEncoder("s", None, None, False, letters=ALPHABETS["dna"]).spec, reference=[1, 2, 3])
    both = Model(trunk=SequenceCNN(reverse_complement="tied"), linear="auto")
    assert build_network(both, dna, shapes(data.tasks)).linear is None
    assert build_network(model, dna, shapes(data.tasks)).linear is not None
    quantiles = Regression(loss="quantile").fit("q", pd.DataFrame({"q": [1.0, 2.0, 3.0]}), np.arange(3))
    assert shapes({**data.tasks, "q": quantiles})["first"].linear and not shapes({"q": quantiles})["q"].linear
    counted = {"n": Shape(1), "y": Shape(1, linear=True)}
    found = build_network(model, dna, counted).linear
    assert found is not None and found.tasks == ["y"]
