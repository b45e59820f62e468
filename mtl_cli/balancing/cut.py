"""The cut between trunk and heads: each task's gradient at the representation that its head reads."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mtl_cli.balancing.geometry import Root


class Cut:
    """Leaves for the heads to read in place of the representations.

    Tasks that read the same z get slices of one leaf, so that one backward call through the heads leaves all their
    gradients in one tensor, without a copy.

    Parameters
    ----------
    representations : mapping of str to Tensor
        z_t by task.
    axis : {0, 1}
        Where the tasks lie in that tensor: (T, n, …) or (n, T, …).
    """

    def __init__(self, representations: Mapping[str, torch.Tensor], axis: int) -> None:
        self.axis = axis
        readers: dict[int, list[int]] = {}
        tensors = list(representations.values())
        for number, z in enumerate(tensors):
            readers.setdefault(id(z), []).append(number)
        self._groups = []
        self.leaves: dict[str, torch.Tensor] = {}
        names = list(representations)
        for numbers in readers.values():
            z = tensors[numbers[0]]
            shape = list(z.shape)
            shape.insert(axis, len(numbers))
            leaf = z.detach().unsqueeze(axis).expand(shape).requires_grad_()
            self._groups.append((z, numbers, leaf))
            self.leaves.update(zip((names[number] for number in numbers), leaf.unbind(axis), strict=True))

    def roots(self) -> list[Root]:
        """Return c_t = ∂L_t/∂z_t after the heads' backward pass, for each z that is not a plain input."""
        return [
            Root(z, numbers, leaf.grad if leaf.grad is not None else torch.zeros_like(leaf))
            for z, numbers, leaf in self._groups
        ]

    def weighted(self, root: Root, weights: torch.Tensor) -> torch.Tensor:
        """Return Σ_t w_t c_t in the shape of z."""
        if len(root.tasks) < len(weights):
            weights = weights[root.tasks]
        tasks = len(root.tasks)
        if self.axis == 0:
            return (weights @ root.deltas.view(tasks, -1)).view(root.z.shape)
        flat = root.deltas.view(len(root.z), tasks, -1)
        return torch.matmul(weights, flat).view(root.z.shape)
