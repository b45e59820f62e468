"""An encoder with layers of our own above it, long texts through windows, and a representation of each word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from mtl_cli.config.errors import UserError
from mtl_cli.data.inputs import InputSpec
from mtl_cli.models.pooling import Pool
from mtl_cli.models.pretrained import PretrainedTrunk
from mtl_cli.models.transformer.files import positions_of
from mtl_cli.models.transformer.settings import TransformerKeys

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class TransformerTrunk(PretrainedTrunk):
    """From numbers of pieces, (n, length, 2), and features, to a representation of each text and of each of its words.

    A word is what the encoder makes of its first piece (Devlin et al. 2019, doi 10.18653/v1/N19-1423, section 5.3).

    Parameters
    ----------
    backbone : PreTrainedModel
        With the parameters that are trained marked as such.
    config : TransformerKeys
    spec : InputSpec
    """

    backbone: PreTrainedModel
    marks = 1

    def __init__(self, backbone: PreTrainedModel, config: TransformerKeys, spec: InputSpec) -> None:
        inner = int(backbone.config.hidden_size)
        super().__init__(backbone, inner, config, config.cache)
        self.before, self.behind = list(spec.before), list(spec.behind)
        features = sum(part.width for part in spec.parts.values())
        self.beside = nn.Linear(features, inner) if features else None
        self.pool = None if config.pooling == "cls" else Pool(config.pooling, inner)
        self.room = _room(backbone, config, len(self.before) + len(self.behind))
        padding = backbone.config.pad_token_id
        self.padding = 0 if padding is None else int(padding)

    def forward(self, inputs: torch.Tensor | tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
        """Return ``row``, (n, width), and ``token``, (n, most words, width), which is 0 beyond a text's end."""
        found, *beside = inputs if isinstance(inputs, tuple) else (inputs,)
        pieces, begins = found[:, :, 0], found[:, :, 1]
        states = self.states(pieces)
        first, states = states[:, 0], states[:, 1:]
        text = first if self.pool is None else self.pool(states, pieces > 0)
        if self.beside is not None:
            text = text + self.beside(beside[0])
        count = begins.cumsum(1)
        rows, places = begins.nonzero(as_tuple=True)
        words = states.new_zeros((len(states), max(int(count[:, -1].max()), 1), states.shape[2]))
        words[rows, count[rows, places] - 1] = states[rows, places]
        there = torch.arange(words.shape[1], device=words.device) < count[:, -1:]
        every = self.hidden(torch.cat([text.unsqueeze(1), words], 1))
        return {"row": every[:, 0], "token": every[:, 1:] * there.unsqueeze(2)}

    def run(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the encoder's last states, (n, 1 + length, width): at the first mark, and at the pieces."""
        if tokens.shape[1] <= self.room:
            return self._encode(tokens)
        windows = windows_of((tokens > 0).sum(1).tolist(), self.room)
        cut = torch.zeros((len(windows), self.room), dtype=tokens.dtype, device=tokens.device)
        for place, (row, start, end, _, _) in enumerate(windows):
            cut[place, : end - start] = tokens[row, start:end]
        encoded = torch.cat([self._encode(part) for part in torch.split(cut, max(len(tokens), 1))])
        states = encoded.new_zeros((len(tokens), 1 + tokens.shape[1], encoded.shape[2]))
        for place, (row, start, _, low, high) in enumerate(windows):
            if start == 0:
                states[row, 0] = encoded[place, 0]
            states[row, 1 + low : 1 + high] = encoded[place, 1 + low - start : 1 + high - start]
        return states

    def _encode(self, pieces: torch.Tensor) -> torch.Tensor:
        """Return the states of pieces that the encoder can see at once, and before them that of the first mark."""
        n, length = pieces.shape
        marks = [torch.tensor(each, device=pieces.device).long().expand(n, -1) for each in (self.before, self.behind)]
        ends = (pieces > 0).sum(1, keepdim=True)
        ids = nn.functional.pad(
            torch.where(pieces > 0, pieces - 1, self.padding), (0, len(self.behind)), value=self.padding
        )
        if self.behind:
            ids = ids.scatter(1, ends + torch.arange(len(self.behind), device=ids.device), marks[1])
        ids = torch.cat([marks[0], ids], 1)
        mask = torch.arange(ids.shape[1], device=ids.device) < ends + len(self.before) + len(self.behind)
        if not self.before and not self.behind:
            mask[:, 0] = True  # an empty text has to have something to look at
        found: torch.Tensor = self.backbone(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        start = len(self.before)
        return torch.cat([found[:, :1], found[:, start : start + length]], 1)


def _room(encoder: PreTrainedModel, config: TransformerKeys, marks: int) -> int:
    """Return the most pieces, without marks, that an encoder sees at once."""
    limits = [limit for limit in (positions_of(encoder), config.window) if limit is not None]
    if not limits:
        return 2**30
    if config.window is not None and config.window > min(limits):
        raise UserError("model.trunk.window", f"is {config.window}, and the encoder sees {min(limits)} pieces at once")
    if min(limits) - marks < 2:
        what = f"is {config.window}, and {marks} of them are marks: no room for two pieces"
        raise UserError("model.trunk.window", what, "give more")
    return min(limits) - marks


def windows_of(lengths: list[int], room: int) -> list[tuple[int, int, int, int, int]]:
    """Return the windows of rows: the row, where each begins and ends, and from where to where its states are kept.

    Windows overlap by half; a piece is kept from the one in which it is farther from a cut.
    """
    found = []
    step = max(room // 2, 1)
    for row, length in enumerate(lengths):
        starts = [0]
        while starts[-1] + room < length:
            starts.append(min(starts[-1] + step, length - room))
        ends = [min(start + room, length) for start in starts]
        cuts = [0, *((end + start) // 2 for end, start in zip(ends, starts[1:], strict=False)), length]
        found += [(row, *bounds) for bounds in zip(starts, ends, cuts, cuts[1:], strict=False)]
    return found
