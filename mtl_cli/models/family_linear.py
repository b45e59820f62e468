"""A linear model of each task on a family's differences from its reference, beside the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from mtl_cli.data.inputs import Inputs
from mtl_cli.data.sequences.differences import differences, number_of_columns


def mean_shares(several: Sequence[FamilyLinear]) -> dict[str, float]:
    """Return the share of linear models in a task's outputs, by task: the mean of several networks'. It waits."""
    shares = torch.stack([linear.shares for linear in several]).double().mean(0)
    return dict(zip(several[0].tasks, shares.tolist(), strict=True))


class FamilyLinear(nn.Module):
    """Linear models b_t + W_tᵀ x of which residue is where, and of a share of each task's output what they make up.

    The output of task t is (1 − s_t) o_t + s_t (b_t + W_tᵀ x), o_t being the network's. Nothing of it is trained by
    steps: W_t and b_t are fitted before the training, and the shares s_t are found on the validation rows after each
    epoch. To average models whose weights are chosen on rows held out is stacking (Wolpert 1992, doi
    10.1016/S0893-6080(05)80023-1; Breiman 1996, doi 10.1007/BF00117832), here with weights that sum to one.

    Parameters
    ----------
    reference : sequence of int
        Tokens.
    tokens : int
        The size of the vocabulary, padding included.
    outputs : mapping of str to int
        The width of a task's output, by task.
    """

    def __init__(self, reference: Sequence[int], tokens: int, outputs: Mapping[str, int]) -> None:
        super().__init__()
        self.tasks, self.tokens, self.widths = list(outputs), tokens, list(outputs.values())
        self.reference: torch.Tensor
        self.weight: torch.Tensor
        self.intercept: torch.Tensor
        self.shares: torch.Tensor
        self.penalties: torch.Tensor
        self.register_buffer("reference", torch.tensor(reference), persistent=False)
        self.register_buffer("weight", torch.zeros(number_of_columns(len(reference), tokens), sum(self.widths)))
        self.register_buffer("intercept", torch.zeros(sum(self.widths)))
        self.register_buffer("shares", torch.zeros(len(self.tasks)))
        self.register_buffer("penalties", torch.zeros(len(self.tasks)))

    def set_task(self, task: str, weight: np.ndarray, intercept: np.ndarray, penalty: float) -> None:
        """Set the linear model of a task, given (columns, outputs), (outputs,), and the penalty it was fitted with."""
        place = self.tasks.index(task)
        self.penalties[place] = penalty
        start = sum(self.widths[:place])
        own = slice(start, start + self.widths[place])
        self.weight[:, own] = torch.from_numpy(weight).to(self.weight)
        self.intercept[own] = torch.from_numpy(intercept).to(self.weight)

    def forward(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Return what the linear models say of each row, (n, outputs) by task."""
        assert isinstance(inputs, torch.Tensor)
        apart = differences(inputs, self.reference)
        kinds, places = apart.columns(len(self.reference), self.tokens)
        each = self.weight[kinds] + self.weight[places]
        found = self.intercept.repeat(len(inputs), 1).index_add(0, apart.row, each)
        return dict(zip(self.tasks, torch.split(found, self.widths, 1), strict=True))

    def mixed(self, outputs: Mapping[str, torch.Tensor], inputs: Inputs) -> dict[str, torch.Tensor]:
        """Return the outputs with these models' share in them, given the network's."""
        own = self(inputs)
        shares = dict(zip(self.tasks, self.shares, strict=True))
        return {
            name: torch.lerp(output, own[name], shares[name]) if name in own else output
            for name, output in outputs.items()
        }
