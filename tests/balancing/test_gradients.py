"""The tasks' gradients: every backend against ``reference``, and what hooks and tied parameters see of a step."""

import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mtl_cli.balancing.backward import send_back
from mtl_cli.balancing.boundary import HeadBoundary
from mtl_cli.balancing.gradients import choose_backend, factored
from mtl_cli.balancing.gradients.factored import Factored, explained, factored_gramian, wide_layers
from mtl_cli.balancing.gradients.mlp import Stack, is_plain_stack
from mtl_cli.balancing.gradients.reference import Reference, products
from mtl_cli.balancing.losses import task_losses
from mtl_cli.balancing.step import TrainingStep
from mtl_cli.config.registry import components
from mtl_cli.config.schema import Head, Model
from mtl_cli.data.batches import Batch
from mtl_cli.data.inputs import InputSpec
from mtl_cli.models.network import build_network, shapes
from mtl_cli.models.trunks.mlp import MLP
from tests.balancing.test_step import CPU, close, expected_gradients, gradients, make_batch, make_tasks, positive

torch.set_num_threads(1)
BALANCERS = sorted(components("balancer"))
SCHEMES = sorted(components("sharing"))
SHARING_SCHEMES = [name for name in SCHEMES if name not in ("none", "soft")]
QUESTIONS = ("norms", "gramian", "jacobian")
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-11}


@pytest.fixture
def factored_always(monkeypatch):
    """Lets layers far too small for it go by A Aᵀ, wherever that takes fewer multiplications."""
    monkeypatch.setattr(factored, "OVERHEAD", 0)


def forward(backend, batch, tasks, seed=0):
    torch.manual_seed(seed)  # of dropout
    boundary = HeadBoundary(backend.forward(batch.inputs), backend.model.heads, {})
    losses = task_losses(tasks, batch, boundary.outputs)
    boundary.receive(losses.total(torch.ones_like(losses.means)))
    return boundary


def ask(backend, question, batch, tasks, seed=0):
    """Return what a backend says of the tasks' gradients, from a forward pass of its own."""
    boundary = forward(backend, batch, tasks, seed)
    with torch.no_grad():
        return getattr(backend, question)(boundary)


def landed(backend, questions, batch, tasks, weights):
    """Return what arrives of Σ_t w_t L_t at the shared parameters, after the questions, and the last one's answer."""
    boundary, answer = forward(backend, batch, tasks), None
    backend.model.zero_grad()
    with torch.no_grad():
        for question in questions:
            answer = getattr(backend, question)(boundary)
        send_back(backend.weighted(boundary, weights))
    arrived = [torch.zeros_like(p) if p.grad is None else p.grad for p in backend.parameters]
    return torch.cat([gradient.flatten() for gradient in arrived]), answer


def accepting(model, tasks):
    """Return the backends, other than ``reference``, that say that they are for such a model."""
    found = [Stack(model)] if is_plain_stack(model) else []
    return [*found, Factored(model, tasks)] if wide_layers(model, tasks) else found


def assert_same(found, expected):
    assert found.shape == expected.shape
    tolerance = TOLERANCE[expected.dtype]
    assert float((found - expected).norm()) <= tolerance * float(expected.norm()) + 1e-3 * tolerance


def draw_batch(names, rows, inputs, dtype, absent, seed=3):
    generator = torch.Generator().manual_seed(seed)
    every = {
        "size": torch.randn(rows, generator=generator, dtype=dtype),
        "good": torch.randint(0, 2, (rows,), generator=generator).to(dtype),
        "kind": torch.randint(0, 3, (rows,), generator=generator),
    }
    some = (torch.arange(rows) % 2).to(dtype)
    masks = {
        name: torch.zeros(rows, dtype=dtype) if name in absent else some if name == "kind" else None for name in names
    }
    x = torch.randn(rows, inputs, generator=generator, dtype=dtype)
    return Batch(x, {name: every[name] for name in names}, masks)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    hidden=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    inputs=st.sampled_from([3, 90]),
    activation=st.sampled_from(["relu", "gelu", "silu", "tanh", "leaky_relu", "identity"]),
    norm=st.sampled_from(["none", "batch", "layer"]),
    dropout=st.sampled_from([0.0, 0.4]),
    head=st.sampled_from([[], [4]]),
    scheme=st.sampled_from(["hard", "hard", *SHARING_SCHEMES]),
    names=st.sampled_from([["size"], ["size", "good"], ["size", "good", "kind"]]),
    absent=st.sampled_from([[], ["good"]]),
    rows=st.integers(2, 12),
    dtype=st.sampled_from(list(TOLERANCE)),
)
def test_every_backend_equals_reference_on_every_model_that_it_accepts(
    hidden, inputs, activation, norm, dropout, head, scheme, names, absent, rows, dtype
):
    tasks = {name: task for name, task in make_tasks().items() if name in names}
    torch.manual_seed(0)
    trunk = MLP(hidden=hidden, activation=activation, norm=norm, dropout=dropout)
    config = Model(trunk=trunk, sharing=components("sharing")[scheme](), head=Head(hidden=head))
    model = build_network(config, InputSpec("features", (inputs,)), shapes(tasks)).to(dtype)
    batch = draw_batch(names, rows, inputs, dtype, absent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(factored, "OVERHEAD", 0)
        backends = accepting(model, len(tasks))
        assert (scheme != "hard") == (not any(isinstance(backend, Stack) for backend in backends))
        for backend in backends:
            for question in QUESTIONS:
                expected = ask(Reference(model), question, batch, tasks)
                found = ask(backend, question, batch, tasks)
                if question == "gramian":
                    assert torch.equal(found, found.T)
                assert_same(found, expected)
            weights, jacobian = torch.rand(len(tasks)) + 0.5, ask(Reference(model), "jacobian", batch, tasks)
            for questions in ((), ("gramian",), ("norms", "gramian", "norms", "jacobian")):
                sum_of_all, last = landed(backend, questions, batch, tasks, weights)
                assert_same(sum_of_all, weights.to(dtype) @ jacobian)
                if len(questions) > 1:
                    assert_same(last, jacobian)


class Plain(nn.Module):
    """A trunk, and two linear heads."""

    def __init__(self, trunk, width):
        super().__init__()
        self.trunk = trunk
        self.heads = {"size": nn.Linear(width, 1), "good": nn.Linear(width, 1)}
        self._heads = nn.ModuleList(self.heads.values())

    @property
    def last_shared_layers(self):
        return [[m for m in self.trunk.modules() if isinstance(m, nn.Linear)][-1]]

    def shared_parameters(self):
        return list(self.trunk.parameters())

    def head_parameters(self, task):
        return list(self.heads[task].parameters())

    def stack(self):
        return list(self.trunk) if isinstance(self.trunk, nn.Sequential) else None

    def representations(self, inputs):
        return dict.fromkeys(self.heads, self.trunk(inputs))

    def forward(self, inputs):
        return {name: self.heads[name](z) for name, z in self.representations(inputs).items()}


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(90, 90), nn.Linear(90, 8)

    def forward(self, x):
        return self.b((x + self.a(x)).relu())


class CalledTwice(Residual):
    def forward(self, x):
        return self.b(self.a(self.a(x).relu()))


class ReadDirectly(Residual):
    def forward(self, x):
        return self.b(self.a(x).tanh() @ self.a.weight)


class ChangedInPlace(Residual):
    def forward(self, x):
        hidden = self.a(x)
        hidden.mul_(2)
        return self.b(hidden.relu_())


class Unused(Residual):
    def forward(self, x):
        return self.b(x)


class WithoutGradient(Residual):
    def forward(self, x):
        with torch.no_grad():
            hidden = self.a(x)
        return self.b(hidden + x)


class MyLinear(nn.Linear):
    def forward(self, x):
        return super().forward(x) * 2


def linears(*between, bias=True):
    return nn.Sequential(nn.Linear(90, 90, bias=bias), *between, nn.Linear(90, 8))


def tied():
    trunk = linears(nn.ReLU())
    return nn.Sequential(*trunk[:1], nn.ReLU(), nn.Linear(90, 90), nn.ReLU(), *trunk[2:]), trunk[0]


def made(name):
    if name == "tied":
        trunk, first = tied()
        trunk[2].weight = first.weight
        return trunk
    trunk = TRUNKS[name]()
    if name == "frozen":
        trunk[0].requires_grad_(False)
        trunk[2].bias.requires_grad_(False)
    if name == "forward hook":
        trunk[0].register_forward_hook(lambda module, arguments, output: output * 3)
    if name == "hook of the whole":
        trunk.register_forward_hook(lambda module, arguments, output: output * 3)
    if name == "backward hook":
        trunk[0].register_full_backward_hook(
            lambda module, inputs, outputs: tuple(g if g is None else 3 * g for g in inputs)
        )
    if name == "hook of a parameter":
        trunk[0].weight.register_hook(lambda gradient: 3 * gradient)
    return trunk


TRUNKS = {
    "plain": lambda: linears(nn.ReLU()),
    "no bias": lambda: linears(nn.ReLU(), bias=False),
    "norms": lambda: linears(nn.BatchNorm1d(90), nn.GELU(), nn.Dropout(0.3), nn.LayerNorm(90)),
    "norms without weights": lambda: linears(nn.BatchNorm1d(90).eval(), nn.LayerNorm(90, elementwise_affine=False)),
    "dropout first": lambda: nn.Sequential(nn.Dropout(0.2), *linears()),
    "norm first": lambda: nn.Sequential(nn.BatchNorm1d(90), *linears()),
    "dropout resting": lambda: linears(nn.Dropout(0.2).eval(), nn.Dropout(0.0)),
    "in place": lambda: linears(nn.ReLU(inplace=True)),
    "dropout in place": lambda: linears(nn.Dropout(0.5, inplace=True)),
    "unknown": lambda: linears(nn.PReLU(), MyLinear(90, 90), nn.Softmax(1)),
    "nested": lambda: nn.Sequential(linears(nn.ReLU()), nn.Linear(8, 8)),
    "frozen": lambda: linears(nn.ReLU()),
    "forward hook": lambda: linears(nn.ReLU()),
    "hook of the whole": lambda: linears(nn.ReLU()),
    "backward hook": lambda: linears(nn.ReLU(), nn.Linear(90, 90)),
    "hook of a parameter": lambda: linears(nn.ReLU()),
    "residual": Residual, "twice": CalledTwice, "direct": ReadDirectly, "changed": ChangedInPlace, "unused": Unused,
    "without gradient": WithoutGradient, "tied": None,
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("needs", ["upgrad", "gradnorm", "graddrop"])
@pytest.mark.parametrize("name", TRUNKS)
def test_whatever_the_trunk_does(name, needs, factored_always):
    """A step by the quickest way that is chosen, with every way on its way, and one by ``reference``, end the same."""
    tasks = {key: task for key, task in make_tasks().items() if key != "kind"}
    batch = draw_batch(["size", "good"], 7, 90, torch.float64, [])
    left = []
    for backend in ("auto", "reference"):
        torch.manual_seed(0)
        model = Plain(made(name), 8).double()
        step = TrainingStep(model, tasks, components("balancer")[needs](backend=backend), CPU)
        step.state = {key: value.double() for key, value in step.state.items()}
        for _ in range(2):
            torch.manual_seed(1)
            result = step(batch)
        left.append((result, gradients(model)))
    (found, ours), (expected, theirs) = left
    torch.testing.assert_close(found.weights, expected.weights)
    if expected.gramian is not None:
        assert_same(found.gramian, expected.gramian)
    for key, value in theirs.items():
        torch.testing.assert_close(ours[key], value, msg=key)


def test_layers_whose_weight_does_more_are_left_to_autograd(factored_always):
    """Of wide layers, only those take the factored form that are called once and whose weight is read nowhere else."""
    known = {
        "plain": 1,
        "residual": 1,
        "twice": 0,
        "direct": 0,
        "changed": 0,
        "unused": 0,
        "forward hook": 0,
        "tied": 0,
    }
    for name, expected in known.items():
        model = Plain(made(name), 8)
        backend = Factored(model, 2)
        z = backend.forward(torch.randn(3, 90))["size"]
        wide = [call for call in explained(backend._calls, [z]) if call.layer.out_features == 90]
        assert len(wide) == expected, name
        assert not any(handle for module in model.modules() for handle in module._forward_hooks) or "hook" in name


def test_unfreezing_is_noticed():
    trunk = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    trunk[0].requires_grad_(False)
    tasks = {key: task for key, task in make_tasks().items() if key != "kind"}
    model, batch = Plain(trunk, 4), draw_batch(["size", "good"], 7, 8, torch.float32, [])
    step = TrainingStep(model, tasks, components("balancer")["mgda"](), CPU)
    for trained in (False, True):
        trunk[0].requires_grad_(trained)
        gramian = step(batch).gramian
        assert (trunk[0].weight.grad is not None) == trained
        assert_same(gramian, ask(Reference(model), "gramian", batch, tasks))


@pytest.mark.parametrize(
    ("build", "needs", "expected"),
    [
        (lambda: Plain(nn.Sequential(nn.Linear(5, 8), nn.ReLU()), 8), "upgrad", "mlp"),
        (lambda: Plain(nn.Sequential(nn.Linear(5, 8), nn.ReLU()), 8), "uniform", "losses"),
        (lambda: Plain(nn.Sequential(nn.Linear(5, 8), nn.PReLU()), 8), "upgrad", "reference"),
        (lambda: Plain(nn.Sequential(nn.Linear(4000, 800), nn.PReLU()), 800), "upgrad", "factored"),
        (lambda: Plain(nn.Sequential(nn.Linear(4000, 800), nn.PReLU()), 800), "gradnorm", "reference"),
    ],
)
def test_the_way_is_chosen_by_model_and_balancer(build, needs, expected):
    tasks = {key: task for key, task in make_tasks().items() if key != "kind"}
    model = build()
    assert TrainingStep(model, tasks, components("balancer")[needs](), CPU).backend == expected
    forced = components("balancer")[needs](backend="reference")
    assert TrainingStep(model, tasks, forced, CPU).backend == ("losses" if needs == "uniform" else "reference")
    assert type(choose_backend(model, forced, 2)) is Reference


def test_a_way_that_was_not_taken_is_not_named():
    tasks = {key: task for key, task in make_tasks().items() if key != "kind"}
    model, batch = (
        Plain(nn.Sequential(nn.Linear(5, 8), nn.ReLU()), 8),
        draw_batch(["size", "good"], 7, 5, torch.float32, []),
    )
    step = TrainingStep(model, tasks, components("balancer")["upgrad"](), CPU)
    hook = model.register_forward_hook(lambda *_: None)
    step(batch)
    assert step.backend == "reference"
    hook.remove()
    step(batch)
    assert step.backend == "mlp"


def test_products_of_layers_and_of_long_rows():
    torch.manual_seed(0)
    read, deltas = torch.randn(37, 400).double(), torch.randn(4, 37, 20).double()
    expected = torch.einsum("tno,ni->toi", deltas, read).flatten(1)
    assert_same(factored_gramian(read, deltas), expected @ expected.T)
    for width in (32_768, 65_536 + 7):
        rows = torch.randn(3, width, dtype=torch.float64)
        assert_same(products(rows), rows @ rows.T)
    rows = torch.rand(1, 1_000_000) + 0.5  # a running sum in float32 loses a digit
    assert float(products(rows)) == pytest.approx(float(rows.double() @ rows.double().T), rel=2e-7)


def network(scheme, balancer, hidden=(6, 6)):
    torch.manual_seed(0)
    sharing = components("sharing")[scheme](**({"budget": "each"} if scheme == "none" else {}))
    tasks = make_tasks(weight=2.0)
    model = build_network(
        Model(trunk=MLP(hidden=list(hidden), dropout=0.0), sharing=sharing), InputSpec("features", (5,)), shapes(tasks)
    )
    return model, TrainingStep(model, tasks, balancer, CPU)


def pairs():
    """Return each balancer with each sharing scheme that it is for."""
    of_losses = {name for name in BALANCERS if components("balancer")[name].needs == "losses"}
    return [(name, scheme) for name in BALANCERS for scheme in (SCHEMES if name in of_losses else SHARING_SCHEMES)]


def watch(model):
    """Return what each parameter's post-accumulate hook sees, call by call."""
    seen = {name: [] for name, p in model.named_parameters() if p.requires_grad}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(lambda p, name=name: seen[name].append(p.grad.clone()))
    return seen


def assert_fired_once(model, seen, steps):
    for name, parameter in model.named_parameters():
        assert len(seen[name]) == steps, name
        assert torch.equal(seen[name][-1], parameter.grad), name


@pytest.mark.parametrize("heads", ["weighted", "unit"])
@pytest.mark.parametrize(("name", "scheme"), pairs())
def test_hooks_fire_once_on_every_parameter_and_see_its_gradient(name, scheme, heads):
    model, step = network(scheme, replace(positive(components("balancer")[name]()), heads=heads))
    seen = watch(model)
    for count in (1, 2):
        for parameter in model.parameters():
            parameter.grad = None
        step(make_batch())
        assert_fired_once(model, seen, count)


@pytest.mark.parametrize(("name", "scheme"), pairs())
def test_a_hook_on_what_is_shared_changes_what_every_balancer_gives(name, scheme):
    """One that zeroes the representations leaves constant outputs: the losses are uniform's, nothing reaches below."""
    zero = lambda module, arguments, output: {task: 0 * z for task, z in output.items()}  # noqa: E731
    left = []
    for balancer in (
        components("balancer")["uniform"](),
        *(components("balancer")[name](backend=b) for b in ("auto", "reference")),
    ):
        model, step = network(scheme, positive(balancer))
        model.shared.register_forward_hook(zero)
        left.append((step(make_batch()), gradients(model), model))
    (uniform, _, _), (found, ours, model), (expected, theirs, _) = left
    assert torch.equal(found.losses, uniform.losses)
    torch.testing.assert_close(found.weights, expected.weights, equal_nan=True)
    heads = {id(p) for head in model.heads.values() for p in head.parameters()}
    for key, parameter in model.named_parameters():
        torch.testing.assert_close(ours[key], theirs[key], equal_nan=True)
        if bool(found.weights.isfinite().all()) and id(parameter) not in heads:
            assert float(ours[key].abs().max()) == 0, key


def by_hand(model, tasks, batch, weights, head_weights):
    """Return the gradients of a step, with the heads' and the trunk's share of each parameter added up."""
    model = copy.deepcopy(model)
    z = model.representations(batch.inputs)
    copies = {name: value.detach().requires_grad_() for name, value in z.items()}
    for name, task in tasks.items():
        copies[name].grad = None
        loss = task.weight * task.loss(model.heads[name](copies[name]), batch.targets[name]).mean()
        own = list(model.heads[name].parameters())
        c, *found = torch.autograd.grad(loss, [copies[name], *own])
        index = list(tasks).index(name)
        for parameter, gradient in zip(own, found, strict=True):
            parameter.grad = head_weights[index] * gradient + (0 if parameter.grad is None else parameter.grad)
        z[name].backward(weights[index] * c, retain_graph=True)
    return gradients(model)


@pytest.mark.parametrize("heads", ["weighted", "unit"])
@pytest.mark.parametrize("where", ["within the trunk", "of two heads", "of a head and the trunk"])
@pytest.mark.parametrize("name", BALANCERS)
def test_tied_parameters(name, where, heads):
    torch.manual_seed(0)
    tasks, batch = make_tasks(weight=2.0), make_batch()
    config = Model(trunk=MLP(hidden=[6, 6, 6], dropout=0.0), head=Head(hidden=[6]))
    model = build_network(config, InputSpec("features", (5,)), shapes(tasks))
    trunk = [layer for layer in model.shared.trunk if isinstance(layer, nn.Linear)]
    first, second = (model.heads[task][0] for task in ("size", "good"))
    one, other = {
        "within the trunk": (trunk[1], trunk[2]),
        "of two heads": (first, second),
        "of a head and the trunk": (first, trunk[2]),
    }[where]
    one.weight = other.weight
    step = TrainingStep(model, tasks, replace(positive(components("balancer")[name]()), heads=heads), CPU)
    seen, before = watch(model), copy.deepcopy(model)
    result = step(batch)
    assert_fired_once(model, seen, 1)
    own = result.weights if heads == "weighted" else torch.ones(3) if step.head_weights is None else step.head_weights
    expected, found = by_hand(before, tasks, batch, result.weights, own), gradients(model)
    if step.directed:  # what is shared has a direction of its own
        expected = {key: value for key, value in expected.items() if "head" in key and value.shape != (6, 6)}
    assert close(found, expected)


def test_a_direction_at_a_parameter_of_trunk_and_head():
    """It is trained as the trunk's by the direction, and as the head's by its own loss."""
    tasks, batch = make_tasks(), make_batch()
    torch.manual_seed(0)
    model = build_network(
        Model(trunk=MLP(hidden=[6, 6], dropout=0.0), head=Head(hidden=[6])), InputSpec("features", (5,)), shapes(tasks)
    )
    model.heads["size"][0].weight = model.shared.trunk[2].weight
    balancer = components("balancer")["graddrop"](leak=1.0)  # all is kept: the direction is the sum of the gradients
    step, before = TrainingStep(model, tasks, balancer, CPU), copy.deepcopy(model)
    step(batch)
    assert close(gradients(model), by_hand(before, tasks, batch, torch.ones(3), torch.ones(3)))


@pytest.mark.parametrize("name", ["uniform", "gradnorm", "upgrad"])
def test_a_hook_of_a_parameter_may_change_its_gradient(name):
    """As it may in any loop: what lands went through it once."""
    plain, step = network("mmoe", components("balancer")[name]())
    hooked, other = network("mmoe", components("balancer")[name]())
    for model, made_by in ((plain, step), (hooked, other)):
        for head in model.heads.values():
            if model is hooked:
                head.weight.register_hook(lambda gradient: 2 * gradient)
        made_by(make_batch())
    for task in plain.heads:
        assert torch.allclose(2 * plain.heads[task].weight.grad, hooked.heads[task].weight.grad)


def test_expected_gradients_are_those_by_hand():
    """The two ways in which these tests compute them agree."""
    model, step = network("hard", components("balancer")["uniform"]())
    weights = torch.tensor([2.0, 0.5, 1.5])
    found = by_hand(model, step.tasks, make_batch(), weights, torch.ones(3))
    assert close(found, expected_gradients(model, step.tasks, make_batch(), weights, "unit"))
