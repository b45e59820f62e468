"""One of several joined data sets as data of its own: its rows are read alone, for a model of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtl_cli.data.base import Examples, Notice, Reader
from mtl_cli.data.feature import Feature, Field
from mtl_cli.data.inputs import InputSpec
from mtl_cli.data.joint.reader import JointReader


@dataclass(frozen=True)
class PartReader(Reader):
    """Reads rows of one data set as the joint reader reads its files.

    Parameters
    ----------
    joint : JointReader
    name : str
        Of the data set.
    """

    joint: JointReader
    name: str

    @property
    def spec(self) -> InputSpec:
        return self.joint.spec

    @property
    def fingerprints(self) -> dict[str, str]:
        return self.joint.fingerprints

    def features(self) -> list[Feature]:
        return [feature for feature in self.joint.features() if feature.dataset == self.name]

    def fields(self) -> list[Field]:
        return self.joint.readers[self.name].fields()

    def places(self, examples: Examples) -> list[Feature]:
        return [place for place in self.joint.places(examples) if place.dataset == self.name]

    def grid(self, feature: Feature, examples: Examples, points: int) -> tuple[list[Any], np.ndarray] | None:
        return self.joint.grid(feature, examples, points)

    def read(self, path: str, notice: Notice) -> Examples:
        """Read a file of the data set, by its path alone."""
        return self.joint.read(f"{self.name}={path}", notice)

    def read_rows(self, rows: Sequence[Mapping[str, Any]], where: str, notice: Notice) -> Examples:
        return self.joint.join({self.name: self.joint.readers[self.name].read_rows(rows, where, notice)}, where)

    def read_own(self, notice: Notice) -> Examples:
        return self.joint.read_own(notice)

    def state(self) -> dict[str, Any]:
        return self.joint.state()
