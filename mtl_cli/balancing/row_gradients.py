"""Where the weights enter: the gradient of the weighted sum of the losses at the losses' rows."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mtl_cli.balancing.losses import Losses


class RowGradients:
    """Makes the gradient of Σ_t w_t · weight_t · L_t at the rows of the losses.

    What is the same in every step is made once.

    Parameters
    ----------
    weights : sequence of float
        weight_t, the tasks' own weights.
    device : torch.device

    Attributes
    ----------
    task_weights : Tensor of shape (T,)
    equal : bool
        Whether all of them are 1.
    awake : Tensor of bool, shape (T,), optional
        Which are not 0; None says all.
    """

    def __init__(self, weights: Sequence[float], device: torch.device) -> None:
        self.task_weights = torch.tensor(weights, device=device, dtype=torch.float32)
        self.equal = all(weight == 1 for weight in weights)
        self.awake = None if all(weights) else self.task_weights > 0
        self._shares = (self.task_weights, 1.0)  # of an unmasked batch, and the scale that they are for
        self._sent = (self.task_weights, -1, self.task_weights, self.task_weights)  # what the last was made of, and it

    def __call__(self, losses: Losses, weights: torch.Tensor | None, scale: float) -> torch.Tensor:
        """Return the gradient, shape (T, n), times ``scale``; ``weights`` None stands for w_t = 1."""
        shares = self._shares_of(losses, scale)
        if weights is None:
            return shares
        known, version, sent, gradient = self._sent
        if known is not weights or version != weights._version or sent is not shares:
            gradient = weights.unsqueeze(1) * shares
            gradient = gradient if gradient.dtype == shares.dtype else gradient.to(shares.dtype)
            self._sent = (weights, weights._version, shares, gradient)
        return gradient

    def _shares_of(self, losses: Losses, scale: float) -> torch.Tensor:
        rows = losses.rows
        if losses.shares is not None:
            plain = self.equal and scale == 1
            return losses.shares if plain else losses.shares * (self.task_weights * scale).unsqueeze(1)
        shares, known_scale = self._shares
        if shares.shape != rows.shape or known_scale != scale:
            each = (self.task_weights * (scale / rows.shape[1])).to(rows.dtype)
            shares = each.unsqueeze(1).expand_as(rows).contiguous()
            self._shares = (shares, scale)
        return shares
