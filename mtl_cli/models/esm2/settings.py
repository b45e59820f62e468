"""The keys of ESM-2, and the sizes that there are; without loading torch."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mtl_cli.config.convert import PositiveFloat, PositiveInt
from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.data import hub
from mtl_cli.io import user_path
from mtl_cli.models.tuning import LayerKeys, Rank

LONGEST = 1022
SPECIAL_POSITIONS = 4
"""Of ESM-2's 1026 positions, two are never used and two are those of the marks before and behind a sequence."""
CONSTANTS = {"model_type": "esm", "position_embedding_type": "rotary", "emb_layer_norm_before": False}
"""What all ESM-2 have in common, and ESM-1 has not."""
MARKS = {"<cls>", "<pad>", "<eos>", "<unk>", "<mask>"}
INSTALL = "pip install 'mtl-cli[protein]'"


@dataclass(frozen=True)
class Size:
    """The architecture of an ESM-2.

    Parameters
    ----------
    layers, width, heads : int
    inner : int, optional
        Width inside a layer; by default four times ``width``.
    positions : int
        Four more than the residues of the longest sequence.
    token_dropout : bool
        Whether embeddings are scaled as those of the published models.
    epsilon : float
        Of the norm layers.
    vocabulary : list of str
        The tokens, in order; empty for that of the published models.
    """

    layers: PositiveInt
    width: PositiveInt
    heads: PositiveInt
    inner: PositiveInt | None = None
    positions: PositiveInt = 1026
    token_dropout: bool = True
    epsilon: PositiveFloat = 1e-5
    vocabulary: list[str] = field(default_factory=list)

    @property
    def longest(self) -> int:
        """The most residues of a sequence."""
        return self.positions - SPECIAL_POSITIONS


SIZES = {
    "esm2_t6_8M_UR50D": Size(6, 320, 20),
    "esm2_t12_35M_UR50D": Size(12, 480, 20),
    "esm2_t30_150M_UR50D": Size(30, 640, 20),
    "esm2_t33_650M_UR50D": Size(33, 1280, 20),
    "esm2_t36_3B_UR50D": Size(36, 2560, 40),
    "esm2_t48_15B_UR50D": Size(48, 5120, 40),
}
"""The published models (table S1 of the supplement of Lin et al. 2023)."""


@dataclass(frozen=True)
class LoRA(Rank):
    """Low-rank changes W + (alpha / rank) B A of the attention's matrices (Hu et al. 2022, arXiv 2106.09685).

    Parameters
    ----------
    modules : list of {"query", "key", "value"}
    """

    modules: list[Literal["query", "key", "value"]] = field(default_factory=lambda: ["query", "value"])


@dataclass(frozen=True, kw_only=True)
class ESM2Keys(LayerKeys):
    """What is read and trained of an ESM-2, and the layers above it.

    For ``tune``, ``activation`` and ``dropout`` see ``LayerKeys``.

    Parameters
    ----------
    pretrained : str or False
        A folder that ``save_pretrained`` wrote; a published size, or a name at the Hugging Face hub, which is asked
        only then, and only for what is not on this machine yet; False for random weights of ``size``.
    size : str or Size
        Of random weights: a published size, or layers, width and heads.
    last : int
        With ``tune: last``, how many of its layers, from the top (and the norm above them).
    lora : LoRA
        With ``tune: lora``.
    hidden : list of int
        Widths of further layers, which are always trained, applied to each residue and shared by all tasks.
    pooling : {"mean", "cls", "attention"}
        What tasks of whole sequences read: a mean over the residues, with equal or learnt weights, or what stands at
        the mark before the first one.
    cache : bool or str
        Keep what a frozen ESM-2 makes of a sequence in a folder, or with True in a folder of the user's.
    """

    pretrained: str | bool
    size: str | Size = "esm2_t6_8M_UR50D"
    lora: LoRA = field(default_factory=LoRA)
    pooling: Literal["mean", "cls", "attention"] = "mean"
    cache: bool | str = False

    @property
    def folder(self) -> Path | None:
        """The local folder of pretrained weights; None if they are to be asked for at a hub, or there are none."""
        path = user_path(str(self.pretrained))
        return path if isinstance(self.pretrained, str) and path.is_dir() else None

    def known_size(self) -> Size | None:
        """Return the size; None if only a hub knows it. Raises UserError for what cannot be one."""
        if self.folder is not None:
            return read_size(self.folder, str(self.pretrained))
        if isinstance(self.pretrained, str):
            name = self.pretrained.removeprefix("facebook/")
            if name in SIZES:
                return SIZES[name]
            if not re.fullmatch(r"[\w-]+(\.[\w-]+)*/[\w-]+(\.[\w-]+)*", self.pretrained):
                hint = f"give a folder, or {did_you_mean(self.pretrained, SIZES)}"
                raise UserError("model.trunk.pretrained", f"there is no folder '{self.pretrained}'", hint)
            return None
        if self.pretrained:
            hint = "give a folder, or a published size such as esm2_t6_8M_UR50D"
            raise UserError("model.trunk.pretrained", "true does not say which weights", hint)
        size = SIZES.get(self.size) if isinstance(self.size, str) else self.size
        if size is None:
            raise UserError("model.trunk.size", f"there is no '{self.size}'", did_you_mean(str(self.size), SIZES))
        if size.width % size.heads or size.width // size.heads % 2:
            what = f"a width of {size.width} cannot be divided evenly among {size.heads} heads"
            raise UserError("model.trunk.size", what)
        return size


def read_size(folder: Path, where: str) -> Size:
    """Return the size of a saved ESM-2. Raises UserError if there is none in the folder."""
    config: Any = hub.read_config(folder, where, "give a folder that save_pretrained wrote")
    if any(config.get(key, value) not in (value, None) for key, value in CONSTANTS.items()):
        raise UserError("model.trunk.pretrained", f"'{where}' holds no ESM-2, by its config.json")
    file = folder / "vocab.txt"
    vocabulary = file.read_text(encoding="utf-8").split() if file.is_file() else []
    if vocabulary and (lacking := sorted(MARKS - set(vocabulary))):
        raise UserError("model.trunk.pretrained", f"the vocab.txt of '{where}' lacks {' '.join(lacking)}")
    try:
        return Size(
            layers=config["num_hidden_layers"],
            width=config["hidden_size"],
            heads=config["num_attention_heads"],
            inner=config["intermediate_size"],
            positions=config["max_position_embeddings"],
            token_dropout=bool(config["token_dropout"]),
            epsilon=config["layer_norm_eps"],
            vocabulary=vocabulary,
        )
    except KeyError as error:
        raise UserError("model.trunk.pretrained", f"the config.json of '{where}' lacks {error}") from error
