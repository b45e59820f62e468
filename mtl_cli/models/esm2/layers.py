"""ESM-2 with layers of our own above it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from mtl_cli.data.sequences.rows import PADDING
from mtl_cli.models.esm2.files import VOCABULARY
from mtl_cli.models.esm2.settings import ESM2Keys, Size
from mtl_cli.models.pooling import Pool
from mtl_cli.models.pretrained import PretrainedTrunk

if TYPE_CHECKING:
    from transformers import EsmModel


class ESM2Trunk(PretrainedTrunk):
    """From our token numbers, (n, length), to a representation of each row and of each residue.

    Parameters
    ----------
    backbone : EsmModel
        With the parameters that are trained marked as such.
    config : ESM2Keys
    names : list of str
        What our token numbers stand for.
    size : Size
    """

    backbone: EsmModel
    marks = 2

    def __init__(self, backbone: EsmModel, config: ESM2Keys, names: list[str], size: Size) -> None:
        super().__init__(backbone, size.width, config, config.cache)
        self.pool = None if config.pooling == "cls" else Pool(config.pooling, self.width)
        self.numbers: torch.Tensor
        self.register_buffer("numbers", token_numbers(names, size), persistent=False)
        vocabulary = size.vocabulary or VOCABULARY
        self.first, self.last = vocabulary.index("<cls>"), vocabulary.index("<eos>")

    def forward(self, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return ``row``, (n, width), and ``token``, (n, length, width), which is 0 beyond a row's end."""
        inside = tokens != PADDING
        found = self.hidden(self.states(tokens)[:, :-1])
        residues = found[:, 1:] * inside.unsqueeze(2)
        return {"row": found[:, 0] if self.pool is None else self.pool(residues, inside), "token": residues}

    def run(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return ESM-2's last states, (n, length + 2, width): at the mark before, the residues, and the mark behind.

        What stands beyond a row's mark behind it is of no meaning.
        """
        ids = nn.functional.pad(self.numbers[tokens], (1, 1), value=int(self.backbone.config.pad_token_id))
        ids[:, 0] = self.first
        ends = (tokens != PADDING).sum(1, keepdim=True) + 1
        ids.scatter_(1, ends, self.last)
        mask = torch.arange(ids.shape[1], device=ids.device) <= ends
        states: torch.Tensor = self.backbone(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        return states


def token_numbers(names: list[str], size: Size) -> torch.Tensor:
    """Return ESM-2's number of each of our tokens: by its letter; a letter that it lacks is unknown to it."""
    vocabulary = size.vocabulary or VOCABULARY
    unknown, padding = vocabulary.index("<unk>"), vocabulary.index("<pad>")
    letters = [vocabulary.index(name) if name in vocabulary else unknown for name in names]
    return torch.tensor([padding, *letters[PADDING + 1 :]])
