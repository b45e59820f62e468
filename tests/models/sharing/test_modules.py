"""The schemes' forward passes and penalties against their papers' equations, written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from mtl_cli.config.registry import components
from mtl_cli.config.schema import Model
from mtl_cli.data.inputs import InputSpec
from mtl_cli.models.network import Network, Shape, build_network
from mtl_cli.models.sharing.modules.gates import SelectorGate, mix, smooth_step
from mtl_cli.models.sharing.modules.own import squared_distance, trace_norm
from mtl_cli.models.trunks.mlp import MLP

SPEC = InputSpec("features", (5,))
TASKS = {"a": Shape(1), "b": Shape(2), "keys": Shape(1)}
SCHEMES = sorted(components("sharing"))


def build(
    scheme: str, tasks: dict[str, Shape] = TASKS, spec: InputSpec = SPEC, hidden: tuple[int, ...] = (8, 6), **keys
) -> Network:
    torch.manual_seed(0)
    trunk = MLP(hidden=list(hidden), dropout=0.0)
    keys = {"budget": "each"} | keys if scheme == "none" else keys
    return build_network(Model(trunk=trunk, sharing=components("sharing")[scheme](**keys)), spec, tasks)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_parameter_below_the_heads_is_shared_if_two_tasks_reach_it(scheme: str) -> None:
    """What the schemes say is shared is what autograd finds, for one level of layers, two, and three."""
    for hidden in ((6,), (8, 6), (8, 7, 6)):
        model = build(scheme, hidden=hidden, **({"gate": "example"} if scheme == "dselect_k" else {}))
        below = list(model.shared.parameters())
        reach = {id(p): 0 for p in below}
        for output in model(torch.randn(50, 5)).values():
            found = torch.autograd.grad(output.square().sum(), below, retain_graph=True, allow_unused=True)
            for parameter, gradient in zip(below, found, strict=True):
                reach[id(parameter)] += gradient is not None and bool(gradient.any())
        assert all(reach.values()), "every parameter is used"
        assert {id(p) for p in model.shared_parameters()} == {p for p, tasks in reach.items() if tasks > 1}
        everywhere = {p for p, tasks in reach.items() if tasks == len(TASKS)}
        assert all(id(layer.weight) in everywhere for layer in model.last_shared_layers)
        shares = components("sharing")[scheme].shares_layers
        assert bool(model.last_shared_layers) == bool(model.shared_parameters()) == shares


@pytest.mark.parametrize("scheme", SCHEMES)
def test_shapes_states_and_names(scheme: str) -> None:
    model = build(scheme)
    outputs = model(torch.randn(10, 5))
    assert {name: tuple(output.shape) for name, output in outputs.items()} == {
        "a": (10, 1),
        "b": (10, 2),
        "keys": (10, 1),
    }
    assert list(model.representations(torch.randn(10, 5))) == list(TASKS)
    assert len(model.state_dict()) == len(list(model.named_parameters())), "nothing is registered twice"
    other = build(scheme)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    other.load_state_dict(model.state_dict())
    x = torch.randn(4, 5)
    assert all(torch.equal(value, other(x)[name]) for name, value in model(x).items())


@pytest.mark.parametrize("scheme", SCHEMES)
def test_one_task_works(scheme: str) -> None:
    model = build(scheme, {"only": Shape(1)})
    assert model(torch.randn(3, 5))["only"].shape == (3, 1)
    penalty = model.penalty()
    assert penalty is None or penalty.isfinite()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_images_are_read_too(scheme: str) -> None:
    spec = InputSpec("image", (1, 3, 4), center=[100.0], scale=[50.0])
    outputs = build(scheme, spec=spec)(torch.randint(0, 256, (7, 1, 3, 4), dtype=torch.uint8))
    assert outputs["b"].shape == (7, 2)


@pytest.mark.parametrize(
    ("scheme", "count"),
    [("hard", 1), ("none", 3), ("soft", 3), ("cross_stitch", 3), ("mmoe", 4), ("dselect_k", 4), ("cgc", 4), ("ple", 4)],
)
def test_it_tells_its_trunks(scheme: str, count: int) -> None:
    """Each is what the trunk's config builds; together they are all but gates and stitches."""
    model, x = build(scheme), torch.randn(4, 5)
    trunks = model.shared.trunks()
    assert len(trunks) == count
    assert all(trunk(x).shape == (4, 6) for trunk in trunks)
    theirs = sum(p.numel() for trunk in trunks for p in trunk.parameters())
    assert theirs == count * (5 * 8 + 8 + 8 * 6 + 6)
    others = [n for n, _ in model.shared.named_parameters() if "gate" in n or "units" in n]
    assert theirs + sum(model.shared.get_parameter(n).numel() for n in others) == sum(
        p.numel() for p in model.shared.parameters()
    )
    assert model.shared.trunks_of_tasks == (scheme not in ("hard", "mmoe", "dselect_k"))


def linear(layer: nn.Linear, weight: list[list[float]], bias: list[float]) -> None:
    layer.weight.data, layer.bias.data = torch.tensor(weight), torch.tensor(bias)


def test_cross_stitch_by_hand() -> None:
    """Two tasks, two stages of one unit, on the input 1: x̃ = α x behind each."""
    model = build("cross_stitch", {"a": Shape(1), "b": Shape(1)}, InputSpec("features", (1,)), (1, 1), diagonal=0.9)
    for stage, (first, second) in enumerate(((2.0, 4.0), (3.0, 5.0))):
        linear(model.shared._stages[stage][0][0], [[first]], [0.0])
        linear(model.shared._stages[stage][1][0], [[second]], [0.0])
    found = model.representations(torch.ones(1, 1))
    low, high = 0.9 * 2 + 0.1 * 4, 0.1 * 2 + 0.9 * 4  # behind the first stage
    assert found["a"].item() == pytest.approx(0.9 * 3 * low + 0.1 * 5 * high, rel=1e-6)
    assert found["b"].item() == pytest.approx(0.1 * 3 * low + 0.9 * 5 * high, rel=1e-6)


@pytest.mark.parametrize("per", ["layer", "channel"])
def test_cross_stitch_starts_near_separate_trunks(per: str) -> None:
    x = torch.randn(20, 5)
    model = build("cross_stitch", diagonal=1.0, per=per)
    alone = [x] * 3
    for stage in model.shared._stages:
        alone = [module(value) for module, value in zip(stage, alone, strict=True)]
    for z, expected in zip(model.representations(x).values(), alone, strict=True):
        torch.testing.assert_close(
            z, expected, rtol=1e-6, atol=1e-7
        )  # products of rows laid out otherwise may round so
    near = build("cross_stitch", diagonal=0.9, per=per)
    rows = torch.stack([*near.shared.units[0].alpha])
    assert torch.allclose(rows.sum(1), torch.ones(()))
    assert torch.allclose(rows.diagonal().min(), torch.tensor(0.9))
    for z, expected in zip(near.representations(x).values(), alone, strict=True):
        assert ((z - expected).norm() / expected.norm()).item() < 0.5


def test_a_unit_per_channel_mixes_each_channel_by_itself() -> None:
    model = build("cross_stitch", {"a": Shape(1), "b": Shape(1)}, per="channel")
    unit = model.shared.units[0]
    alpha, outputs = torch.randn(2, 2, 8), torch.randn(2, 4, 8, 3, 3)
    for parameter, row in zip(unit.alpha, alpha, strict=True):
        parameter.data = row
    expected = torch.stack([sum(alpha[i, j].view(8, 1, 1) * outputs[j] for j in range(2)) for i in range(2)])
    assert torch.allclose(unit(outputs), expected, atol=1e-6)


def test_mmoe_by_hand() -> None:
    """Two experts that return 2x and 4x; the gates of a and b are softmax((x, 0)) and (1/2, 1/2)."""
    model = build("mmoe", {"a": Shape(1), "b": Shape(1)}, InputSpec("features", (1,)), (1,), experts=2)
    linear(model.shared.experts[0][0], [[2.0]], [0.0])
    linear(model.shared.experts[1][0], [[4.0]], [0.0])
    linear(model.shared.gates[0], [[1.0], [0.0]], [0.0, 0.0])
    linear(model.shared.gates[1], [[0.0], [0.0]], [0.0, 0.0])
    x = torch.tensor([[1.0], [3.0]])
    first = 1 / (1 + math.exp(-1.0)), 1 / (1 + math.exp(-3.0))
    found = model.representations(x)
    assert found["a"][:, 0].tolist() == pytest.approx(
        [g * 2 * v + (1 - g) * 4 * v for g, v in zip(first, (1, 3), strict=True)], rel=1e-6
    )
    assert found["b"][:, 0].tolist() == pytest.approx([3.0, 9.0], rel=1e-6)


def test_gates_are_softmax_per_task_and_row() -> None:
    model, x = build("mmoe", experts=3), torch.randn(6, 5)
    weights = [gate(x) for gate in model.shared.gates]
    assert all(torch.allclose(w.sum(1), torch.ones(6)) and bool((w > 0).all()) for w in weights)
    assert not torch.allclose(weights[0], weights[1])
    gate = model.shared.gates[0]
    assert torch.allclose(weights[0], torch.softmax(x @ gate.weight.T + gate.bias, 1))


def test_ple_by_hand() -> None:
    """Two levels, two tasks, one own and one shared expert each, written out as in the paper's equations 5 and 6."""
    model = build("ple", {"a": Shape(1), "b": Shape(1)})
    first, second = model.shared._levels
    x = torch.randn(9, 5)

    def mixed(gate: nn.Module, read: torch.Tensor, outputs: list[torch.Tensor]) -> torch.Tensor:
        weights = torch.softmax(read @ gate.weight.T + gate.bias, 1)
        return sum(weights[:, i : i + 1] * output for i, output in enumerate(outputs))

    a, b, s = first._own[0][0](x), first._own[1][0](x), first.shared[0](x)
    assert len(first.gates[0].bias) == len(first.gates[1].bias) == 2, (
        "a task's gate reads its own and the shared experts"
    )
    assert len(first.shared_gate.bias) == 3, "the shared gate reads all"
    below = mixed(first.gates[0], x, [a, s]), mixed(first.gates[1], x, [b, s]), mixed(first.shared_gate, x, [a, b, s])
    above = [second._own[0][0](below[0]), second._own[1][0](below[1]), second.shared[0](below[2])]
    expected = (
        mixed(second.gates[0], below[0], [above[0], above[2]]),
        mixed(second.gates[1], below[1], [above[1], above[2]]),
    )
    found = model.representations(x)
    assert torch.allclose(found["a"], expected[0], atol=1e-6)
    assert torch.allclose(found["b"], expected[1], atol=1e-6)
    assert second.shared_gate is None, "the last level has no shared gate"


def test_more_experts_than_one() -> None:
    model = build("ple", shared_experts=2, task_experts=3)
    first = model.shared._levels[0]
    assert [len(gate.bias) for gate in first.gates] == [5, 5, 5]
    assert len(first.shared_gate.bias) == 3 * 3 + 2
    assert len(model.last_shared_layers) == 2


def test_cgc_is_ple_of_one_level() -> None:
    cgc, ple, x = build("cgc", hidden=(6,)), build("ple", hidden=(6,)), torch.randn(7, 5)
    ple.load_state_dict(cgc.state_dict())
    assert all(torch.equal(z, ple.representations(x)[task]) for task, z in cgc.representations(x).items())


def test_cgc_keeps_a_tasks_experts_from_the_others() -> None:
    model, x = build("cgc"), torch.randn(7, 5)
    before = model.representations(x)
    with torch.no_grad():
        for parameter in model.shared._levels[0]._own[0][0].parameters():
            parameter.add_(1)
    after = model.representations(x)
    assert [torch.equal(before[task], after[task]) for task in TASKS] == [False, True, True]


def test_smooth_step_is_the_cubic_and_saturates() -> None:
    gamma = 2.0
    t = torch.tensor([-5.0, -1.0, -0.5, 0.0, 0.5, 1.0, 5.0], requires_grad=True)
    found = smooth_step(t, gamma)
    inside = [-2 / 8 * v**3 + 3 / 4 * v + 0.5 for v in (-0.5, 0.0, 0.5)]
    assert found.tolist() == pytest.approx([0.0, 0.0, *inside, 1.0, 1.0], abs=1e-7)
    assert found[1] == 0.0 and found[5] == 1.0
    found.sum().backward()
    assert t.grad[[0, 1, 5, 6]].tolist() == [0.0] * 4
    assert float(t.grad[3]) == pytest.approx(3 / (2 * gamma))


@pytest.mark.parametrize(("experts", "k"), [(4, 2), (8, 3), (5, 2), (3, 1), (1, 1)])
@pytest.mark.parametrize("reads", [None, 5])
def test_selectors_that_have_decided_choose_at_most_k_experts(experts: int, k: int, reads: int | None) -> None:
    torch.manual_seed(1)
    gate, x = SelectorGate(reads, experts, k, 1.0), torch.randn(40, 5)
    weights = gate(x).reshape(-1, experts)
    assert torch.allclose(weights.sum(1), torch.ones(()), atol=1e-6)
    assert bool((weights >= 0).all())
    with torch.no_grad():  # far from 0, all z lie outside the step
        for parameter in gate.parameters():
            parameter[: k * gate.bits] = torch.randn_like(parameter[: k * gate.bits]) * 1e8
    weights = gate(x).reshape(-1, experts)
    assert torch.allclose(weights.sum(1), torch.ones(()), atol=1e-6)
    assert int((weights > 0).sum(1).max()) <= k
    assert float(gate.entropy(x)) < 1e-3


def test_selector_by_hand() -> None:
    """Two selectors of four experts: z = (0.25, −0.25) and one that has decided for expert 3; γ = 1."""
    gate = SelectorGate(None, 4, 2, 1.0)
    gate.logits.data = torch.tensor([0.25, -0.25, 2.0, 2.0, math.log(3.0), 0.0])
    step = -2 * 0.25**3 + 1.5 * 0.25 + 0.5
    first = [
        (1 - step) * step,
        step * step,
        (1 - step) ** 2,
        step * (1 - step),
    ]  # digits lowest first: S(−t) = 1 − S(t)
    expected = [0.75 * r + 0.25 * (e == 3) for e, r in enumerate(first)]
    assert gate(torch.zeros(1, 1)).tolist() == pytest.approx(expected, rel=1e-6)
    entropy = -sum(r * math.log(r) for r in first)
    assert float(gate.entropy(torch.zeros(1, 1))) == pytest.approx(entropy, abs=1e-4)


def test_the_entropy_makes_selectors_decide() -> None:
    gate, x = SelectorGate(None, 8, 2, 1.0), torch.zeros(1, 1)
    optimizer = torch.optim.Adam(gate.parameters(), lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        gate.entropy(x).backward()
        optimizer.step()
    assert int((gate(x) > 0).sum()) <= 2


@pytest.mark.parametrize("gate", ["static", "example"])
def test_dselect_k_gives_a_penalty_once_a_step(gate: str) -> None:
    model, x = build("dselect_k", gate=gate, entropy=0.5), torch.randn(30, 5)
    model.train()
    outputs = model(x)
    expected = 0.5 * sum(float(g.entropy(x)) for g in model.shared.gates)
    sum(output.sum() for output in outputs.values()).backward()  # frees that graph: the penalty has its own
    penalty = model.penalty()
    assert float(penalty) == pytest.approx(expected, rel=1e-5)
    penalty.backward()
    model.eval()
    model(x)
    assert model.penalty() is None, "nothing to train on"


def test_soft_sharing_starts_together_or_apart() -> None:
    same, own, x = build("soft", strength=2.0), build("soft", strength=2.0, start="own"), torch.randn(4, 5)
    a, b, _ = same.representations(x).values()
    assert torch.equal(a, b)
    assert float(same.penalty()) == pytest.approx(0, abs=1e-9)
    assert float(own.penalty()) > 0
    assert build("soft", strength=0.0).penalty() is None
    assert all(build(scheme).penalty() is None for scheme in SCHEMES if scheme not in ("soft", "dselect_k"))


def test_distances_are_what_they_are_called() -> None:
    torch.manual_seed(0)
    layer = [torch.randn(3, 4) for _ in range(3)]
    pairs = [(layer[s] - layer[t]).square().sum() for s in range(3) for t in range(s)]
    assert float(squared_distance(layer)) == pytest.approx(float(sum(pairs)), rel=1e-5)
    columns = torch.stack([weight.flatten() for weight in layer], 1)
    assert float(trace_norm(layer)) == pytest.approx(float(torch.linalg.matrix_norm(columns, "nuc")), rel=1e-5)
    model = build("soft", strength=0.5, start="own")
    expected = 0.5 * sum(
        float(squared_distance(layer)) for layer in zip(*(t.parameters() for t in model.shared.own), strict=True)
    )
    assert float(model.penalty()) == pytest.approx(expected, rel=1e-5)


def train_on_penalty(model: Network, steps: int) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        model.penalty().backward()
        optimizer.step()


def first_layers(model: Network) -> torch.Tensor:
    """Return the tasks' weights of the first layer side by side."""
    return torch.stack([trunk[0].weight.detach().flatten() for trunk in model.shared.own], 1)


def test_the_l2_distance_brings_trunks_to_their_mean() -> None:
    """A step is W_t ← W_t − 2 lr λ T (W_t − W̄): what is left of the distances falls by 1 − 2 lr λ T."""
    model = build("soft", strength=1.0, start="own")
    before = first_layers(model)
    train_on_penalty(model, 10)
    mean = before.mean(1, keepdim=True)
    assert torch.allclose(first_layers(model), mean + (1 - 2 * 0.01 * 3) ** 10 * (before - mean), atol=1e-5)


def test_the_trace_norm_takes_as_much_from_every_singular_value() -> None:
    """A step is Σ ← Σ − lr λ, until the smallest are 0: the rank falls."""
    model = build("soft", strength=1.0, start="own", distance="trace_norm")
    before = torch.linalg.svdvals(first_layers(model))
    train_on_penalty(model, 50)
    assert torch.allclose(torch.linalg.svdvals(first_layers(model)), before - 0.5, atol=1e-4)
    train_on_penalty(model, 200)
    assert float(torch.linalg.svdvals(first_layers(model)).max()) < 0.05


def test_mix_of_any_shape() -> None:
    outputs = torch.randn(3, 4, 2, 5)
    weights = torch.rand(4, 3)
    assert torch.allclose(
        mix(weights, outputs), sum(weights[:, e].view(4, 1, 1) * outputs[e] for e in range(3)), atol=1e-6
    )
    assert torch.allclose(mix(weights[0], outputs), sum(weights[0, e] * outputs[e] for e in range(3)), atol=1e-6)


@pytest.mark.parametrize("scheme", [scheme for scheme in SCHEMES if scheme != "hard"])
def test_total_keeps_to_the_parameters_of_hard_sharing(scheme: str) -> None:
    def count(model: Network) -> int:
        return sum(p.numel() for p in model.parameters())

    hard = count(build("hard", hidden=(64, 32)))
    total, each = (
        count(build(scheme, hidden=(64, 32), budget="total")),
        count(build(scheme, hidden=(64, 32), budget="each")),
    )
    assert 0.93 * hard <= total <= hard < each
