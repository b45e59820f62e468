"""No tracker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mtl_cli.config.registry import component
from mtl_cli.training.callbacks.base import CallbackConfig, RunInfo


@component("callback", "none")
@dataclass(frozen=True, kw_only=True)
class NoCallback(CallbackConfig):
    """No tracker follows the training."""

    watches: ClassVar[bool] = True

    def build(self, run: RunInfo) -> None:
        return None
