"""A pretrained backbone with layers of our own above it; what it makes of a row is kept while it is frozen."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Self

import torch
from torch import nn

from mtl_cli.config.errors import UserError
from mtl_cli.io import user_cache, user_path
from mtl_cli.models.embedding_cache import EmbeddingCache, fingerprint
from mtl_cli.models.layers import mlp_layers
from mtl_cli.models.tuning import LayerKeys, LowRank, add_low_rank


class PretrainedTrunk(nn.Module):
    """From tokens, or images, to the backbone's states, and layers above them.

    Parameters
    ----------
    backbone : Module
        With the parameters that are trained marked as such.
    inner : int
        The width of its states.
    config : LayerKeys
        Which of them are, and the layers above.
    cache : bool or str, default False
        A folder for the states of a frozen backbone, or with True a folder of the user's.
    """

    marks: ClassVar[int]
    """States of a row beside those of its tokens."""

    def __init__(self, backbone: nn.Module, inner: int, config: LayerKeys, cache: bool | str = False) -> None:
        super().__init__()
        self.backbone, self.frozen = backbone, config.tune == "frozen"
        self.hidden, linears = mlp_layers(inner, list(config.hidden), config.activation, dropout=config.dropout)
        self._last_hidden = (linears[-1] if linears else None,)  # in a tuple, or it would be registered twice
        self.width = config.hidden[-1] if config.hidden else inner
        folder = user_cache() / "embeddings" if cache is True else user_path(str(cache))
        self.cache = EmbeddingCache(folder) if cache else None
        self._fingerprint: str | None = None
        self.register_load_state_dict_post_hook(  # type: ignore[no-untyped-call]
            lambda *_: setattr(self, "_fingerprint", None)
        )
        self.train()

    @property
    def last_hidden(self) -> nn.Module | None:
        """The last of our own layers; None if there is none."""
        return self._last_hidden[0]

    def train(self, mode: bool = True) -> Self:
        """Set the mode; what is frozen is always as in evaluation."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def states(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return what ``run`` does, from the cache where the backbone is frozen and there is one."""
        if not self.frozen:
            return self.run(tokens)
        with torch.no_grad():
            if self.cache is None:
                return self.run(tokens)
            if self._fingerprint is None:
                self._fingerprint = fingerprint(self.backbone)
            return self.cache.states(self._fingerprint, tokens, self.run, self.marks)

    @abstractmethod
    def run(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the backbone's last states of tokens and marks, (n, length + marks, width)."""


def set_trained(
    backbone: nn.Module,
    layers: Sequence[Sequence[nn.Parameter]],
    config: LayerKeys,
    lora: LowRank,
    kind: str,
    install: str,
) -> None:
    """Mark the parameters of a backbone that are trained, adding those of LoRA.

    Parameters
    ----------
    layers : sequence of sequence of Parameter
        The parameters of each of its layers, from the inputs on, for ``tune: last``.
    lora : LowRank
        For ``tune: lora``.
    kind, install : str
        As ``add_low_rank`` takes them.

    Raises
    ------
    UserError
        If it has fewer layers than are to be trained, or none that LoRA can be added to.
    """
    backbone.requires_grad_(config.tune == "all")
    if config.tune == "last":
        if config.last > len(layers):
            raise UserError("model.trunk.last", f"is {config.last}, and there are {len(layers)} layers")
        for parameters in layers[-config.last :]:
            for parameter in parameters:
                parameter.requires_grad_(True)
    if config.tune == "lora":
        add_low_rank(backbone, lora, kind, install)


def last_trained(model: nn.Module) -> nn.Module | None:
    """Return the last layer of a backbone with a matrix or kernel that is trained; None if none is."""
    kinds = (nn.Linear, nn.Conv2d)
    trained = [part for part in model.modules() if isinstance(part, kinds) and part.weight.requires_grad]
    return trained[-1] if trained else None
