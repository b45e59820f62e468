"""One training step up to the gradients.

    z_t    = representations(x)                the trunk, once
    leaf_t = z_t, detached                     the boundary between trunk and heads
    L_t    = loss(head_t(leaf_t), y_t)
    c_t    = ∂L_t/∂z_t                         back through the heads
    w      = what the balancer makes of the losses, or of what ``gradients`` makes of c_t
    backward of Σ w_t L_t through the heads and of Σ w_t c_t through the trunk

A method that needs only the losses, and whose heads see the weights, needs no boundary: Σ w_t L_t goes back at once.
Hooks fire as in any other training loop: only known gradients that nobody has a hook on go past autograd.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mtl_cli.balancing.backward import send_back, send_direction
from mtl_cli.balancing.base import Balancer, Decision, State, StepStatistics
from mtl_cli.balancing.boundary import HeadBoundary, head_chains
from mtl_cli.balancing.gradients import TaskGradients, choose_backend, task_gradients
from mtl_cli.balancing.losses import Losses, task_losses
from mtl_cli.balancing.mixed_precision import MixedPrecision
from mtl_cli.balancing.model import SharedModel
from mtl_cli.balancing.result import HeadProbe, StepResult
from mtl_cli.balancing.scale import to_sum
from mtl_cli.config.schema import PrecisionName
from mtl_cli.data.batches import Batch
from mtl_cli.tasks.task import Learnt


class TrainingStep:
    """Computes a batch's gradients into ``.grad``, with the tasks weighted by the balancer.

    Parameters
    ----------
    model : SharedModel
    tasks : mapping of str to Learnt
    balancer : Balancer
    device : torch.device
    seed : int
        Of the balancer's draws.
    precision : {"float32", "bfloat16", "float16"}
        Of the forward pass: see ``MixedPrecision``.

    Attributes
    ----------
    state : dict of str to Tensor
        The balancer's state.
    task_weights : Tensor of shape (T,)
        The tasks' own weights.
    probe : HeadProbe
        Makes ``StepResult.sizes`` where the balancer needs no gradients.
    """

    def __init__(
        self,
        model: SharedModel,
        tasks: Mapping[str, Learnt],
        balancer: Balancer,
        device: torch.device,
        seed: int = 0,
        precision: PrecisionName = "float32",
    ) -> None:
        self.precision = MixedPrecision(precision, device)
        self.model, self.tasks, self.balancer = model, tasks, balancer
        self.state: State = balancer.init_state(list(tasks), device)
        self.device = device
        self.weigh_tasks([task.weight for task in tasks.values()])
        self.steps = self.seen_step = 0
        self.generator = torch.Generator().manual_seed(seed)
        self.weights = torch.ones_like(self.task_weights)
        self.columns: Mapping[str, torch.Tensor] = {}
        self.gramian: torch.Tensor | None = None
        self.sizes: torch.Tensor | None = None
        self.directed = False
        self.head_weights: torch.Tensor | None = None
        self.held = False
        self._rested = (0, 0)  # epochs and steps in which it was held
        self._before: dict[str, Any] | None = None  # the state before the batches that are not settled
        self._gradients = choose_backend(model, balancer, len(tasks))
        self._heads = head_chains(model.heads) if balancer.backend == "auto" else {}
        self.probe = HeadProbe(model, tasks)

    @property
    def backend(self) -> str:
        """How the tasks' gradients were computed last: mlp, factored, reference; "losses" if nobody asks for them."""
        return "losses" if self.balancer.needs == "losses" else self._gradients.name

    def __call__(self, batch: Batch, epoch: int = 1) -> StepResult:
        """Add the batch's gradients to ``.grad``.

        Parameters
        ----------
        batch : Batch
        epoch : int
            From 1; some methods depend on it.
        """
        if self.precision.scales and self._before is None:
            self._before = self.state_dict()
        balancer = self.balancer
        due = balancer.needs == "losses" or self.directed or (self.steps - self._rested[1]) % balancer.update_every == 0
        weighs = due and not self.held
        if balancer.heads == "unit" or (weighs and balancer.needs != "losses"):
            losses = self._through_boundary(batch, epoch, weighs)
        else:
            losses = self._losses(batch)
            if weighs:
                self._decide(losses, TaskGradients(), epoch)
            torch.autograd.backward(losses.total(self._factors(self.weights)))
        self.steps += 1
        self.seen_step = self.steps if weighs else self.seen_step
        sizes = self.sizes if balancer.needs != "losses" and weighs else self.probe()
        return StepResult(losses.means, losses.counts, self.weights, self.columns, self.gramian, sizes, self.seen_step)

    def hold(self, held: bool, epoch: int) -> None:
        """Let a balancer that needs gradients rest while nothing shared is trained, or begin in ``epoch``.

        It counts epochs and steps from there. One that needs only losses is not held.
        """
        self.held = held and self.balancer.needs != "losses"
        if not held and self.balancer.needs != "losses":
            self._rested = (epoch - 1, self.steps)

    def weigh_tasks(self, weights: Sequence[float]) -> None:
        """Multiply the tasks' losses by these from the next step on, before the balancer sees them.

        A task of weight 0 is absent for the balancer, as one without a label is.
        """
        self.task_weights = torch.tensor(weights, device=self.device, dtype=torch.float32)
        self._equal, self._awake = all(weight == 1 for weight in weights), self.task_weights > 0
        self._all_awake = all(weights)

    def settle(self, batches: int) -> bool:
        """Make of ``.grad``, which so many batches were added to, their mean, in the losses' own scale.

        Returns
        -------
        bool
            False if float16 overflowed. Then the optimizer must not step, and the balancer is as it was before.
        """
        if batches == 1 and not self.precision.scales:
            return True
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        torch._foreach_mul_(gradients, 1 / (batches * self.precision.scale))
        if not self.precision.scales:
            return True
        used = [torch.stack([norm.double() for norm in torch._foreach_norm(gradients)]), self.weights, self.sizes]
        went_well = bool(torch.cat([numbers for numbers in used if numbers is not None]).isfinite().all())
        if not went_well and self._before is not None:
            self.load_state_dict(self._before)
        self._before = None
        self.precision.learn(went_well)
        return went_well

    def after(self, batch: Batch) -> None:
        """Let a method that looks ahead see the losses after the optimizer's step; nothing for the others.

        Of several batches to a step of the optimizer, this is to be the last.
        """
        if not self.balancer.looks_ahead:
            return
        with torch.no_grad():
            losses = self._losses(batch)
            if not self.precision.scales or bool(losses.means.isfinite().all()):
                self.state = self.balancer.after(self.state, self._as_seen(losses))

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs to go on as if it had not been interrupted."""
        return {
            "state": dict(self.state),
            "weights": self.weights,
            "columns": dict(self.columns),
            "gramian": self.gramian,
            "steps": self.steps,
            "seen_step": self.seen_step,
            "directed": self.directed,
            "rested": self._rested,
            "head_weights": self.head_weights,
            "generator": self.generator.get_state(),
            "held": self.held,
            "scale": self.precision.scale,
            "good": self.precision.good,
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""
        self.state, self.weights = dict(saved["state"]), saved["weights"]
        self.columns, self.gramian = dict(saved["columns"]), saved["gramian"]
        self.steps, self.seen_step = saved["steps"], saved["seen_step"]
        self.directed, self.head_weights = saved["directed"], saved["head_weights"]
        self._rested = saved["rested"]
        self.generator.set_state(saved["generator"].cpu())
        self.held = saved["held"]
        self.precision.scale, self.precision.good = saved["scale"], saved["good"]

    def _losses(self, batch: Batch) -> Losses:
        with self.precision.forward():
            representations = self.model.representations(batch.inputs)
            outputs = {name: self.model.heads[name](z) for name, z in representations.items()}
        return task_losses(self.tasks, batch, outputs)

    def _through_boundary(self, batch: Batch, epoch: int, weighs: bool) -> Losses:
        with self.precision.forward():
            boundary = HeadBoundary(self._gradients.forward(batch.inputs), self.model.heads, self._heads)
        losses = task_losses(self.tasks, batch, boundary.outputs)
        balancer = self.balancer
        total = losses.total(self._factors(None))
        with torch.no_grad():
            boundary.receive(total)
            direction = None
            if weighs:
                gradients = TaskGradients()
                if balancer.needs != "losses":
                    gradients = task_gradients(self._gradients, boundary, balancer).divided(self.precision.scale)
                direction = self._decide(losses, gradients, epoch).direction
            heads = boundary.heads(self.weights if balancer.heads == "weighted" else self.head_weights)
            if direction is None:
                send_back([*heads, *self._gradients.weighted(boundary, self.weights)])
            elif balancer.at_representation:
                below = self._gradients.through(boundary.directed(direction * self.precision.scale))
                send_back([*heads, *below])
            else:
                below, shared = boundary.weighted(self.weights), self._gradients.parameters
                send_direction(self.model, shared, direction * self.precision.scale, heads, below)
        return losses

    def _factors(self, weights: torch.Tensor | None) -> torch.Tensor:
        """Return what the losses' gradients are multiplied by, shape (T,): w_t, or 1, by the tasks' own weights."""
        factors = self.task_weights
        if weights is not None:
            factors = weights if self._equal else factors * weights
        return factors if self.precision.scale == 1 else factors * self.precision.scale

    def _as_seen(self, losses: Losses) -> torch.Tensor:
        """Return the losses as the balancer is to see them, shape (T,)."""
        seen = losses.means if self._equal else losses.means * self.task_weights
        return seen + self.balancer.shift if self.balancer.shift else seen

    def _statistics(self, losses: Losses, gradients: TaskGradients, epoch: int) -> StepStatistics:
        """Return what the balancer sees of a step: all of it, so that several processes can average it here."""
        present = self._awake if isinstance(losses.counts, int) else self._awake & (losses.counts > 0)
        width = 0 if gradients.jacobian is None else gradients.jacobian.shape[-1]
        return StepStatistics(
            self._as_seen(losses),
            present,
            gradients.norms,
            gradients.gramian,
            gradients.jacobian,
            self.balancer.draw(len(self.tasks), width, self.device, self.generator),
            epoch - self._rested[0],
            self.steps - self._rested[1],
            gradients.other,
        )

    def _decide(self, losses: Losses, gradients: TaskGradients, epoch: int) -> Decision:
        """Ask the balancer; keep its state, and the weights that this step is to use."""
        statistics = self._statistics(losses, gradients, epoch)
        decision = self.balancer.decide(self.state, statistics)
        if self.balancer.scale == "sum":
            decision = to_sum(decision, statistics.present)
        everyone = self._all_awake and isinstance(losses.counts, int)
        self.weights = decision.weights if everyone else decision.weights.where(statistics.present, self.weights)
        self.state, self.directed = decision.state, decision.direction is not None
        self.head_weights, self.columns = decision.head_weights, decision.columns
        self.gramian, self.sizes = gradients.gramian, gradients.sizes
        return decision
