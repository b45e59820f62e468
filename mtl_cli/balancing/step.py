"""One training step up to the gradients: one forward pass, one backward pass, and between them the cut.

    z_t    = representations(x)                the trunk, once
    leaf_t = z_t, detached                     the cut
    L_t    = loss(head_t(leaf_t), y_t)
    Σ L_t backward                             the heads' gradients, and c_t = ∂L_t/∂z_t, for all tasks in one call
    w      = what the balancer makes of the losses, or of what the geometry makes of c_t
    Σ w_t c_t backward through the trunk       the gradient of Σ w_t L_t

A method that needs only the losses, and whose heads see the weights, needs no cut: Σ w_t L_t goes back at once. One
that needs the Gramian on the shared parameters needs no last pass, unless the gradients are too large to be kept:
Σ w_t g_t is put together from what made that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mtl_cli.balancing.base import Balancer, Decision, State, StepStatistics
from mtl_cli.balancing.look import NOTHING, Look, Seen, SharedModel, check_heads
from mtl_cli.balancing.losses import Losses, task_losses
from mtl_cli.balancing.precision import Precision
from mtl_cli.balancing.row_gradients import RowGradients
from mtl_cli.balancing.scale import to_sum
from mtl_cli.balancing.step_result import StepResult, Tellers
from mtl_cli.config.schema import PrecisionName
from mtl_cli.data.batches import Batch
from mtl_cli.tasks.task import Task


class TrainingStep:
    """Computes a batch's gradients into ``.grad``, as the balancer weighs them.

    Parameters
    ----------
    model : SharedModel
    tasks : dict of str to Task
    balancer : Balancer
    device : torch.device
    seed : int
        Of the balancer's draws.
    precision : {"float32", "bfloat16", "float16"}
        Of the forward pass: see ``Precision``.

    Attributes
    ----------
    state : dict of str to Tensor
        The balancer's state.
    tellers : Tellers
        Make ``StepResult.sizes`` where the balancer sees no gradients.
    """

    def __init__(
        self,
        model: SharedModel,
        tasks: dict[str, Task],
        balancer: Balancer,
        device: torch.device,
        seed: int = 0,
        precision: PrecisionName = "float32",
    ) -> None:
        self.precision = Precision(precision, device)
        self.model, self.tasks, self.balancer = model, tasks, balancer
        self.state: State = balancer.init_state(list(tasks), device)
        self.device = device
        self.weigh_tasks([task.weight for task in tasks.values()])
        self.steps = self.seen_step = 0
        self.generator = torch.Generator().manual_seed(seed)
        self.weights = torch.ones_like(self.task_weights)
        self._all_present = torch.ones_like(self.weights, dtype=torch.bool)
        self.seen: Mapping[str, torch.Tensor] = {}
        self.gramian: torch.Tensor | None = None
        self.sizes: torch.Tensor | None = None
        self.directed = False
        self.head_weights: torch.Tensor | None = None
        self.held = False
        self._rested = (0, 0)  # epochs and steps in which it was held
        self._before: dict[str, Any] | None = None  # the state before the batches that are not settled
        self._look, self._blind = Look(model, balancer), Look(model, None)
        if balancer.needs != "losses" or balancer.heads == "unit":
            check_heads(model)
        self.tellers = Tellers(model, tasks)

    def __call__(self, batch: Batch, epoch: int = 1) -> StepResult:
        """Add the batch's gradients to ``.grad``.

        Parameters
        ----------
        batch : Batch
        epoch : int
            From 1; some methods go by it.
        """
        if self.precision.scales and self._before is None:
            self._before = self.state_dict()
        balancer = self.balancer
        due = balancer.needs == "losses" or self.directed or (self.steps - self._rested[1]) % balancer.update_every == 0
        weighs = due and not self.held
        if balancer.heads == "unit" or (weighs and balancer.needs != "losses"):
            losses = self._through_cut(batch, epoch, weighs)
        else:
            losses = self._losses(batch)
            if weighs:
                with torch.no_grad():
                    self._decide(losses, NOTHING, epoch)
            gradient = self._rows(losses, self.weights, self.precision.scale)
            torch.autograd.backward((losses.rows,), (gradient,))
        self.steps += 1
        self.seen_step = self.steps if weighs else self.seen_step
        sizes = self.sizes if balancer.needs != "losses" and weighs else self.tellers()
        return StepResult(losses.means, losses.counts, self.weights, self.seen, self.gramian, sizes, self.seen_step)

    def hold(self, held: bool, epoch: int) -> None:
        """Let a balancer that looks at shared gradients rest while nothing shared is trained, or begin in ``epoch``.

        It counts epochs and steps from there. One that needs only losses is not held.
        """
        self.held = held and self.balancer.needs != "losses"
        if not held and self.balancer.needs != "losses":
            self._rested = (epoch - 1, self.steps)

    def weigh_tasks(self, weights: Sequence[float]) -> None:
        """Multiply the tasks' losses by these from the next step on, before the balancer sees them.

        A task of weight 0 is absent for the balancer, as one without a label is.
        """
        self._rows = RowGradients(weights, self.device)

    @property
    def task_weights(self) -> torch.Tensor:
        """The tasks' own weights, shape (T,)."""
        return self._rows.task_weights

    def settle(self, batches: int) -> bool:
        """Make of ``.grad``, which so many batches were added to, their mean, in the losses' own scale.

        Returns
        -------
        bool
            False if float16 overflowed. Then the optimiser must not step, and the balancer is as it was before.
        """
        if batches == 1 and not self.precision.scales:
            return True
        parameters = {id(p): p for m in self.model.modules() for p in m.parameters(recurse=False)}  # tied ones once
        gradients = [p.grad for p in parameters.values() if p.grad is not None]
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
        """Let a method that looks ahead see the losses after the optimiser's step; nothing for the others.

        Of several batches to a step of the optimiser, this is to be the last.
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
            "seen": dict(self.seen),
            "gramian": self.gramian,
            "steps": self.steps,
            "seen_step": self.seen_step,
            "directed": self.directed,
            "rested": self._rested,
            "head_weights": self.head_weights,
            "generator": self.generator.get_state(),
            "scale": self.precision.scale,
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""
        self.state, self.weights = dict(saved["state"]), saved["weights"]
        self.seen, self.gramian = dict(saved["seen"]), saved["gramian"]
        self.steps, self.seen_step = saved["steps"], saved["seen_step"]
        self.directed, self.head_weights = saved["directed"], saved["head_weights"]
        self._rested = saved["rested"]
        self.generator.set_state(saved["generator"])
        self.precision.scale = saved["scale"]

    def _losses(self, batch: Batch) -> Losses:
        with self.precision.forward():
            representations = self.model.representations(batch.inputs)
            outputs = {name: self.model.heads[name](z) for name, z in representations.items()}
        return task_losses(self.tasks, batch, outputs)

    def _through_cut(self, batch: Batch, epoch: int, weighs: bool) -> Losses:
        look = self._look if weighs and self.balancer.needs != "losses" else self._blind
        with self.precision.forward():
            cut = look.forward(batch.inputs)
        losses = task_losses(self.tasks, batch, cut.outputs)
        scale = self.precision.scale
        cut.receive(losses.rows, self._rows(losses, None, scale))
        with torch.no_grad():
            seen = look.see(cut)
            unscaled = seen if scale == 1 else seen.divided(scale)
            direction = self._decide(losses, unscaled, epoch).direction if weighs else None
            if direction is not None and scale != 1:
                direction = direction * scale
            weights = self.weights.to(losses.rows.dtype)
            cut.finish(weights if self.balancer.heads == "weighted" else self.head_weights)
            look.send_back(cut, seen, weights, direction)
        return losses

    def _as_seen(self, losses: Losses) -> torch.Tensor:
        """Return the losses as the balancer is to see them, shape (T,)."""
        seen = losses.means if self._rows.equal else losses.means * self.task_weights
        return seen + self.balancer.shift if self.balancer.shift else seen

    def _decide(self, losses: Losses, seen: Seen, epoch: int) -> Decision:
        """Ask the balancer; keep its state, and the weights that this step is to use."""
        present = self._all_present if losses.present is None else losses.present
        if self._rows.awake is not None:
            present = present & self._rows.awake
        width = 0 if seen.jacobian is None else seen.jacobian.shape[-1]
        decision = self.balancer.decide(
            self.state,
            StepStatistics(
                self._as_seen(losses),
                present,
                seen.norms,
                seen.gramian,
                seen.jacobian,
                self.balancer.draw(len(self.tasks), width, self.device, self.generator),
                epoch - self._rested[0],
                self.steps - self._rested[1],
            ),
        )
        if self.balancer.scale == "sum":
            decision = to_sum(decision, present)
        weights = decision.weights.where(present, self.weights)
        self.state, self.weights, self.directed = decision.state, weights, decision.direction is not None
        self.head_weights = decision.head_weights
        self.seen, self.gramian, self.sizes = decision.columns, seen.gramian, seen.sizes
        return decision
