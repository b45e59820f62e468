"""A class for each residue of a sequence, such as its secondary structure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from mtl_cli.config.convert import NonNegativeFloat
from mtl_cli.config.errors import Problem
from mtl_cli.config.registry import component
from mtl_cli.runs.strangers import made_of
from mtl_cli.tasks.positions import PositionTask
from mtl_cli.tasks.task import Level, TaskConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd


@component("task", "residue")
@dataclass(frozen=True, kw_only=True)
class Residue(TaskConfig):
    """A class for each residue. The label of a row is a text as long as its sequence, a character per residue.

    Parameters
    ----------
    missing : str
        The characters that mean a missing label.
    mapping : dict, optional
        A character for each character in the column, such as H for each of the helices H, G and I.
    class_weights : "balanced" or dict, optional
        Weight of each class in the loss; ``balanced`` is n / (classes · n_class) over the residues of training rows.
    """

    missing: str = "-."
    mapping: dict[str, str] | None = None
    class_weights: Literal["balanced"] | dict[str, NonNegativeFloat] | None = None

    level: ClassVar[Level] = "token"
    token_inputs: ClassVar[tuple[str, ...]] = ("sequence",)

    def check(self, name: str) -> Iterator[Problem]:
        for key, value in (self.mapping or {}).items():
            if len(key) != 1 or len(value) != 1:
                what = f"maps '{key}' to '{value}', and each residue has a single character"
                yield Problem(f"tasks.{name}.mapping", what)

    def labels(self, name: str, table: pd.DataFrame) -> pd.Series:
        return self._unfitted(name).labels(table)

    def strata(self, name: str, table: pd.DataFrame) -> pd.Series:
        """Return which classes occur in each row."""
        return self._unfitted(name).strata(self.labels(name, table))

    def _unfitted(self, name: str) -> ResidueTask:
        return ResidueTask(name, self.columns(name), self.weight, self.auxiliary, [], self.missing, self.mapping)

    def fit(self, name: str, table: pd.DataFrame, train: np.ndarray) -> ResidueTask:
        """Fit to the rows ``train`` of ``table``. Classes are the characters of the whole table.

        Raises
        ------
        UserError
            If there is one class only, in the table or in the training rows.
        """
        task = self._unfitted(name)
        task.fit_classes(self.class_weights, table, train)
        return task

    @staticmethod
    def restore(state: dict[str, Any]) -> ResidueTask:
        """Rebuild the task from its saved ``state``."""
        return made_of(ResidueTask, state)


@dataclass
class ResidueTask(PositionTask):
    """A residue task fitted to its training rows: a label is a character. See ``PositionTask``."""

    missing: str

    kind: ClassVar[str] = "residue"
    token_name: ClassVar[str] = "residues"

    def split(self, text: str) -> Sequence[str]:
        return text

    def join(self, labels: Iterable[str]) -> str:
        return "".join(labels)
