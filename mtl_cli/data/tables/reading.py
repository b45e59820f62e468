"""How the cells of each column are read, the same in the table that a model learns from and in every later one.

``deciding.decide`` makes the ``Readings`` of a training table, and the model keeps them. They turn cells into values:
numbers, instants in UTC, and text without spaces around it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mtl_cli.data.dates import text_dates
from mtl_cli.data.numbers import PLAIN, NumberForm, parse_number
from mtl_cli.runs.strangers import made_of
from mtl_cli.tasks.bounds import parse_bounds
from mtl_cli.tasks.labels import without

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["numeric", "boolean", "date", "categorical", "text", "bounds"]
"""What a column holds: ``bounds`` are numbers of which some are known only so, as `<5`. ``text`` stays as it is
written, for ids and groups: no word in it stands for no value."""
NO_VALUE = frozenset(
    [
        "?", "??", "-", "--", "---", "–", "—", ".", "..", "*", "n/a", "na", "n.a.", "n/d", "n.d.", "nd", "nan", "-nan",
        "null", "none", "nil", "<na>", "#n/a", "unknown", "unk", "missing", "not available", "not determined",
        "not applicable", "#value!", "#div/0!", "#ref!", "#num!", "#name?",
        *(f"9999-12-31{time}" for time in ("", " 00:00:00", "t00:00:00", " 23:59:59", "t23:59:59")),  # without an end
        "31.12.9999", "31/12/9999", "12/31/9999",
    ]
)  # fmt: skip
"""Words that stand for no value among numbers, dates, and true and false, in lower case."""


@dataclass(frozen=True)
class ColumnReading:
    """How the cells of one column are read.

    Parameters
    ----------
    name : str
    kind : str
    form : NumberForm
        Of its numbers.
    order : str
        Of day, month and year in its dates, where they need one.
    missing : list of str
        Words that stand for no value, beside the usual ones among numbers and dates.
    as_written : bool
        Whether a text file's reader must leave the cells as they are.
    odd : dict of str to int
        The words without a value that the training table held, and in how many cells.
    strays : dict of str to int
        Where a column is one of categories though most of its cells are numbers: the others.
    bounds : dict of str to int
        One of the bounds that the training table held in place of a number, and in how many cells there were any.
    """

    name: str
    kind: Kind
    form: NumberForm = PLAIN
    order: str = ""
    missing: list[str] = field(default_factory=list)
    as_written: bool = False
    odd: dict[str, int] = field(default_factory=dict)
    strays: dict[str, int] = field(default_factory=dict)
    bounds: dict[str, int] = field(default_factory=dict)

    def read(self, values: pd.Series) -> pd.Series:
        """Return the cells as values; a text that is none of this column's kind stays text."""
        if self.kind == "text":
            return stripped(values)
        values = without(stripped(values), self.missing)
        if not holds_text(values):
            return values
        if self.kind == "numeric":
            return _numbers(values, self.form)
        if self.kind in ("date", "boolean", "bounds"):
            values = values.mask(_is_no_value(values))
        if self.kind == "bounds":
            return _each_text(values, lambda text: _plain_bounds(text, self.form))
        if self.kind == "date":
            dates = text_dates(values, self.order)
            return dates if (dates.notna() | values.isna()).all() else dates.astype(object).where(dates.notna(), values)
        return values


@dataclass(frozen=True)
class Readings:
    """How those columns of a table are read that are used for anything."""

    columns: list[ColumnReading]

    @property
    def as_written(self) -> list[str]:
        """The columns that a text file's reader must leave as they are."""
        return [column.name for column in self.columns if column.as_written]

    def apply(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a table with the cells of these columns as values; it may lack some of the columns."""
        found = {c.name: c.read(table[c.name]) for c in self.columns if c.name in table.columns}
        changed = {name: values for name, values in found.items() if values is not table[name]}
        return table.assign(**changed) if changed else table

    def state(self) -> list[dict[str, Any]]:
        """Return plain values for the model file."""
        return [asdict(column) for column in self.columns]

    @classmethod
    def from_state(cls, state: Iterable[Mapping[str, Any]]) -> Readings:
        """Make the readings that ``state`` was taken from."""
        return cls([made_of(ColumnReading, column) for column in state])


def holds_text(values: pd.Series) -> bool:
    """Whether a column has cells of text."""
    import pandas as pd

    held = values.cat.categories if isinstance(values.dtype, pd.CategoricalDtype) else values
    if held.dtype != object:
        return bool(pd.api.types.is_string_dtype(held.dtype))
    return any(isinstance(value, str) for value in held)


def kind_of_type(values: pd.Series) -> Kind:
    """Tell a column's kind by the type of its values, where none is text."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(values.dtype):
        return "boolean"
    if pd.api.types.is_numeric_dtype(values.dtype):
        return "numeric"
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return "date"
    kinds: dict[str, Kind] = dict.fromkeys(("decimal", "integer", "floating", "mixed-integer-float"), "numeric")
    kinds |= {"boolean": "boolean", "date": "date", "datetime": "date"}
    return kinds.get(pd.api.types.infer_dtype(values, skipna=True), "categorical")


def stripped(values: pd.Series) -> pd.Series:
    """Return a column whose texts have no space around them, missing where nothing is left."""
    import pandas as pd

    if not holds_text(values):
        return values
    if isinstance(values.dtype, pd.StringDtype):  # without a loop over the cells
        text = values.str.strip()
        bare = text.mask(text == "")
        return values if bare.equals(values) else bare
    return _each_text(values, lambda text: text.strip() or None)


def _plain_bounds(text: str, form: NumberForm) -> str:
    """Write a number or a bound as it is written everywhere; a text that is neither stays as it is."""
    found = parse_bounds(text, lambda number: parse_number(number, form))
    return text if found is None else str(found)


def _is_no_value(values: pd.Series) -> pd.Series:
    return values.map(lambda value: isinstance(value, str) and value.lower() in NO_VALUE).astype(bool)


def _each_text(values: pd.Series, convert: Callable[[str], Any]) -> pd.Series:
    """Convert each different text once; return the column itself if nothing changes."""
    import pandas as pd

    codes, different = pd.factorize(values)
    made = [convert(value) if isinstance(value, str) else value for value in different]
    if all(new is old or new == old for new, old in zip(made, different, strict=True)):
        return values
    array = np.empty(len(made) + 1, dtype=object)
    array[:-1] = made
    dtype = values.dtype if isinstance(values.dtype, pd.StringDtype) else object
    return pd.Series(array[codes], index=values.index, name=values.name, dtype=dtype)


def _numbers(values: pd.Series, form: NumberForm) -> pd.Series:
    """Return a column of text as numbers; if a text is neither one nor a word for none, it stays, beside numbers."""
    import pandas as pd

    codes, different = pd.factorize(values)
    found = [parse_number(value, form) if isinstance(value, str) else float(value) for value in different]
    wrong = [np.isnan(n) and str(text).lower() not in NO_VALUE for n, text in zip(found, different, strict=True)]
    if not any(wrong):
        return pd.Series(np.array([*found, np.nan])[codes], index=values.index, name=values.name)
    array = np.empty(len(found) + 1, dtype=object)
    array[:-1] = [text if bad else n for n, text, bad in zip(found, different, wrong, strict=True)]
    return pd.Series(array[codes], index=values.index, name=values.name, dtype=object)
