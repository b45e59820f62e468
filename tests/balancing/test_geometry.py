"""The tasks' gradients, their Gramian and their weighted sum, against a pass of autograd per task."""

import copy
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mtl_cli.balancing.geometry import Geometry, Root
from mtl_cli.balancing.geometry_parts import Dense, Factored, Joined, join, product
from mtl_cli.balancing.geometry_products import add_products, norms, weighted_sum

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}
TYPES = pytest.mark.parametrize("dtype", list(TOLERANCE), ids=["float32", "float64"])


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x):
        return x + self.b(self.a(x).relu())


class CalledTwice(Residual):
    def forward(self, x):
        return self.b(self.a(self.a(x).relu()))


class ReadDirectly(Residual):
    def forward(self, x):
        return self.a(x).tanh() @ self.a.weight + self.b(x)


class ChangedInPlace(Residual):
    def forward(self, x):
        hidden = self.a(x)
        hidden.mul_(2)
        return self.b(hidden.relu_())


class Unused(Residual):
    def forward(self, x):
        return self.b(x)


class Table(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Embedding(20, 8, padding_idx=0), nn.Linear(8, 8)

    def forward(self, x):
        return self.b(self.a(x)).mean(1)


class MyLinear(nn.Linear):
    def forward(self, x):
        return super().forward(x) * 2


def tied():
    first, second = nn.Linear(8, 8), nn.Linear(8, 8)
    second.weight = first.weight
    return nn.Sequential(first, nn.ReLU(), second)


def frozen():
    trunk = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    trunk[0].requires_grad_(False)
    trunk[2].bias.requires_grad_(False)
    return trunk


def hooked():
    trunk = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    trunk[0].register_forward_hook(lambda module, arguments, output: output * 3)
    return trunk


ROWS = {
    "linear": lambda: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 12), nn.ReLU()),
    "norms": lambda: nn.Sequential(
        nn.Linear(8, 16), nn.BatchNorm1d(16), nn.GELU(), nn.Dropout(0.3), nn.Linear(16, 12), nn.LayerNorm(12),
        nn.SiLU(), nn.Dropout(0.2), nn.Linear(12, 5),
    ),
    "dropout after relu": lambda: nn.Sequential(
        nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.4), nn.Linear(16, 6), nn.ReLU(), nn.Dropout(0.4)
    ),
    "norms without weights": lambda: nn.Sequential(
        nn.Linear(8, 16), nn.BatchNorm1d(16).eval(), nn.Tanh(), nn.Linear(16, 12, bias=False),
        nn.LayerNorm(12, elementwise_affine=False),
    ),
    "dropout first": lambda: nn.Sequential(nn.Dropout(0.2), nn.Linear(8, 3)),
    "dropout resting": lambda: nn.Sequential(nn.Linear(8, 6), nn.Dropout(0.2).eval(), nn.Linear(6, 3), nn.Dropout(0.0)),
    "wide inputs": lambda: nn.Sequential(nn.Linear(8, 40), nn.Linear(40, 3000), nn.Linear(3000, 64), nn.ReLU()),
    "in place": lambda: nn.Sequential(nn.Linear(8, 16), nn.ReLU(inplace=True), nn.Linear(16, 12)),
    "unknown": lambda: nn.Sequential(nn.Linear(8, 8), nn.PReLU(), MyLinear(8, 8), nn.Softmax(1)),
    "nested": lambda: nn.Sequential(nn.Sequential(nn.Linear(8, 8), nn.ReLU()), nn.Linear(8, 4)),
    "frozen": frozen, "tied": tied, "hooked": hooked,
    "residual": Residual, "twice": CalledTwice, "direct": ReadDirectly, "changed": ChangedInPlace, "unused": Unused,
}  # fmt: skip
OTHERS = {
    "images": lambda: (
        nn.Sequential(
            nn.Conv2d(3, 5, 3, padding=1, stride=2), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 4, 2, dilation=2),
            nn.Flatten(), nn.Linear(36, 6),
        ),
        torch.randn(7, 3, 9, 9),
    ),
    "series": lambda: (
        nn.Sequential(
            nn.Conv1d(3, 6, 3, padding=1, stride=2, groups=3), nn.BatchNorm1d(6), nn.ReLU(),
            nn.Conv1d(6, 4, 2, padding=1), nn.Conv1d(4, 4, 3, padding="same"), nn.Flatten(), nn.Linear(24, 6),
        ),
        torch.randn(7, 3, 9),
    ),
    "table": lambda: (Table(), torch.randint(0, 20, (16, 4))),
    "rows of rows": lambda: (
        nn.Sequential(nn.Linear(8, 16), nn.LayerNorm((5, 16)), nn.ReLU(), nn.Linear(16, 3), nn.Flatten()),
        torch.randn(7, 5, 8),
    ),
}  # fmt: skip


def by_autograd(z, parameters, deltas):
    """Return the Jacobian, a pass per task."""
    rows = []
    for task in range(len(deltas)):
        found = torch.autograd.grad(z, parameters, deltas[task], retain_graph=True, allow_unused=True)
        pairs = zip(parameters, found, strict=True)
        rows.append(torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for p, g in pairs]))
    return torch.stack(rows)


def distance(found, expected):
    return float((found - expected).norm() / expected.norm().clamp(min=1e-300))


def check(trunk, inputs, dtype, tasks, stack):
    trunk = trunk.to(dtype)
    inputs = inputs.to(dtype) if inputs.is_floating_point() else inputs
    reference = copy.deepcopy(trunk)
    geometry = Geometry(list(trunk.modules()), list(trunk.parameters()), stack(trunk))
    model = SimpleNamespace(heads=dict.fromkeys("ab"), representations=lambda x: dict.fromkeys("ab", trunk(x)))
    for step in range(2):  # the second goes by what the first has found
        torch.manual_seed(step)
        z = geometry.forward(model, inputs)["a"]
        torch.manual_seed(step)
        expected_z = reference(inputs)
        assert torch.equal(z, expected_z)
        deltas = torch.randn(tasks, *z.shape, dtype=dtype)
        expected = by_autograd(expected_z, [p for p in reference.parameters() if p.requires_grad], deltas)
        weights = torch.randn(tasks, dtype=dtype)
        for parameter in trunk.parameters():
            parameter.grad = None
        with torch.no_grad():
            gramian, gradients = geometry.gramian([Root(z, list(range(tasks)), deltas)], tasks)
            if gradients is None:
                geometry.backward([(z, weighted_sum(weights, deltas))])
            else:
                gradients.accumulate(weights)
                assert distance(gradients.jacobian(geometry.parameters, tasks), expected) < TOLERANCE[dtype]
        assert torch.equal(gramian, gramian.T)
        exact = expected.double() @ expected.double().T
        assert distance(gramian.double(), exact) < TOLERANCE[dtype]
        found = [torch.zeros_like(p) if p.grad is None else p.grad for p in trunk.parameters() if p.requires_grad]
        assert distance(torch.cat([g.flatten() for g in found]), weights @ expected) < TOLERANCE[dtype]
    return geometry


@TYPES
@pytest.mark.parametrize("name", ROWS)
def test_exact_on_rows(name, dtype):
    for tasks in (1, 3):
        torch.manual_seed(0)
        check(ROWS[name](), torch.randn(32, 8), dtype, tasks, lambda trunk: None)
        torch.manual_seed(0)
        check(
            ROWS[name](), torch.randn(32, 8), dtype, tasks, lambda t: list(t) if isinstance(t, nn.Sequential) else None
        )


@TYPES
@pytest.mark.parametrize("name", OTHERS)
def test_exact_elsewhere(name, dtype):
    torch.manual_seed(0)
    trunk, inputs = OTHERS[name]()
    check(trunk, inputs, dtype, 3, lambda t: list(t) if isinstance(t, nn.Sequential) else None)


def test_layers_with_large_outputs_are_left_to_autograd():
    """A convolution has few parameters and many outputs: all tasks' gradients at those would be held at once."""
    trunk, inputs = OTHERS["images"]()
    geometry = Geometry(list(trunk.modules()), list(trunk.parameters()))
    model = SimpleNamespace(heads={"a": None}, representations=lambda x: {"a": trunk(x)})
    geometry.forward(model, inputs)
    found = [(call.output.numel(), call.module) for call in geometry._trace.calls]
    assert found == [(42, trunk[5])], "the last layer has 222 parameters"


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    widths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    kinds=st.lists(
        st.sampled_from([nn.ReLU, nn.GELU, nn.Tanh, lambda: nn.Dropout(0.5), lambda: nn.LeakyReLU(0.1)]), max_size=4
    ),
    norm=st.sampled_from([None, nn.BatchNorm1d, nn.LayerNorm]),
    rows=st.integers(2, 12),
    tasks=st.integers(1, 5),
)
def test_exact_on_any_stack(widths, kinds, norm, rows, tasks):
    torch.manual_seed(0)
    layers, inputs = [], 4
    for width in widths:
        layers += [nn.Linear(inputs, width), *([norm(width)] if norm else []), *(kind() for kind in kinds)]
        inputs = width
    geometry = check(nn.Sequential(*layers), torch.randn(rows, 4), torch.float64, tasks, list)
    assert geometry._stack is not None


@TYPES
@pytest.mark.parametrize("name", ["linear", "norms", "dropout after relu", "wide inputs", "frozen"])
def test_gradients_too_large_to_keep(name, dtype, monkeypatch):
    monkeypatch.setattr("mtl_cli.balancing.geometry.KEPT", 0)
    torch.manual_seed(0)
    assert check(ROWS[name](), torch.randn(32, 8), dtype, 3, list)._stack is not None


def test_unfreezing_is_noticed():
    trunk = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    trunk[0].requires_grad_(False)
    geometry = Geometry(list(trunk.modules()), list(trunk.parameters()), list(trunk))
    model = SimpleNamespace(heads={"a": None}, representations=None)
    for trained in (False, True):
        trunk[0].requires_grad_(trained)
        z = geometry.forward(model, torch.randn(5, 8))["a"]
        with torch.no_grad():
            geometry.gradients([Root(z, [0], torch.randn(1, 5, 4))], 1).accumulate(torch.ones(1))
        assert (trunk[0].weight.grad is not None) == trained


@pytest.mark.parametrize(
    ("rows", "inputs", "outputs", "kind"), [(16, 4000, 60, Factored), (64, 30, 20, Dense), (64, 3, 20, Dense)]
)
def test_the_cheaper_form(rows, inputs, outputs, kind):
    torch.manual_seed(0)
    weight = nn.Parameter(torch.empty(outputs, inputs, dtype=torch.float64))
    read, deltas = torch.randn(rows, inputs).double(), torch.randn(4, rows, outputs).double()
    part = product(weight, read, deltas)
    assert isinstance(part, kind)
    expected = torch.einsum("tno,ni->toi", deltas, read).flatten(1)
    assert distance(part.rows(), expected) < 1e-12
    assert distance(norms(read, deltas), expected.norm(dim=1)) < 1e-12


def test_small_parts_are_joined():
    torch.manual_seed(0)
    parts = [Dense(nn.Parameter(torch.empty(3, width)), torch.randn(2, 3 * width)) for width in (1, 4, 40_000)]
    joined = join(parts)
    assert [type(part) for part in joined] == [Joined, Dense]
    total, expected = torch.zeros(2, 2), torch.zeros(2, 2)
    for part in joined:
        part.add_gramian(total)
        part.accumulate(torch.tensor([1.0, -2.0]))
    for part in parts:
        part.add_gramian(expected)
        assert torch.allclose(part.parameter.grad.flatten(), part.values[0] - 2 * part.values[1])
    assert torch.allclose(total, expected)


def test_long_rows_in_pieces():
    torch.manual_seed(0)
    for width in (32_768, 65_536 + 7):
        rows, others = torch.randn(2, 5, width, dtype=torch.float64)
        total = torch.ones(5, 5, dtype=torch.float64)
        add_products(total, rows)
        assert distance(total, 1 + rows @ rows.T) < 1e-12
        add_products(total, rows, others)
        assert distance(total, 1 + rows @ rows.T + rows @ others.T) < 1e-12


def test_long_sums_in_float32_keep_their_digits():
    torch.manual_seed(0)
    rows = torch.rand(1, 1_000_000) + 0.5
    total = torch.zeros(1, 1)
    add_products(total, rows)
    assert distance(total.double(), rows.double() @ rows.double().T) < 2e-7
