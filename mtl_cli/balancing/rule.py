"""What the methods have in common that turn a Gramian into weights with NumPy, in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mtl_cli.balancing.base import Decision, GramianBalancer, State, StepStatistics

if TYPE_CHECKING:
    from mtl_cli.balancing.solvers.cosines import Array, Indices

FLOAT32_EPSILON, FLOAT64_EPSILON = 2.0**-23, 2.0**-52


@dataclass(frozen=True, kw_only=True)
class GramianRule(GramianBalancer):
    """Weights from the Gramian of the tasks that are present; the others keep the weight and the state they had."""

    heads: Literal["weighted", "unit"] = "unit"

    def rule(self, gramian: Array) -> Array:
        """Turn a Gramian, a float64 array of shape (K, K), into K weights."""
        raise NotImplementedError

    def few(self, gramian: Sequence[Sequence[float]]) -> Sequence[float] | None:
        """Do what ``rule`` does for up to four tasks, in floats, if that is known: arrays take several times as long.

        Parameters
        ----------
        gramian : sequence of sequences of float
            Of gradients that are linearly independent, by more than rounding.
        """
        return None

    def weigh_present(
        self, gramian: Array, chosen: Indices, state: State, statistics: StepStatistics
    ) -> tuple[Array, State]:
        """Return the weights of the tasks present, and the parts of the state that change.

        Parameters
        ----------
        gramian : array of shape (K, K)
            Of the K tasks present.
        chosen : array of int, shape (K,)
            Which tasks these are.
        state : dict of str to Tensor
        statistics : StepStatistics
        """
        return self.rule(gramian), {}

    def decide(self, state: State, statistics: StepStatistics) -> Decision:
        import numpy as np
        import torch

        from mtl_cli.balancing.solvers.cosines import as_array, clean
        from mtl_cli.balancing.solvers.small import MOST, is_sound

        assert statistics.gramian is not None
        before, epsilon = state["weights"], FLOAT32_EPSILON
        if statistics.gramian.dtype == torch.float64:
            epsilon = FLOAT64_EPSILON
        size = len(before)
        if size <= MOST and statistics.present is None and type(self).few is not GramianRule.few:
            rows = statistics.gramian.tolist()
            if is_sound(rows, size * epsilon) and (few := self.few(rows)) is not None:
                weights = torch.tensor(few, dtype=before.dtype, device=before.device)
                return Decision(weights, {**state, "weights": weights})
        gramian = as_array(statistics.gramian)
        chosen = np.arange(size) if statistics.present is None else statistics.present.cpu().numpy().nonzero()[0]
        if len(chosen) < size:
            gramian = gramian[np.ix_(chosen, chosen)]
        if len(chosen) == 0:
            return Decision(before, state)
        if not math.isfinite(gramian.sum()):  # the step says which task it is
            return Decision(torch.full_like(before, torch.nan), state)
        found, changes = self.weigh_present(clean(gramian, epsilon), chosen, state, statistics)
        weights = torch.from_numpy(found).to(before)
        if len(chosen) < size:
            weights = before.index_copy(0, torch.from_numpy(chosen).to(before.device), weights)
        return Decision(weights, {**state, **changes, "weights": weights})
