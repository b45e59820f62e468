"""No regularizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mtl_cli.config.registry import component
from mtl_cli.models.regularizer import RegularizerConfig

if TYPE_CHECKING:
    from mtl_cli.models.regularizer import Training


@component("regularizer", "none")
@dataclass(frozen=True, kw_only=True)
class NoRegularizer(RegularizerConfig):
    """Nothing is added to the losses."""

    def build(self, training: Training) -> None:
        return None
