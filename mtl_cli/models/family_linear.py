"""What linear models read of a family of sequences: which residue is where."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mtl_cli.data.inputs import Inputs
from mtl_cli.data.sequences.differences import differences, number_of_kinds
from mtl_cli.models.linear import Entries, LinearInputs


class FamilyInputs(LinearInputs):
    """A column for each kind of difference from the reference, and behind them one for each place that has any.

    So what residues at one place have in common is learnt too. Of the reference's own residues there are no columns:
    they are there wherever no other is.

    Parameters
    ----------
    reference : sequence of int
        Tokens.
    tokens : int
        The size of the vocabulary, padding included.
    """

    def __init__(self, reference: Sequence[int], tokens: int) -> None:
        super().__init__()
        self.reference: torch.Tensor
        self.register_buffer("reference", torch.tensor(reference), persistent=False)
        self.tokens, self.kinds = tokens, number_of_kinds(len(reference), tokens)
        self.columns = self.kinds + len(reference) + 1

    def entries(self, inputs: Inputs) -> Entries:
        assert isinstance(inputs, torch.Tensor)
        apart = differences(inputs, self.reference)
        columns = torch.stack([apart.kinds(self.tokens), self.kinds + apart.place], 1).flatten()
        return Entries(
            len(inputs), apart.row.repeat_interleave(2), columns, torch.ones_like(columns, dtype=torch.float32)
        )
