"""One of several joined data sets as data of its own: its rows are read alone, for a model of all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtl_cli.data.base import Examples, Notice, Reader
from mtl_cli.data.feature import Feature, Field
from mtl_cli.data.inputs import InputSpec


@dataclass(frozen=True)
class PartReader(Reader):
    """Reads rows of one data set as the joint reader reads its files.

    Parameters
    ----------
    joint, own : Reader
        Of all data sets, and of the one.
    name : str
        Of the data set.
    join : callable
        Makes rows of data sets, by name, those of the joint reader; it is given what to call them too.
    """

    joint: Reader
    own: Reader
    name: str
    join: Callable[[dict[str, Examples], str], Examples]

    @property
    def spec(self) -> InputSpec:
        return self.joint.spec

    @property
    def fingerprints(self) -> dict[str, str]:
        return self.joint.fingerprints

    def features(self) -> list[Feature]:
        return [feature for feature in self.joint.features() if feature.dataset == self.name]

    def fields(self) -> list[Field]:
        return self.own.fields()

    def places(self, examples: Examples) -> list[Feature]:
        return [place for place in self.joint.places(examples) if place.dataset == self.name]

    def grid(self, feature: Feature, examples: Examples, points: int) -> tuple[list[Any], np.ndarray] | None:
        return self.joint.grid(feature, examples, points)

    def read(self, path: str, notice: Notice) -> Examples:
        """Read a file of the data set, by its path alone."""
        return self.joint.read(f"{self.name}={path}", notice)

    def read_rows(self, rows: Sequence[Mapping[str, Any]], where: str, notice: Notice) -> Examples:
        return self.join({self.name: self.own.read_rows(rows, where, notice)}, where)

    def read_own(self, notice: Notice) -> Examples:
        return self.joint.read_own(notice)

    def state(self) -> dict[str, Any]:
        return self.joint.state()
