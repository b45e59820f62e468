"""The convolutional trunk: padding changes nothing, to the gradient; balancers see its shared gradients exactly."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from mtl_cli.balancing.step import TrainingStep
from mtl_cli.config.registry import components
from mtl_cli.config.schema import Model
from mtl_cli.data.batches import Batch
from mtl_cli.data.inputs import InputSpec
from mtl_cli.data.sequences.differences import differences, number_of_kinds
from mtl_cli.data.sequences.residues import VOCABULARY
from mtl_cli.data.sequences.rows import TokenRows
from mtl_cli.inference.evaluate import outputs
from mtl_cli.models.network import Network, build_network, shapes
from mtl_cli.models.trunks.sequence_cnn import SequenceCNN
from mtl_cli.tasks.kinds.multiclass import MulticlassTask
from mtl_cli.tasks.kinds.regression import RegressionTask
from mtl_cli.tasks.kinds.residue import ResidueTask
from mtl_cli.tasks.task import Task

SPEC = InputSpec("sequence", (len(VOCABULARY),), VOCABULARY)
LENGTHS = np.array([5, 12, 3, 30, 17])
POOLINGS = ("mean", "max", "attention")
METHODS = sorted(set(components("balancer")) - {"static", "torchjd"})


def make_tasks() -> dict[str, Task]:
    tasks: list[Task] = [
        MulticlassTask("family", ["family"], 1.0, False, ["a", "b", "c"], None, 0.0),
        ResidueTask("structure", ["structure"], 0.7, False, ["C", "E", "H"], "-.", None),
        RegressionTask("stability", ["stability"], 1.0, False, "mse", 1.0, "none", None),
    ]
    return {task.name: task for task in tasks}


FAMILY = replace(SPEC, reference=[3, 1, 2, 9, 9, 4, 7, 8, 2, 20, 11, 5, 6, 1, 1])


def make_model(pooling: str = "max", spec: InputSpec = SPEC, **keys) -> Network:
    torch.manual_seed(0)
    trunk = SequenceCNN(width=12, blocks=3, kernel=3, longest_dilation=2, dropout=0.0, pooling=pooling, **keys)  # type: ignore[arg-type]
    return build_network(Model(trunk=trunk), spec, shapes(make_tasks()))


def make_rows(lengths: np.ndarray = LENGTHS) -> TokenRows:
    random = np.random.default_rng(1)
    return TokenRows(torch.from_numpy(random.integers(1, 27, lengths.sum()).astype("uint8")), lengths)


def make_batch(rows: TokenRows, chosen: torch.Tensor | None = None) -> Batch:
    """All rows, or some; a third of the residues and one family have no label."""
    random = np.random.default_rng(2)
    states = random.integers(0, 3, (len(rows), rows.lengths.max())).astype("int8")
    states[random.random(states.shape) < 0.3] = -1
    states[np.arange(states.shape[1]) >= rows.lengths[:, None]] = -1
    targets = {
        "family": torch.from_numpy(random.integers(0, 3, len(rows))),
        "structure": torch.from_numpy(states),
        "stability": torch.from_numpy(random.normal(size=len(rows)).astype("float32")),
    }
    masks = {
        "family": torch.tensor([1.0, 1, 0, 1, 1]),
        "structure": (targets["structure"] >= 0).sum(1).float(),
        "stability": None,
    }
    chosen = torch.arange(len(rows)) if chosen is None else chosen
    picked = {name: None if mask is None else mask[chosen] for name, mask in masks.items()}
    return Batch(rows.take(chosen), {name: target[chosen] for name, target in targets.items()}, picked)


def losses_of(model: Network, batch: Batch) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """The sum of each task's losses over what has a label, and how much that is."""
    found = {}
    for name, task in make_tasks().items():
        mask = batch.masks[name]
        mask = torch.ones(len(batch)) if mask is None else mask
        found[name] = ((task.loss(model(batch.inputs)[name], batch.targets[name]) * mask).sum(), mask.sum())
    return found


@pytest.mark.parametrize(("pooling", "spec"), [*((pooling, SPEC) for pooling in POOLINGS), ("max", FAMILY)])
def test_padding_changes_no_output(pooling: str, spec: InputSpec) -> None:
    model, rows = make_model(pooling, spec).eval(), make_rows()
    together = model(rows.take(slice(None)))
    wider = model(torch.nn.functional.pad(rows.take(slice(None)), (0, 25)))
    for row, length in enumerate(LENGTHS):
        alone = model(rows.take(torch.tensor([row])))
        for name in together:
            each = (together[name][row], wider[name][row])
            for found in (value[:length] if name == "structure" else value for value in each):
                torch.testing.assert_close(found, alone[name][0], atol=1e-6, rtol=1e-5)
    z = model.representations(rows.take(slice(None)))["structure"]
    assert not z[0, 5:].any(), "and beyond a row's end there is nothing"


@pytest.mark.parametrize(("pooling", "spec"), [*((pooling, SPEC) for pooling in POOLINGS), ("max", FAMILY)])
def test_the_loss_and_the_gradient_of_a_batch_are_those_of_its_rows_alone(pooling: str, spec: InputSpec) -> None:
    """In double precision: a token task's loss is the mean over all residues with a label, whatever their rows."""
    rows = make_rows()
    model = make_model(pooling, spec).double()
    whole = losses_of(model, make_batch(rows))
    sum(total / count for total, count in whole.values()).backward()
    single = make_model(pooling, spec).double()
    pieces = [losses_of(single, make_batch(rows, torch.tensor([row]))) for row in range(len(rows))]
    means = {name: sum(piece[name][0] for piece in pieces) / whole[name][1] for name in whole}
    sum(means.values()).backward()
    for name, (total, count) in whole.items():
        torch.testing.assert_close(total / count, means[name], atol=1e-12, rtol=1e-12)
    for found, expected in zip(model.parameters(), single.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, atol=1e-12, rtol=1e-10)


def test_chunked_outputs_come_in_the_rows_order_and_end_where_a_row_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtl_cli.data.sequences.rows.CHUNK", 24)
    model, rows = make_model().eval(), make_rows()
    assert len(rows.chunks()) > 2
    found = outputs(model, rows)
    assert found["structure"].shape == (5, 30, 3)
    for row, length in enumerate(LENGTHS):
        alone = model(rows.take(torch.tensor([row])))
        torch.testing.assert_close(found["family"][row], alone["family"][0], atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(found["structure"][row, :length], alone["structure"][0], atol=1e-6, rtol=1e-5)
        assert found["structure"][row, length:].isnan().all()


def flat(parameters: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor | None]) -> torch.Tensor:
    pairs = zip(parameters, gradients, strict=True)
    return torch.cat([torch.zeros_like(p).flatten() if g is None else g.flatten() for p, g in pairs])


@pytest.mark.parametrize(("name", "spec"), [*((name, SPEC) for name in METHODS), *((n, FAMILY) for n in METHODS)])
def test_balancers_weigh_tasks_of_rows_and_of_residues(name: str, spec: InputSpec) -> None:
    """The shared gradient is that of Σ w_t L_t by autograd, and what the balancer saw is the tasks' own."""
    tasks, batch = make_tasks(), make_batch(make_rows())
    model = make_model("attention", spec)
    step = TrainingStep(model, tasks, components("balancer")[name](), torch.device("cpu"))
    assert model.last_shared_layer is model.shared.trunk.last  # type: ignore[union-attr]
    plain = copy.deepcopy(model)
    shared = plain.shared_parameters()
    means = [total / count * tasks[task].weight for task, (total, count) in losses_of(plain, batch).items()]
    each = [torch.autograd.grad(mean, shared, retain_graph=True, allow_unused=True) for mean in means]
    jacobian = torch.stack([flat(shared, g_t) for g_t in each])
    result = step(batch)
    found = flat(shared, [p.grad for p in model.shared_parameters()])
    if not step.directed:
        torch.testing.assert_close(found, step.weights @ jacobian, atol=2e-6, rtol=2e-4)
    if result.gramian is not None:
        torch.testing.assert_close(result.gramian, jacobian @ jacobian.T, atol=1e-6, rtol=1e-4)
    if name == "gradnorm":
        position = [i for i, p in enumerate(shared) if p is plain.last_shared_layer.weight]  # type: ignore[union-attr]
        norms = torch.stack([torch.linalg.vector_norm(g_t[position[0]]) for g_t in each])  # type: ignore[arg-type]
        torch.testing.assert_close(result.columns["norm"], norms, atol=1e-6, rtol=1e-4, check_dtype=False)


def substituted(*changes: tuple[int, int]) -> torch.Tensor:
    """Return the reference of ``FAMILY`` with other residues at some places, (1, length)."""
    tokens = torch.tensor([FAMILY.reference])
    for place, residue in changes:
        tokens[0, place] = residue
    return tokens


def test_every_kind_of_difference_has_a_number_of_its_own() -> None:
    reference, tokens = torch.tensor(FAMILY.reference), len(VOCABULARY)
    longer = torch.cat([reference[:4], torch.tensor([11]), reference[4:]]).unsqueeze(0)
    rows = [longer, reference[:-1].unsqueeze(0), substituted((4, 11)), substituted((4, 12)), substituted((5, 11))]
    rows.append(torch.cat([reference, torch.tensor([tokens - 1])]).unsqueeze(0))
    numbers = [int(differences(row, reference).kinds(tokens)) for row in rows]
    assert len(set(numbers)) == len(rows) and max(numbers) < number_of_kinds(len(reference), tokens)
