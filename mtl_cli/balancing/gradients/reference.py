"""The tasks' gradients by a backward pass for each: right for every model, and what other ways are tested against."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from mtl_cli.balancing.backward import Roots, inner_product
from mtl_cli.balancing.boundary import HeadBoundary
from mtl_cli.balancing.model import SharedModel
from mtl_cli.data.inputs import Inputs


class Reference:
    """T passes of autograd from the representations to the parameters.

    Parameters
    ----------
    model : SharedModel

    Attributes
    ----------
    name : str
        Of the way that was taken last.
    """

    name = "reference"

    def __init__(self, model: SharedModel) -> None:
        self.model, self._shared = model, model.shared_parameters()

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The shared parameters that are trained."""
        return [parameter for parameter in self._shared if parameter.requires_grad]

    def forward(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Return the model's representations."""
        return self.model.representations(inputs)

    def norms(self, boundary: HeadBoundary) -> torch.Tensor:
        """Return ‖∇_W L_t‖, shape (T,), with W the weights of the last shared layers."""
        layers = self.model.last_shared_layers
        weights = [layer.weight for layer in layers if isinstance(layer.weight, nn.Parameter)]
        found: torch.Tensor = torch.linalg.vector_norm(passes(boundary, weights), dim=1)
        return found

    def gramian(self, boundary: HeadBoundary) -> torch.Tensor:
        """Return g_s · g_t, shape (T, T)."""
        return products(self.jacobian(boundary))

    def jacobian(self, boundary: HeadBoundary) -> torch.Tensor:
        """Return the gradients g_t on ``parameters`` side by side, shape (T, P)."""
        return passes(boundary, self.parameters)

    def weighted(self, boundary: HeadBoundary, weights: torch.Tensor) -> Roots:
        """Return from where, and what, is to be sent back for Σ_t w_t L_t to reach the parameters."""
        return self.through(boundary.weighted(weights))

    def through(self, roots: Roots) -> Roots:
        """Return from where, and what, is to be sent back in place of gradients at the representations, as the last."""
        return roots


def passes(boundary: HeadBoundary, wanted: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return each task's gradients at ``wanted`` side by side, a row per task; the graph is kept."""
    width = sum(tensor.numel() for tensor in wanted)
    found = boundary.representations[0].gradients.new_zeros(len(boundary.outputs), width)
    for z, numbers, gradients in boundary.representations:
        if z.requires_grad:
            for task, gradient in zip(numbers, gradients.to(z.dtype), strict=True):
                pieces = torch.autograd.grad(
                    inner_product(z, gradient), wanted, retain_graph=True, allow_unused=True, materialize_grads=True
                )
                torch.cat([piece.flatten() for piece in pieces], out=found[task])
    return found


LONG, PIECE = 32_768, 1_024
"""Numbers from which a sum is added up in pieces, and of a piece."""


def products(rows: torch.Tensor) -> torch.Tensor:
    """Return the products of all pairs of rows, shape (T, T), for ``rows`` of shape (T, p).

    A long sum in float32 is added up in pieces, whose sums are added then: one running sum loses a digit, and takes no
    less time.
    """
    tasks, width = rows.shape
    if width < LONG:
        total = rows @ rows.T
    else:
        whole = width - width % PIECE
        pieces = rows[:, :whole].view(tasks, -1, PIECE)
        total = torch.bmm(pieces.transpose(0, 1), pieces.permute(1, 2, 0)).sum(0)
        total += rows[:, whole:] @ rows[:, whole:].T
    return (total + total.T) / 2  # rounding may differ on both sides of the diagonal
