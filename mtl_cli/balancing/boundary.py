"""The boundary between trunk and heads: each task's gradient at the representation that its head reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import nn

from mtl_cli.balancing.backward import Roots
from mtl_cli.balancing.chain import Chain, is_chain
from mtl_cli.balancing.mixed_precision import full
from mtl_cli.config.errors import UserError


class Representation(NamedTuple):
    """A representation, and the gradients at it of the tasks that read it.

    Parameters
    ----------
    z : Tensor
        With its graph, which leads to the trunk's parameters.
    tasks : list of int
        The numbers of the tasks that read it.
    gradients : Tensor of shape (tasks here, *that of z)
        c_t = ∂L_t/∂z.
    """

    z: torch.Tensor
    tasks: list[int]
    gradients: torch.Tensor


class HeadBoundary:
    """Runs the heads on detached representations, and sends each task's gradient back to its own.

    Heads of any kind read a copy for each task, so that one backward pass through all of them gives every task's
    gradient. Heads that are chains without hooks need no graph of autograd's, whose pass ends at their outputs.

    Parameters
    ----------
    representations : mapping of str to Tensor
        z_t by task.
    heads : mapping of str to Module
    chains : mapping of str to Chain
        The same heads as chains, or empty: see ``head_chains``.

    Attributes
    ----------
    outputs : dict of str to Tensor
        The heads'.
    representations : list of Representation
        Each z once, with its c_t; after ``receive``.
    """

    def __init__(
        self, representations: Mapping[str, torch.Tensor], heads: Mapping[str, nn.Module], chains: Mapping[str, Chain]
    ) -> None:
        tensors = list(representations.values())
        readers: dict[int, list[int]] = {}
        for number, z in enumerate(tensors):
            readers.setdefault(id(z), []).append(number)
        self._readers = [(tensors[numbers[0]], numbers) for numbers in readers.values()]
        self.representations: list[Representation] = []
        self._roots: list[tuple[int, torch.Tensor, torch.Tensor]] = []  # what trains each head on L_t: see send_back
        hooked = any(chain.is_hooked() for chain in chains.values())
        self._chains = [] if hooked or any(z.dim() != 2 for z in tensors) else list(chains.values())
        if self._chains:
            with torch.no_grad():
                found = [chain.run(z).requires_grad_() for chain, z in zip(self._chains, tensors, strict=True)]
        else:
            self._copies = [full(z.detach()).requires_grad_() for z in tensors]
            found = [head(copy) for head, copy in zip(heads.values(), self._copies, strict=True)]
        self.outputs = dict(zip(representations, found, strict=True))

    def receive(self, total: torch.Tensor) -> None:
        """Send the gradients of Σ_t f_t L_t, which has its graph, back to c_t. To be called without gradients."""
        each = (self._by_chains if self._chains else self._by_autograd)(total)
        self.representations = [
            Representation(z, tasks, torch.stack([each[task] for task in tasks])) for z, tasks in self._readers
        ]

    def _by_chains(self, total: torch.Tensor) -> list[torch.Tensor]:
        errors, each = torch.autograd.grad(total, list(self.outputs.values())), []
        for task, (chain, error) in enumerate(zip(self._chains, errors, strict=True)):
            deltas = full(error)
            for parts, below in chain.back(deltas, to=-1):
                self._roots += [(task, part.parameter, part.full()) for part in parts]
                deltas = below
            chain.clear()
            each.append(deltas)
        return each

    def _by_autograd(self, total: torch.Tensor) -> list[torch.Tensor]:
        copies, self._copies = self._copies, []
        outputs = {i: output for i, output in enumerate(self.outputs.values()) if output.requires_grad}
        wanted = [*copies, *outputs.values()]
        found = torch.autograd.grad(total, wanted, retain_graph=True, allow_unused=True)
        errors = zip(outputs.items(), found[len(copies) :], strict=True)
        self._roots = [(task, output, error) for (task, output), error in errors if error is not None]
        return [torch.zeros_like(z) if c is None else c for z, c in zip(copies, found, strict=False)]

    def heads(self, weights: torch.Tensor | None) -> Roots:
        """Return where, and what, is to be sent back to train each head on w_t L_t; None says that w_t is 1."""
        if weights is None:
            return [(tensor, gradient) for _, tensor, gradient in self._roots]
        each = weights.unbind()
        return [(tensor, gradient * each[task]) for task, tensor, gradient in self._roots]

    def flat(self) -> torch.Tensor:
        """Return c_t, shape (T, numbers of z), where all tasks read one z."""
        if len(self.representations) > 1:
            what = "representation needs a representation that all tasks share"
            raise UserError("balancer.geometry", what, "balancer.geometry=parameters")
        return self.representations[0].gradients.flatten(1)

    def weighted(self, weights: torch.Tensor) -> Roots:
        """Return each z, and Σ_t w_t c_t over the tasks that read it."""
        found = []
        for z, tasks, gradients in self.representations:
            own = weights if len(tasks) == len(weights) else torch.stack([weights[task] for task in tasks])
            found.append((z, (own.to(gradients.dtype) @ gradients.flatten(1)).view(z.shape)))
        return found

    def directed(self, direction: torch.Tensor) -> Roots:
        """Return the one z that all tasks read, and ``direction``, as many numbers, in its shape."""
        self.flat()
        z = self.representations[0].z
        return [(z, direction.view(z.shape))]


def head_chains(heads: Mapping[str, nn.Module]) -> dict[str, Chain]:
    """Return the heads as chains of layers; none if one of them is something else."""
    found = {name: list(head) if type(head) is nn.Sequential else [head] for name, head in heads.items()}
    if not all(map(is_chain, found.values())):
        return {}
    return {name: Chain(modules, [heads[name]]) for name, modules in found.items()}
