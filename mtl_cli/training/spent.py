"""Where the time of a run's training went."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

from mtl_cli.data.batches import Batches

MUCH = 0.2
"""A share of the training's time that is worth a line."""
SECONDS = 5.0
"""Waiting that is worth one."""


@dataclass
class Spent:
    """Seconds of all members of a run.

    Attributes
    ----------
    training : float
        From the first step to the last, with validation.
    waiting : float
        Of these, without a batch to train on: it was still being read, decoded or put together.
    """

    training: float = 0.0
    waiting: float = 0.0

    @contextmanager
    def on(self, *members: Batches) -> Iterator[None]:
        """Add what is spent inside, however it ends."""
        began, before = perf_counter(), sum(batches.waited for batches in members)
        try:
            yield
        finally:
            self.training += perf_counter() - began
            self.waiting += sum(batches.waited for batches in members) - before

    def line(self, remedy: str | None) -> str | None:
        """Return a line about waiting, if there was much; ``remedy`` is what makes batches come faster."""
        if self.waiting < max(SECONDS, MUCH * self.training):
            return None
        share = f"{self.waiting / self.training:.0%} of the training's time went by waiting for data"
        return share if remedy is None else f"{share}: {remedy}"
