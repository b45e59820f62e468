"""What YAML says of tasks that are drawn: `mtl train dataset=generated dataset.correlation=0.9`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from mtl_cli.config.convert import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Seed
from mtl_cli.config.errors import Problem
from mtl_cli.config.registry import component
from mtl_cli.config.schema import Config
from mtl_cli.data.base import Notice
from mtl_cli.data.files import BUILTIN
from mtl_cli.data.generated.family import Family
from mtl_cli.data.split import SplitConfig
from mtl_cli.data.tables.config import TableSource

if TYPE_CHECKING:
    import pandas as pd


@component("dataset", "generated")
@dataclass(frozen=True, kw_only=True)
class Generated(TableSource):
    """Regression tasks of known relatedness, drawn anew whenever they are read, the same for the same ``seed``.

    Columns are x0, x1, … and the tasks' labels y0, y1, …; those of tasks that are not trained are no features.

    Parameters
    ----------
    tasks, correlation, scale, noise, rows, together, inputs, waves
        As ``Family`` has them.
    seed : int
        Of the draw.
    """

    path: str = f"{BUILTIN}generated"
    split: SplitConfig = field(default_factory=lambda: SplitConfig(column="split"))
    tasks: PositiveInt = 2
    correlation: float = 0.5
    waves: NonNegativeInt = 3
    noise: NonNegativeFloat = 0.1
    scale: PositiveFloat = 1.0
    inputs: PositiveInt = 8
    rows: PositiveInt = 1000
    together: bool = True
    seed: Seed = 0

    @property
    def family(self) -> Family:
        """What is drawn from."""
        return Family(**{one.name: vars(self)[one.name] for one in fields(Family)})

    def check_file(self) -> Iterator[Problem]:
        """Yield what is wrong with the family: there is no file."""
        lowest = -1.0 if self.tasks == 1 else -1 / (self.tasks - 1)
        if not lowest <= self.correlation <= 1:
            what = f"must be from {lowest:.3g} to 1 for {self.tasks} tasks, not {self.correlation:g}"
            yield Problem("dataset.correlation", what)
        if self.inputs <= self.tasks:
            yield Problem("dataset.inputs", f"must be more than the {self.tasks} tasks, not {self.inputs}")

    def check(self, config: Config) -> Iterator[Problem]:
        yield from super().check(config)
        for name, task in (config.tasks or {}).items():
            for column in task.columns(name):
                if column not in self.family.names:
                    what = f"'{column}' is not one of the {self.tasks} that are drawn, {', '.join(self.family.names)}"
                    yield Problem(f"tasks.{name}", what, "dataset.tasks=N draws N")

    def feature_columns(self, table: pd.DataFrame, targets: list[str], others: list[str]) -> list[str]:
        return super().feature_columns(table, [*targets, *self.family.names], others)

    def read_file(self, text_columns: list[str], notice: Notice) -> pd.DataFrame:
        return self.family.draw(self.seed)
