"""One training step up to the gradients: one forward pass, one backward pass, and between them the cut.

    z_t    = representations(x)                the trunk, once
    leaf_t = z_t, detached                     the cut
    L_t    = loss(head_t(leaf_t), y_t)
    Σ L_t backward                             the heads' gradients, and c_t = ∂L_t/∂z_t, for all tasks in one call
    w      = what the balancer makes of the losses, or of what the geometry makes of c_t
    Σ w_t c_t backward through the trunk       the gradient of Σ w_t L_t

A method that needs only the losses, and whose heads see the weights, needs no cut: Σ w_t L_t goes back at once. A method
that needs the Gramian on the shared parameters needs no last pass: Σ w_t g_t is put together from what made the Gramian.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import torch

from mtl_cli.balancing.balancer import Balancer, Observed, State, Weighing
from mtl_cli.balancing.cut import Cut
from mtl_cli.balancing.geometry import Geometry, TaskGradients, scatter, send_back
from mtl_cli.balancing.losses import Losses, task_losses
from mtl_cli.data.batches import Batch
from mtl_cli.tasks.task import Task


class SharedModel(Protocol):
    """What the step needs of a model."""

    heads: dict[str, torch.nn.Module]

    @property
    def last_shared_layer(self) -> torch.nn.Module | None:
        """The last shared layer with a weight."""

    def modules(self) -> Iterator[torch.nn.Module]:
        """Return all modules, the heads' too."""

    def representations(self, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the representation that each task's head reads."""

    def shared_parameters(self) -> list[torch.nn.Parameter]:
        """Return the parameters that all tasks share."""

    def head_parameters(self, task: str) -> list[torch.nn.Parameter]:
        """Return the parameters that only ``task`` uses."""


class StepResult(NamedTuple):
    """What a step leaves beside the gradients; all tensors, none waited for. T is the number of tasks.

    Parameters
    ----------
    losses : Tensor of shape (T,)
        As the tasks compute them.
    counts : Tensor of shape (T,), or int
        Rows with a label.
    weights : Tensor of shape (T,)
        The balancer's weights, as used.
    seen : mapping of str to Tensor
        What the balancer went by.
    gramian : Tensor of shape (T, T), optional
        Likewise, for a balancer that needs it.
    sizes : Tensor of shape (T,), optional
        Numbers that are finite where the tasks' gradients are, from a balancer that looks at them otherwise.
    """

    losses: torch.Tensor
    counts: torch.Tensor | int
    weights: torch.Tensor
    seen: Mapping[str, torch.Tensor]
    gramian: torch.Tensor | None = None
    sizes: torch.Tensor | None = None


class Step:
    """Computes a batch's gradients into ``.grad``, as the balancer weighs them.

    Parameters
    ----------
    model : SharedModel
    tasks : dict of str to Task
    balancer : Balancer
    device : torch.device
    seed : int
        Of the balancer's draws.

    Attributes
    ----------
    state : dict of str to Tensor
        The balancer's state.
    """

    def __init__(
        self, model: SharedModel, tasks: dict[str, Task], balancer: Balancer, device: torch.device, seed: int = 0
    ) -> None:
        self.model, self.tasks, self.balancer = model, tasks, balancer
        self.state: State = balancer.start(list(tasks), device)
        self.task_weights = torch.tensor([task.weight for task in tasks.values()], device=device)
        self._equal = all(task.weight == 1 for task in tasks.values())
        self.steps = 0
        self.generator = torch.Generator().manual_seed(seed)
        self.weights = torch.ones_like(self.task_weights)
        self.seen: Mapping[str, torch.Tensor] = {}
        self.gramian: torch.Tensor | None = None
        self.sizes: torch.Tensor | None = None
        self.directed = False
        self._sent: tuple[torch.Tensor | None, int, torch.Tensor | None] = (None, -1, None)
        self._head_parameters = [(p, i) for i, name in enumerate(tasks) for p in model.head_parameters(name)]
        self.geometry: Geometry | None = None
        at_representation = getattr(balancer, "geometry", "parameters") == "representation"
        if balancer.needs == "norms" or (balancer.needs != "losses" and not at_representation):
            theirs = {id(module) for head in model.heads.values() for module in head.modules()}
            shared = [module for module in model.modules() if id(module) not in theirs]
            stack = getattr(model, "stack", None)
            self.geometry = Geometry(shared, model.shared_parameters(), stack() if stack is not None else None)

    def __call__(self, batch: Batch, epoch: int = 1) -> StepResult:
        """Add the batch's gradients to ``.grad``.

        Parameters
        ----------
        batch : Batch
        epoch : int
            From 1; some methods go by it.
        """
        balancer = self.balancer
        weighs = balancer.needs == "losses" or self.directed or self.steps % balancer.update_every == 0
        watches = weighs and balancer.needs != "losses"
        if watches or balancer.heads == "unit":
            losses = self._through_cut(batch, epoch, watches, weighs)
        else:
            losses = self._losses(batch, self.model.representations(batch.inputs))
            if weighs:
                with torch.no_grad():
                    self._weigh(self._observed(losses, epoch))
            self._backward(losses, self.weights)
        self.steps += 1
        return StepResult(losses.means, losses.counts, self.weights, self.seen, self.gramian, self.sizes)

    def after(self, batch: Batch) -> None:
        """Let a method that looks ahead see the losses after the optimiser's step; nothing for the others."""
        if not self.balancer.looks_ahead:
            return
        with torch.no_grad():
            losses = self._losses(batch, self.model.representations(batch.inputs))
            self.state = self.balancer.after(self.state, self._observed(losses, 1).losses)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs to go on as if it had not been interrupted."""
        return {
            "state": dict(self.state),
            "weights": self.weights,
            "steps": self.steps,
            "directed": self.directed,
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""
        self.state, self.weights = dict(saved["state"]), saved["weights"]
        self.steps, self.directed = saved["steps"], saved["directed"]
        self.generator.set_state(saved["generator"])

    def _losses(self, batch: Batch, representations: Mapping[str, torch.Tensor]) -> Losses:
        outputs = {name: self.model.heads[name](z) for name, z in representations.items()}
        return task_losses(self.tasks, batch, outputs)

    def _backward(self, losses: Losses, weights: torch.Tensor | None) -> None:
        """Send the gradient of Σ w_t · weight_t · L_t back; ``weights`` None stands for ones.

        Where nothing is masked it is the same as in the step before, as long as the weights and the batch's size are.
        """
        known, size, gradient = self._sent
        if losses.shares is not None or known is not weights or gradient is None or size != losses.counts:
            used = self.task_weights if weights is None else weights * self.task_weights
            gradient = losses.gradient(used)
            self._sent = (weights, losses.counts if isinstance(losses.counts, int) else -1, gradient)
        torch.autograd.backward((losses.rows,), (gradient,))

    def _through_cut(self, batch: Batch, epoch: int, watches: bool, weighs: bool) -> Losses:
        geometry = self.geometry if watches else None
        if geometry is None:
            representations = self.model.representations(batch.inputs)
        else:
            representations = geometry.forward(self.model, batch.inputs)
        cut = Cut(representations, self.model.heads, axis=0 if geometry is None else 1)
        losses = task_losses(self.tasks, batch, cut.outputs)
        self._backward(losses, None)
        with torch.no_grad():
            cut.finish()
            observed, gradients = self._look(losses, epoch, cut, watches)
            direction = self._weigh(observed).direction if weighs else None
            if self.balancer.heads == "weighted":
                self._weigh_heads(self.weights)
            weights = self.weights.to(losses.rows.dtype)
            if gradients is not None:
                gradients.accumulate(weights, shared=direction is None)
                if direction is not None:
                    scatter(self._trained(), direction)
            else:
                pairs = cut.weighted(weights) if direction is None else cut.directed(direction)
                send_back(pairs) if geometry is None else geometry.backward(pairs)
        return losses

    def _look(
        self, losses: Losses, epoch: int, cut: Cut, watches: bool
    ) -> tuple[Observed, TaskGradients | None]:
        """Compute what the balancer needs, and what it was computed from."""
        if not watches:
            return self._observed(losses, epoch), None
        tasks, needs = len(self.tasks), self.balancer.needs
        if self.geometry is None:
            if needs == "gramian":
                return self._observed(losses, epoch, gramian=cut.gramian()), None
            rows = cut.rows()
            self.sizes = rows.sum(1)
            return self._observed(losses, epoch, jacobian=rows), None
        roots = cut.roots()
        if needs == "norms":
            layer = self.model.last_shared_layer
            assert layer is not None
            self.sizes = self.geometry.norms(roots, tasks, layer)
            return self._observed(losses, epoch, norms=self.sizes), None
        gradients = self.geometry.gradients(roots, tasks)
        if needs == "jacobian":
            jacobian = gradients.jacobian(self._trained(), tasks)
            self.sizes = jacobian.sum(1)
            return self._observed(losses, epoch, jacobian=jacobian), gradients
        gramian = gradients.gramian(roots[0].deltas.new_zeros(tasks, tasks))
        return self._observed(losses, epoch, gramian=gramian), gradients

    def _trained(self) -> list[torch.nn.Parameter]:
        assert self.geometry is not None
        return self.geometry.parameters

    def _observed(
        self,
        losses: Losses,
        epoch: int,
        norms: torch.Tensor | None = None,
        gramian: torch.Tensor | None = None,
        jacobian: torch.Tensor | None = None,
    ) -> Observed:
        seen = losses.means if self._equal else losses.means * self.task_weights
        if self.balancer.needs_positive_losses and self.balancer.shift:
            seen = seen + self.balancer.shift
        return Observed(seen, losses.present, norms, gramian, jacobian, epoch, self.steps, self.generator)

    def _weigh(self, observed: Observed) -> Weighing:
        """Ask the balancer; keep its state, and the weights that this step is to use."""
        weighing = self.balancer.weigh(self.state, observed)
        weights, present = weighing.weights, observed.present
        if self.balancer.scale == "sum":
            weights = weights * _to_sum(weights, present)
        if present is not None:
            weights = weights.where(present, self.weights)
        self.state, self.weights, self.directed = weighing.state, weights, weighing.direction is not None
        self.seen, self.gramian = weighing.seen, observed.gramian
        return weighing

    def _weigh_heads(self, weights: torch.Tensor) -> None:
        each = weights.unbind()
        pairs = [(p.grad, each[task]) for p, task in self._head_parameters if p.grad is not None]
        torch._foreach_mul_([gradient for gradient, _ in pairs], [weight for _, weight in pairs])


def _to_sum(weights: torch.Tensor, present: torch.Tensor | None) -> torch.Tensor:
    """Return the factor that brings the weights of the tasks present to sum to their number; 1 if it is not positive."""
    inside = weights if present is None else weights.where(present, 0.0)
    count = inside.new_tensor(float(len(weights))) if present is None else present.sum()
    total = inside.sum()
    return torch.where(total > 0, count / total, 1.0)
