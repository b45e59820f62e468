"""Both strands of DNA and RNA: a sequence and its reverse complement, as further training rows or always together."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from mtl_cli.config.errors import UserError
from mtl_cli.data.inputs import InputSpec
from mtl_cli.data.sequences.rows import PADDING
from mtl_cli.models.sharing.modules.shared import Found, at_level
from mtl_cli.models.trunk import ReverseComplement


def with_strands(
    module: nn.Module, how: ReverseComplement, spec: InputSpec, merge: Literal["max", "mean"] = "mean"
) -> nn.Module:
    """Return a module of token numbers that reads their other strand too.

    Raises
    ------
    UserError
        If the sequences are proteins.
    """
    if how == "none":
        return module
    if not spec.complement:
        raise UserError(
            "model.trunk.reverse_complement", "is for DNA and RNA, and these sequences are proteins", "none"
        )
    return Augmented(module, spec.complement) if how == "augment" else Tied(module, spec.complement, merge)


def reverse_complement(tokens: torch.Tensor, complement: torch.Tensor) -> torch.Tensor:
    """Return the other strand of rows, (n, length), read in its own direction; what fills a row stays behind its end.

    Parameters
    ----------
    tokens : Tensor of int64
    complement : Tensor of int64, shape (size of the vocabulary,)
    """
    lengths = (tokens != PADDING).sum(1, keepdim=True)
    places = lengths - 1 - torch.arange(tokens.shape[1], device=tokens.device)
    found = complement[tokens.gather(1, places.clamp(min=0))]
    return found.masked_fill(places < 0, PADDING)


class Augmented(nn.Module):
    """In training, half of the rows are read from the other strand, at random and anew each time.

    Parameters
    ----------
    module : Module
    complement : list of int
    """

    def __init__(self, module: nn.Module, complement: list[int]) -> None:
        super().__init__()
        self.module = module
        self.complement: torch.Tensor
        self.register_buffer("complement", torch.tensor(complement), persistent=False)

    def forward(self, tokens: torch.Tensor) -> Found:
        """Return what the module does."""
        if self.training:
            other = torch.rand((len(tokens), 1), device=tokens.device) < 0.5
            tokens = torch.where(other, reverse_complement(tokens, self.complement), tokens)
        found: Found = self.module(tokens)
        return found


class Tied(nn.Module):
    """Both strands of each row through one module, joined so that their order is of no matter (Shrikumar et al. 2017,
    doi 10.1101/103663; Zhou et al. 2022, PMLR 165, "post-hoc conjoined" in training too).

    Parameters
    ----------
    module : Module
    complement : list of int
    merge : {"max", "mean"}
        Of what is found on the strands, unit by unit.
    """

    def __init__(self, module: nn.Module, complement: list[int], merge: Literal["max", "mean"]) -> None:
        super().__init__()
        self.module, self.merge = module, merge
        self.complement: torch.Tensor
        self.register_buffer("complement", torch.tensor(complement), persistent=False)

    def forward(self, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the representation of each row."""
        strands = torch.cat([tokens, reverse_complement(tokens, self.complement)])
        one, other = at_level(self.module(strands), "row").chunk(2)
        return {"row": torch.maximum(one, other) if self.merge == "max" else (one + other) / 2}
