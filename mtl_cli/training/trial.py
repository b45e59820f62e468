"""A run that is a trial: one of many by which settings are chosen. It leaves its test rows alone, and may be pruned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

from mtl_cli.data.base import Prepared
from mtl_cli.training.callbacks.base import Callback


class Pruned(Exception):
    """The training is broken off: what it has reached so far does not promise a good end."""


class Trial(ABC):
    """What a run is told that is a trial."""

    @abstractmethod
    def watch(self) -> Callback:
        """Return what follows the epochs of the run's first member, and may raise ``Pruned`` at the end of one."""


def without_test_rows(data: Prepared) -> Prepared:
    """Return the data without the test rows: whatever is done with the run cannot look at them."""
    return replace(data, parts={name: part for name, part in data.parts.items() if name != "test"})
