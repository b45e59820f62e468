"""Label columns: fetching them, mapping them, and keeping class labels the user's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.tasks.task import Label

if TYPE_CHECKING:
    import pandas as pd

MOST_NUMBERS = 20
"""Different numbers with fractions that may still be classes, such as ratings in half points."""
_INTEGER = re.compile(r"(-?(?:0|[1-9]\d*))(?:\.0+)?")  # 1.0 is how whole numbers are written beside missing ones
_BOOLEANS = {"True": True, "False": False, "true": True, "false": False, "TRUE": True, "FALSE": False}


def label_column(table: pd.DataFrame, column: str, task: str) -> pd.Series:
    """Return the column of a task's labels, or say which column is nearest."""
    if column not in table.columns:
        raise UserError(f"tasks.{task}.target", f"there is no column '{column}'", did_you_mean(column, table.columns))
    return table[column]


def first(values: pd.Series, chosen: np.ndarray) -> tuple[Any, int]:
    """Return the first chosen value, and the number of its row in the table it came from, from 1."""
    position = int(np.flatnonzero(chosen)[0])
    return values.iloc[position], int(values.index[position]) + 1


def refuse_values(wrong: np.ndarray, values: pd.Series, where: str, what: str, hint: str | None = None) -> None:
    """Raise UserError for the first value that is ``wrong``, naming its row and column."""
    if wrong.any():
        value, row = first(values, wrong)
        raise UserError(where, f"'{value}' in row {row} of column '{values.name}' {what}", hint)


def numbers(labels: pd.Series, where: str, hint: str | None = None) -> pd.Series:
    """Return labels as float64, NaN where missing. Raises UserError naming the first that is no finite number."""
    import pandas as pd

    values = pd.to_numeric(labels.astype("object"), errors="coerce").astype("float64")
    wrong = (values.isna() & labels.notna()) | np.isinf(values)
    if wrong.any():
        value, row = first(labels, wrong.to_numpy())
        raise UserError(where, f"'{value}' in row {row} is not a finite number", hint)
    return values


def each(labels: pd.Series, convert: Callable[[Any], Label]) -> pd.Series:
    """Convert each label that is there. (``Series.map`` would turn ints into floats where one is missing.)"""
    import pandas as pd

    converted = [None if missing else convert(label) for label, missing in zip(labels, labels.isna(), strict=True)]
    return pd.Series(converted, index=labels.index, dtype="object")


def text_of(value: Any) -> str:
    """Return a value as text; 2 and 2.0 are one, for a column of whole numbers is read as either."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def typed_classes(labels: pd.Series) -> pd.Series:
    """Give labels read as text the type they are written in.

    All whole numbers become int (``007`` keeps its zeros, as text), all true/false become bool, whole-valued floats
    from a typed file become int; everything else stays.
    """
    import pandas as pd

    if isinstance(labels.dtype, pd.CategoricalDtype):  # a type for each category that is there, not for each row
        used = labels.cat.remove_unused_categories()
        typed = typed_classes(pd.Series(used.cat.categories.to_numpy(dtype=object)))
        names = np.array([*typed, None], dtype=object)
        return pd.Series(names[used.cat.codes], index=labels.index, dtype="object")
    present = labels.dropna()
    if pd.api.types.is_bool_dtype(labels.dtype) or all(isinstance(label, bool) for label in present):
        return each(labels, bool)
    if pd.api.types.is_numeric_dtype(labels.dtype):
        whole = bool((present == present.round()).all())
        return each(labels, int if whole else float)
    text = present.astype(str)
    if text.isin(list(_BOOLEANS)).all() and len(text):
        return each(labels, _BOOLEANS.__getitem__)
    if text.map(lambda value: bool(_INTEGER.fullmatch(value))).all() and len(text):
        return each(labels, lambda label: int(str(label).split(".")[0]))
    return each(labels, str)


def apply_mapping(labels: pd.Series, mapping: dict[str, Any] | None, where: str) -> pd.Series:
    """Replace labels by ``mapping``, compared as text. Raises UserError for a label without an entry."""
    if mapping is None:
        return labels
    text = each(labels, text_of)
    unknown = sorted(set(text.dropna()) - set(mapping))
    if unknown:
        raise UserError(f"{where}.mapping", f"has no entry for '{unknown[0]}'", f"it maps {', '.join(mapping)}")
    return each(text, mapping.__getitem__)


def class_list(labels: pd.Series, where: str) -> list[Label]:
    """Return the distinct labels in order. Raises UserError if there are fewer than two."""
    present = labels.dropna()
    if present.empty:
        raise UserError(where, "all labels are missing")
    classes = list(present.unique())
    if len(classes) == 1:
        raise UserError(where, f"has one class only, '{classes[0]}'", "a task needs at least two")
    try:
        return sorted(classes)
    except TypeError:  # labels of several types
        return sorted(classes, key=str)


def check_classes(classes: Sequence[Label], labels: int, where: str) -> None:
    """Raise UserError if the classes of so many labels are measurements: many numbers, with fractions."""
    import pandas as pd

    if len(classes) <= MOST_NUMBERS:
        return
    numbers = pd.to_numeric(pd.Series([str(label) for label in classes]), errors="coerce")
    if bool(numbers.notna().all()) and bool((numbers % 1 != 0).any()):
        what = f"{labels} labels are {len(classes)} different numbers, such as {classes[0]}, not classes"
        raise UserError(where, what, "kind: regression")


def class_indices(labels: pd.Series, classes: Sequence[Label], where: str) -> tuple[np.ndarray, np.ndarray]:
    """Return each label's position in ``classes`` (0 where missing) and whether there is a label."""
    import pandas as pd

    positions = {text_of(label): i for i, label in enumerate(classes)}
    codes, distinct = pd.factorize(labels)
    index = np.array([*(positions.get(text_of(label), -1) for label in distinct), 0], dtype="int64")[codes]
    mask = codes >= 0
    unknown = index < 0
    if unknown.any():
        label, row = first(labels, unknown)
        raise UserError(where, f"'{label}' in row {row} is none of the classes", did_you_mean(str(label), positions))
    return index, mask


def without_unknown(column: pd.Series, known: Collection[str]) -> tuple[pd.Series, dict[str, int]]:
    """Return labels, missing where they are none of ``known``, compared as text, and how often each of those came."""
    text = each(column, text_of)
    unknown = text.notna() & ~text.isin(list(known))
    return column.mask(unknown, None), {str(label): int(n) for label, n in text[unknown].value_counts().items()}


def as_label_array(classes: Sequence[Label]) -> np.ndarray:
    """Return the classes as an array that keeps each label's own type."""
    array = np.empty(len(classes), dtype=object)
    array[:] = classes
    return array


def check_training_labels(mask: np.ndarray, where: str) -> None:
    """Raise UserError if no training row has a label."""
    if not mask.any():
        raise UserError(where, "all labels of the training rows are missing")
