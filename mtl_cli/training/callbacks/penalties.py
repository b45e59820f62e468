"""The penalties added to the task losses: the regularizer's and the sharing scheme's. No balancer sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mtl_cli.runs.forms import Form, Many
from mtl_cli.training.callbacks.base import Callback, TrainerState

if TYPE_CHECKING:
    import torch
    from torch.optim import Optimizer

    from mtl_cli.models.network import Network
    from mtl_cli.models.regularizer import Regularizer


class Penalties(Callback):
    """Adds the penalties' gradients after the balancing step, and takes proximal steps after the optimizer's.

    The gradients are added before clipping, so that ``trainer.clip_norm`` bounds all that the optimizer is given; a
    proximal step is no gradient and is not clipped. Its size is the learning rate over 1 − momentum, the size that the
    losses' gradients have in the end: where the weights stop moving, the objective has its minimum. Under Adam, whose
    steps have no fixed size, it is the learning rate, as in its decoupled weight decay.

    Parameters
    ----------
    network : Network
    regularizer : Regularizer, optional
    name : str
        The regularizer's, for the history.
    optimizer : Optimizer
        Whose learning rate a proximal step takes: that of the weights it acts on.
    """

    def __init__(self, network: Network, regularizer: Regularizer | None, name: str, optimizer: Optimizer) -> None:
        self._network, self._regularizer, self._name = network, regularizer, name
        acted_on = {id(weight) for weight in regularizer.weights()} if regularizer is not None else set()
        learnt = [any(id(p) in acted_on for p in group["params"]) for group in optimizer.param_groups]
        self._optimizer, self._group = optimizer, learnt.index(True) if True in learnt else 0
        self._sharing: list[torch.Tensor] = []

    @property
    def none(self) -> bool:
        """Whether nothing is added to the losses, nor any step taken."""
        return self._regularizer is None and self._network.penalty() is None

    def on_gradients(self, trainer: TrainerState) -> None:
        """Add the gradients of the penalties."""
        self.add([result.counts for result in trainer.results])

    def on_update(self, trainer: TrainerState) -> None:
        """Take the proximal step, if there is one."""
        self.proximal_step()

    def measure(self, trainer: TrainerState) -> Mapping[str, float]:
        """Return the penalties by their columns in the history."""
        return self.end_epoch()

    def state_dict(self) -> dict[str, Any]:
        """Return what the regularizer has learnt, and the sharing scheme's penalties in the epoch under way."""
        learnt = {} if self._regularizer is None else self._regularizer.state_dict()
        return {"regularizer": learnt, "sharing": list(self._sharing)}

    def form(self, trainer: TrainerState) -> Form:
        """Return what any such state is like."""
        import torch

        learnt = {} if self._regularizer is None else self._regularizer.form()
        return {"regularizer": learnt, "sharing": Many(torch.zeros(()))}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""
        if self._regularizer is not None:
            self._regularizer.load_state_dict(saved["regularizer"])
        self._sharing = list(saved["sharing"])

    def add(self, counts: Sequence[torch.Tensor | int]) -> None:
        """Add the gradient to ``.grad``.

        Parameters
        ----------
        counts : sequence of Tensor of shape (T,), or int
            The rows with a label, by task, of each of the step's batches.
        """
        import torch

        sharing = self._network.penalty()
        terms = [] if sharing is None else [sharing]
        self._sharing += [term.detach() for term in terms]
        if self._regularizer is not None and not self._regularizer.proximal:
            terms.append(self._regularizer.penalty(_present(counts)))
        needing = [term for term in terms if term.requires_grad]
        if needing:
            torch.autograd.backward(needing)

    def proximal_step(self) -> None:
        """Take the proximal step, if there is one."""
        import torch

        if self._regularizer is not None and self._regularizer.proximal:
            group = self._optimizer.param_groups[self._group]
            with torch.no_grad():
                self._regularizer.proximal_step(group["lr"] / (1 - group.get("momentum", 0.0)))

    def end_epoch(self) -> dict[str, float]:
        """Return the penalties by their columns in the history, at the weights as they are now.

        A sharing scheme's penalty may depend on the rows: it is the mean over the epoch's steps.
        """
        import torch

        with torch.no_grad():
            if not self._sharing and (now := self._network.penalty()) is not None:  # float16 overflowed in every step
                self._sharing.append(now)
            found = {"penalty_sharing": float(torch.stack(self._sharing).mean())} if self._sharing else {}
            self._sharing = []
            if self._regularizer is not None:
                found[f"penalty_{self._name}"] = float(self._regularizer.penalty())
                found |= self._regularizer.end_epoch()
        return found


def _present(counts: Sequence[torch.Tensor | int]) -> torch.Tensor | None:
    """Return in what share of the batches each task has a label, (T,); None if every task has one in all of them."""
    import torch

    some = [count > 0 for count in counts if isinstance(count, torch.Tensor)]
    return None if not some else (torch.stack(some).sum(0) + len(counts) - len(some)) / len(counts)
