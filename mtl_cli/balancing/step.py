"""One training step up to the gradients: one forward pass, one backward pass, and between them the cut.

    z_t    = representations(x)                the trunk, once
    leaf_t = z_t, detached                     the cut
    L_t    = loss(head_t(leaf_t), y_t)
    Σ L_t backward                             the heads' gradients, and c_t = ∂L_t/∂z_t, for all tasks in one call
    w      = what the balancer makes of the losses, or of norms computed from c_t
    Σ w_t c_t backward through the trunk       the gradient of Σ w_t L_t

A method that needs only the losses, and whose heads see the weights, needs no cut: Σ w_t L_t goes back at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch

from mtl_cli.balancing.balancer import Balancer, Observed
from mtl_cli.data.batches import Batch
from mtl_cli.tasks.task import Task


class SharedModel(Protocol):
    """What the step needs of a model."""

    heads: dict[str, torch.nn.Module]

    @property
    def last_shared_layer(self) -> torch.nn.Module | None:
        """The last shared layer with a weight."""

    def representations(self, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the representation that each task's head reads."""

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
    total : Tensor
        Σ_t w_t · weight_t · L_t, what the trunk was trained on.
    seen : mapping of str to Tensor
        What the balancer went by.
    """

    losses: torch.Tensor
    counts: torch.Tensor | int
    weights: torch.Tensor
    total: torch.Tensor
    seen: Mapping[str, torch.Tensor]


class Step:
    """Computes a batch's gradients into ``.grad``, as the balancer weighs them.

    Parameters
    ----------
    model : SharedModel
    tasks : dict of str to Task
    balancer : Balancer
    device : torch.device

    Attributes
    ----------
    state : dict of str to Tensor
        The balancer's state.
    """

    def __init__(self, model: SharedModel, tasks: dict[str, Task], balancer: Balancer, device: torch.device) -> None:
        self.model, self.tasks, self.balancer = model, tasks, balancer
        self.state = balancer.start(list(tasks), device)
        self.task_weights = torch.tensor([task.weight for task in tasks.values()], device=device)
        self.cut = balancer.needs != "losses" or balancer.heads != "weighted"

    def __call__(self, batch: Batch) -> StepResult:
        """Compute the gradients. Those of the last step must have been cleared."""
        representations = self.model.representations(batch.inputs)
        if not self.cut:
            losses = self._losses(batch, representations)
            raw, counts, observed = self._observe(batch, losses)
            weighing = self.balancer.weigh(self.state, observed)
            torch.autograd.backward(losses, list((weighing.weights * self.task_weights).unbind()))
        else:
            leaves = {task: z.detach().requires_grad_() for task, z in representations.items()}
            losses = self._losses(batch, leaves)
            torch.autograd.backward(losses, list(self.task_weights.unbind()))
            gradients = [leaf.grad if leaf.grad is not None else torch.zeros_like(leaf) for leaf in leaves.values()]
            norms = self._norms(list(representations.values()), gradients) if self.balancer.needs == "norms" else None
            raw, counts, observed = self._observe(batch, losses, norms)
            weighing = self.balancer.weigh(self.state, observed)
            if self.balancer.heads == "weighted":
                self._weigh_heads(weighing.weights)
            self._backward_trunk(list(representations.values()), gradients, weighing.weights)
        self.state = weighing.state
        total = weighing.weights @ observed.losses
        return StepResult(raw, counts, weighing.weights, total, weighing.seen)

    def _losses(self, batch: Batch, representations: dict[str, torch.Tensor]) -> list[torch.Tensor]:
        losses = []
        for name, task in self.tasks.items():
            rows = task.loss(self.model.heads[name](representations[name]), batch.targets[name])
            losses.append(masked_mean(rows, batch.masks[name]))
        return losses

    def _observe(
        self, batch: Batch, losses: list[torch.Tensor], norms: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | int, Observed]:
        with torch.no_grad():
            raw = torch.stack(losses)
            if all(mask is None for mask in batch.masks.values()):
                return raw, len(batch), Observed(raw * self.task_weights, None, norms)
            full = torch.full((), len(batch), dtype=raw.dtype, device=raw.device)
            counts = torch.stack([full if mask is None else mask.sum() for mask in batch.masks.values()])
            return raw, counts, Observed(raw * self.task_weights, counts > 0, norms)

    def _norms(self, representations: list[torch.Tensor], gradients: list[torch.Tensor]) -> torch.Tensor:
        """Return ‖∇_W L_t‖ for each task, W the last shared layer's weight; the graph stops at W."""
        layer = self.model.last_shared_layer
        assert layer is not None
        weight = layer.get_parameter("weight")
        per_task = [
            torch.autograd.grad(z, weight, c, retain_graph=True)[0]
            for z, c in zip(representations, gradients, strict=True)
        ]
        return torch.stack([torch.linalg.vector_norm(gradient) for gradient in per_task])

    def _weigh_heads(self, weights: torch.Tensor) -> None:
        for name, weight in zip(self.tasks, weights.unbind(), strict=True):
            gradients = [p.grad for p in self.model.head_parameters(name) if p.grad is not None]
            torch._foreach_mul_(gradients, weight)

    def _backward_trunk(
        self, representations: list[torch.Tensor], gradients: list[torch.Tensor], weights: torch.Tensor
    ) -> None:
        """Send Σ w_t c_t back; tasks that read the same tensor share one gradient."""
        roots: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        for z, c, weight in zip(representations, gradients, weights.unbind(), strict=True):
            known = roots.get(id(z))
            roots[id(z)] = (z, c * weight if known is None else known[1].addcmul(c, weight))
        needing = [(z, c) for z, c in roots.values() if z.requires_grad]
        if needing:
            torch.autograd.backward([z for z, _ in needing], [c for _, c in needing])


def masked_mean(rows: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Return the mean over rows that have a label; 0 where none has. ``mask`` None says all have."""
    if mask is None:
        return rows.mean()
    return (rows * mask).sum() / mask.sum().clamp(min=1)
