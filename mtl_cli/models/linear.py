"""Linear models of the tasks beside a network, and what they read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from mtl_cli.data.inputs import InputRows, Inputs


class Entries(NamedTuple):
    """The numbers of a table that are not 0, in the order of its rows.

    Parameters
    ----------
    rows : int
        Of the table.
    row, column : Tensor of int64, shape (entries,)
    value : Tensor of float32, shape (entries,)
    """

    rows: int
    row: torch.Tensor
    column: torch.Tensor
    value: torch.Tensor


class LinearInputs(nn.Module, ABC):
    """What linear models read: a table made of the inputs that the network reads.

    Attributes
    ----------
    columns : int
        Of the table.
    """

    columns: int

    @abstractmethod
    def entries(self, inputs: Inputs) -> Entries:
        """Return the table of some rows."""

    def table(self, inputs: InputRows) -> Any:
        """Return the table of many rows on the CPU, a sparse array (n, ``columns``) of float64."""
        from scipy.sparse import csr_array

        every, rows, columns, values = torch.arange(len(inputs)), [], [], []
        for chunk in inputs.chunks():
            found = self.entries(inputs.take(chunk))
            rows.append(every[chunk][found.row])
            columns.append(found.column)
            values.append(found.value.double())
        places = torch.cat(rows).numpy(), torch.cat(columns).numpy()
        return csr_array((torch.cat(values).numpy(), places), (len(inputs), self.columns))


class LinearModels(nn.Module):
    """Linear models b_t + W_tᵀ x of what ``LinearInputs`` makes of a row, and their share in each task's output.

    The output of task t is (1 − s_t) o_t + s_t (b_t + W_tᵀ x), o_t being the network's. Nothing of it is trained by
    steps: W_t and b_t are fitted before the training, and the shares s_t are found on the validation rows after each
    epoch. To average models with weights that are chosen on rows held out is stacking (Wolpert 1992, doi
    10.1016/S0893-6080(05)80023-1; Breiman 1996, doi 10.1007/BF00117832); these sum to one.

    Parameters
    ----------
    reads : LinearInputs
    outputs : mapping of str to int
        The width of a task's output, by task.

    Attributes
    ----------
    shares, penalties, second : Tensor of shape (tasks,)
        The shares; and what validation rows chose (see ``training/linear.py``), 0 where none of them had a label.
    """

    def __init__(self, reads: LinearInputs, outputs: Mapping[str, int]) -> None:
        super().__init__()
        self.reads, self.tasks, self.widths = reads, list(outputs), list(outputs.values())
        self.weight: torch.Tensor
        self.intercept: torch.Tensor
        self.shares: torch.Tensor
        self.penalties: torch.Tensor
        self.second: torch.Tensor
        self.register_buffer("weight", torch.zeros(reads.columns, sum(self.widths)))
        self.register_buffer("intercept", torch.zeros(sum(self.widths)))
        for name in ("shares", "penalties", "second"):
            self.register_buffer(name, torch.zeros(len(self.tasks)))

    def set_task(self, task: str, weight: np.ndarray, intercept: np.ndarray) -> None:
        """Set the linear model of a task, given (columns, outputs) and (outputs,)."""
        place = self.tasks.index(task)
        start = sum(self.widths[:place])
        own = slice(start, start + self.widths[place])
        self.weight[:, own] = torch.from_numpy(weight).to(self.weight)
        self.intercept[own] = torch.from_numpy(intercept).to(self.weight)

    def forward(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Return what the linear models say of each row, (n, outputs) by task."""
        rows, row, column, value = self.reads.entries(inputs)
        starts = torch.searchsorted(row, torch.arange(rows, device=row.device))
        found = nn.functional.embedding_bag(column, self.weight, starts, mode="sum", per_sample_weights=value)
        return dict(zip(self.tasks, torch.split(found + self.intercept, self.widths, 1), strict=True))

    def mixed(self, outputs: Mapping[str, torch.Tensor], inputs: Inputs) -> dict[str, torch.Tensor]:
        """Return the outputs with these models' share in them, given the network's."""
        own = self(inputs)
        shares = dict(zip(self.tasks, self.shares, strict=True))
        return {
            name: torch.lerp(output, own[name], shares[name]) if name in own else output
            for name, output in outputs.items()
        }


def mean_shares(several: Sequence[LinearModels | None]) -> dict[str, float]:
    """Return the share of linear models in a task's outputs, by task: the mean of several networks'. It waits.

    Where networks have no linear models there are no shares.
    """
    own = [linear for linear in several if linear is not None]
    if not own:
        return {}
    shares = torch.stack([linear.shares for linear in own]).double().mean(0)
    return dict(zip(own[0].tasks, shares.tolist(), strict=True))
