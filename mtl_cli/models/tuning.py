"""What of a pretrained model is trained, and the layers above it: the keys and what can be wrong with them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mtl_cli.config.convert import PositiveFloat, PositiveInt, Probability
from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.schema import Activation
from mtl_cli.data.hub import hub_folder, is_hub_name, local_folder

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Rank:
    """Low-rank changes W + (alpha / rank) B A of matrices (Hu et al. 2022, arXiv 2106.09685).

    Parameters
    ----------
    rank : int
    alpha : float
    dropout : float
        Of what A reads.
    """

    rank: PositiveInt = 8
    alpha: PositiveFloat = 16.0
    dropout: Probability = 0.0


@dataclass(frozen=True)
class LowRank(Rank):
    """Low-rank changes W + (alpha / rank) B A of linear layers (Hu et al. 2022, arXiv 2106.09685).

    Parameters
    ----------
    modules : list of str, optional
        What the layers are called in the model; None takes those that are usual for its kind, where they are known.
    """

    modules: list[str] | None = None


@dataclass(frozen=True, kw_only=True)
class LayerKeys:
    """What is trained of a pretrained model, and the layers above it.

    Parameters
    ----------
    tune : {"frozen", "last", "all", "lora"}
        What is trained of it.
    last : int
        With ``tune: last``, how many of its layers, from the top.
    hidden : list of int
        Widths of further layers, which are always trained and shared by all tasks.
    activation : {"relu", "gelu", "silu", "tanh", "leaky_relu", "identity"}
    dropout : float
        Behind each of the further layers.
    """

    tune: Literal["frozen", "last", "all", "lora"] = "frozen"
    last: PositiveInt = 2
    hidden: list[PositiveInt] = field(default_factory=lambda: [128])
    activation: Activation = "gelu"
    dropout: Probability = 0.1

    @property
    def shares_layers(self) -> bool:
        """Whether any layer that all tasks share is trained, which balancers that look at gradients need."""
        return self.tune != "frozen" or bool(self.hidden)

    def free_keys(self, other: Any) -> tuple[str, ...]:
        """Return the keys that may differ from those of ``other`` too: only LoRA adds to the layers."""
        return () if "lora" in (self.tune, other.tune) else ("tune", "lora")


@dataclass(frozen=True, kw_only=True)
class TuningKeys(LayerKeys):
    """Which weights of a pretrained model there are, which of them are trained, and the layers above it.

    Parameters
    ----------
    pretrained : str or False
        A folder; or a name at the Hugging Face hub, which is asked only then, and only for what is not on this machine
        yet; False for random weights of ``architecture``.
    architecture : str or dict, optional
        Of random weights.
    lora : LowRank
        With ``tune: lora``.
    """

    pretrained: str | bool
    architecture: str | dict[str, Any] | None = None
    lora: LowRank = field(default_factory=LowRank)

    def weights_folder(self, files: Sequence[str], needed: str, install: str) -> Path | None:
        """Return the folder of the pretrained weights, fetched if they are not here; None for random ones.

        Parameters
        ----------
        files, needed, install
            As ``hub_folder`` takes them.
        """
        if self.pretrained is False:
            return None
        name = str(self.pretrained)
        return local_folder(name) or hub_folder(name, files, needed, "model.trunk.pretrained", install)

    def tuning_problems(self, trunk: str, packages: Sequence[str], install: str) -> Iterator[Problem]:
        """Yield what is wrong with these keys, without asking a hub for anything.

        Parameters
        ----------
        trunk : str
            Its kind.
        packages : sequence of str
            What it needs; with LoRA, peft too.
        install : str
            What installs them.
        """
        for package in [*packages, *(["peft"] if self.tune == "lora" else [])]:
            if importlib.util.find_spec(package) is None:
                yield Problem("model.trunk", f"{trunk} needs the package {package}", install)
        if self.lora.modules == []:
            yield Problem("model.trunk.lora.modules", "is empty", "null takes those that are usual")
        if self.pretrained is True:
            yield Problem("model.trunk.pretrained", "true does not say which weights", "give a folder")
        name = self.pretrained if isinstance(self.pretrained, str) else None
        if name is not None and local_folder(name) is None and not (is_hub_name(name) and "/" in name):
            what = f"there is no folder '{name}'"
            yield Problem("model.trunk.pretrained", what, "a name at the Hugging Face hub is OWNER/NAME")
        if self.pretrained is False and self.tune in ("frozen", "lora"):
            what = f"{self.tune} leaves its weights as they are, and without pretrained ones they are random"
            yield Problem("model.trunk.tune", what, "model.trunk.tune=all, or model.trunk.pretrained=FOLDER")


def add_low_rank(backbone: nn.Module, lora: LowRank, kind: str, install: str) -> None:
    """Add low-rank changes, which alone are trained, to the layers of a model that have certain names.

    Parameters
    ----------
    lora : LowRank
        Without ``modules``, those that ``peft`` knows for the model's kind.
    kind : str
        The model's, for messages.
    install : str

    Raises
    ------
    UserError
        If it has no such layer, or none that can be changed so.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise UserError("model.trunk.tune", "lora needs the package peft", install) from error
    from torch import nn

    wanted = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=lora.modules)
    try:
        inject_adapter_in_model(wanted, backbone)
    except ValueError as error:
        names = {name.rpartition(".")[2] for name, part in backbone.named_modules() if isinstance(part, nn.Linear)}
        what = "names no layer" if lora.modules else f"must be given for a model of kind {kind}"
        hint = f"its linear layers are {', '.join(sorted(names)) or 'none'}"
        raise UserError("model.trunk.lora.modules", what, hint) from error
