"""The contract between the training loop and what ties the tasks' weights to each other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mtl_cli.config.errors import Problem
from mtl_cli.runs.forms import Form

if TYPE_CHECKING:
    import torch
    from torch import nn

    from mtl_cli.data.batches import Batches
    from mtl_cli.models.network import Network
    from mtl_cli.tasks.task import Task


@dataclass(frozen=True)
class Training:
    """What a regularizer may need to know of a run.

    Parameters
    ----------
    network : Network
        On its device.
    tasks : mapping of str to Task
    batches : Batches
        The training rows, on the device.
    notice : callable
        Takes a line that the user should see.
    """

    network: Network
    tasks: Mapping[str, Task]
    batches: Batches
    notice: Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class RegularizerConfig(ABC):
    """A regularizer, what ties the tasks' weights to each other: its settings as fields."""

    ties_tasks: ClassVar[bool] = True
    """Whether it joins tasks, and so has nothing to do where there is one."""
    compares_heads: ClassVar[bool] = False
    """Whether it compares the tasks' heads unit by unit, which must then mean the same to all of them."""
    reads_likelihoods: ClassVar[bool] = False
    """Whether it needs the tasks' losses to be likelihoods of a label per row."""

    def acts_on(self, tasks: Sequence[str]) -> Sequence[str]:
        """Return those of the tasks whose weights it ties."""
        return tasks

    def check(self, tasks: Sequence[str]) -> Iterator[Problem]:
        """Yield what is wrong with these keys for tasks of these names."""
        yield from ()

    @abstractmethod
    def build(self, training: Training) -> Regularizer | None:
        """Return what acts on the network; None if nothing does. Raises UserError if the network does not suit it."""


class Regularizer:
    """A term λ Ω(W) of the training loss that no balancer sees.

    It acts in one of two ways: its gradient is added to ``.grad`` behind the balancing step, or, where ``proximal``, it
    changes the weights after the optimizer's step and adds no gradient.
    """

    proximal = False

    def weights(self) -> list[nn.Parameter]:
        """Return the weights that it acts on."""
        raise NotImplementedError

    def penalty(self, present: torch.Tensor | None = None) -> torch.Tensor:
        """Return λ Ω(W), a scalar.

        Parameters
        ----------
        present : Tensor of shape (T,), optional
            In what share of the step's batches each task has a label. Without it all have one in all of them.
        """
        raise NotImplementedError

    def proximal_step(self, lr: float) -> None:
        """Take the proximal step of size η = ``lr``: W ← argmin_V ½‖V − W‖² + η λ Ω(V). Without gradients."""

    def end_epoch(self) -> dict[str, float]:
        """Learn what is learnt once an epoch, and return further columns of the history. It may wait for the device."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return what it has learnt: tensors and plain values."""
        return {}

    def form(self) -> Form:
        """Return what any such state is like, which is checked before one is loaded; see ``runs.forms``."""
        return ...

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""
