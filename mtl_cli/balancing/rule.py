"""What the methods have in common that turn a Gramian into weights on the CPU, in float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mtl_cli.balancing.balancer import GramianBalancer, Observed, State, Weighing

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class GramianRule(GramianBalancer):
    """Weights from the Gramian of the tasks that are present; the others keep the weight and the state they had."""

    heads: Literal["weighted", "unit"] = "unit"

    def rule(self, gramian: torch.Tensor) -> torch.Tensor:
        """Turn a float64 Gramian of shape (K, K), on the CPU, into K weights."""
        raise NotImplementedError

    def weigh_present(
        self, gramian: torch.Tensor, chosen: torch.Tensor, state: State, observed: Observed
    ) -> tuple[torch.Tensor, State]:
        """Return the weights of the tasks present, and the parts of the state that change.

        Parameters
        ----------
        gramian : Tensor of shape (K, K)
            Of the K tasks present, in float64 on the CPU.
        chosen : Tensor of int, shape (K,)
            Which tasks these are.
        state : dict of str to Tensor
        observed : Observed
        """
        return self.rule(gramian), {}

    def weigh(self, state: State, observed: Observed) -> Weighing:
        import numpy as np
        import torch

        from mtl_cli.balancing.solvers.cosines import as_array, clean

        assert observed.gramian is not None
        before = state["weights"]
        gramian = as_array(observed.gramian)
        chosen = torch.arange(len(gramian)) if observed.present is None else observed.present.cpu().nonzero()[:, 0]
        if len(chosen) < len(gramian):
            gramian = gramian[np.ix_(chosen.numpy(), chosen.numpy())]
        if len(chosen) == 0:
            return Weighing(before, state)
        total = float(gramian.sum())
        if not abs(total) < float("inf"):  # the step says which task it is
            return Weighing(torch.full_like(before, torch.nan), state)
        cleaned = torch.from_numpy(clean(gramian, torch.finfo(observed.gramian.dtype).eps))
        found, changes = self.weigh_present(cleaned, chosen, state, observed)
        found = found.to(before)
        weights = found if len(found) == len(before) else before.index_copy(0, chosen.to(before.device), found)
        return Weighing(weights, {**state, **changes, "weights": weights})
