"""How sharply the training rows determine a head's last layer, and what is left open under a normal prior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from mtl_cli.models.regularizer import Training
from mtl_cli.models.task_weights import last_layer
from mtl_cli.tasks.task import Task


@dataclass
class Curvature:
    """Sums over the rows that have a label, each by its weight.

    Parameters
    ----------
    loss : float
        Of the losses.
    hessian : Tensor of shape (outputs, units, units), float64, on the CPU
        Their second derivative in each output's weights: Σ_i ∂²ℓ_i/∂o_c² h_i h_iᵀ.
    """

    loss: float
    hessian: torch.Tensor


def curvature(training: Training, tasks: Sequence[str]) -> dict[str, Curvature]:
    """Return the curvature of each task's loss at the present weights, in evaluation mode. It waits for the device."""
    network, batches = training.network, training.batches
    found: dict[str, Curvature] = {}
    was_training = network.training
    network.eval()
    for rows in batches.inputs.chunks():
        with torch.no_grad():
            representations = network.representations(batches.inputs.take(rows))
        for name in tasks:
            target, mask = batches.targets[name][rows], batches.masks[name]
            counts = None if mask is None else mask[rows]
            part = _of_rows(training.tasks[name], network.heads[name], representations[name], target, counts)
            known = found.get(name)
            found[name] = part if known is None else Curvature(known.loss + part.loss, known.hessian + part.hessian)
    network.train(was_training)
    return found


def _of_rows(
    task: Task, head: nn.Module, z: torch.Tensor, target: torch.Tensor, counts: torch.Tensor | None
) -> Curvature:
    if counts is not None:
        labelled = counts > 0
        z, target, counts = z[labelled], target[labelled], counts[labelled]
    last = last_layer(head, task.name)
    with torch.no_grad():
        for layer in head if isinstance(head, nn.Sequential) else []:
            if layer is not last:
                z = layer(z)
        output = last(z)
    with torch.enable_grad():
        output.requires_grad_()
        losses = task.loss(output, target)
        (slopes,) = torch.autograd.grad(losses.sum(), output, create_graph=True)
        second = [torch.autograd.grad(s.sum(), output, retain_graph=True)[0][:, c] for c, s in enumerate(slopes.T)]
    positive = torch.stack(second).clamp(min=0)  # a likelihood that bends the other way here determines nothing
    weights = positive if counts is None else positive * counts
    total = losses.detach() if counts is None else losses.detach() * counts
    units = z.double().cpu()
    hessian = torch.stack([(units * w.unsqueeze(1)).T @ units for w in weights.double().cpu()])
    return Curvature(float(total.double().sum()), hessian)


def posterior(precision: torch.Tensor, variance: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Return the posterior's covariance (A + Σ⁻¹)⁻¹, and log |I + Σ^½ A Σ^½|, over the blocks of several outputs.

    Parameters
    ----------
    precision : Tensor of shape (outputs, units, units)
        A.
    variance : Tensor of shape (outputs, units)
        The diagonal of Σ.
    """
    root = variance.sqrt()
    scaled = root.unsqueeze(2) * precision * root.unsqueeze(1) + torch.eye(variance.shape[1], dtype=variance.dtype)
    factor = torch.linalg.cholesky(scaled)
    inverse = torch.cholesky_inverse(factor)
    covariance = root.unsqueeze(2) * inverse * root.unsqueeze(1)
    return covariance, float(2 * factor.diagonal(dim1=1, dim2=2).log().sum())
