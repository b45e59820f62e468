"""Text that a spreadsheet would take for a formula: kept as it is, or quoted.

A file of predictions is first of all for programs, and an id must come out as it went in: by default all text is
written as it is, and a line says how many cells a spreadsheet would run. ``quote`` puts a ``'`` in front of these, as
OWASP advises ("CSV Injection"): text that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return. A number
is no formula.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd

STARTS = ("=", "+", "-", "@", "\t", "\r")
"""How text begins that a spreadsheet may run."""


@dataclass
class Formulas:
    """What becomes of such text in the tables of one file.

    Parameters
    ----------
    mode : {"keep", "quote"}
    """

    mode: Literal["keep", "quote"]
    count: int = field(default=0, init=False)
    first: str = field(default="", init=False)

    def of(self, tables: Iterable[pd.DataFrame], notice: Callable[[str], None]) -> Iterator[pd.DataFrame]:
        """Yield the tables as they are to be written, and tell at the end of cells that are formulas, and kept."""
        for table in tables:
            yield self._table(table)
        if self.count and self.mode == "keep":
            cells = "1 cell begins" if self.count == 1 else f"{self.count} cells begin"
            what = f"{cells} like a formula ('{self.first[:20]}'), which a spreadsheet would run"
            notice(f"{what}; --formulas quote puts ' in front")

    def _table(self, table: pd.DataFrame) -> pd.DataFrame:
        import pandas as pd

        columns = []
        for _, column in table.items():
            if not pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_datetime64_any_dtype(
                column.dtype
            ):
                column = self._column(column)
            columns.append(column)
        table = pd.concat(columns, axis=1)
        if self.mode == "quote":
            table.columns = pd.Index([f"'{name}" if _is_formula(name) else name for name in table.columns])
        return table

    def _column(self, column: pd.Series) -> pd.Series:
        """Count a column's formulas, and quote them if asked to; a value that comes often is looked at once."""
        import numpy as np
        import pandas as pd

        codes, values = pd.factorize(column.astype("object"))
        wrong = np.array([*(_is_formula(value) for value in values), False])  # the last is of missing cells
        formula = wrong[codes]
        if not formula.any():
            return column
        self.first = self.first or str(column[formula].iloc[0])
        self.count += int(formula.sum())
        return column if self.mode == "keep" else column.astype("object").mask(formula, "'" + column.astype("str"))


def _is_formula(value: object) -> bool:
    if not isinstance(value, str) or not value.startswith(STARTS):
        return False
    try:
        float(value)
    except ValueError:
        return True
    return False
