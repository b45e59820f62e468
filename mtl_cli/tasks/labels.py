"""Label columns: fetching them, mapping them, and keeping class labels the user's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.tasks.task import Label

if TYPE_CHECKING:
    import pandas as pd

MOST_NUMBERS = 20
"""Different numbers with fractions that may still be classes, such as ratings in half points."""
USUAL_NO_LABEL = [
    "NA", "N/A", "n/a", "#N/A", "<NA>", "nan", "NaN", "null", "NULL", "None", "?",
    "unknown", "Unknown", "UNKNOWN", "unassigned", "Unassigned",
]  # fmt: skip
"""Words that people write where there is no label."""
_NUMBER = re.compile(r"[+-]?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d{1,3})?")  # 007 is a text, and keeps its zeros
_BOOLEANS = {"True": True, "False": False, "true": True, "false": False, "TRUE": True, "FALSE": False}
_EXACT = 1e15
"""Below it, a float that is whole is written as one."""


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
    """Return a value as text, a number always in the same way: 4, 4.0 and "4.00" are one, and so are 0.5 and "0.50"."""
    if isinstance(value, str):
        text = value.strip()
        return text_of(_number(text)) if _NUMBER.fullmatch(text) else text
    if isinstance(value, float | np.floating):
        number = float(str(value))  # 0.1 of 32 bits is 0.1
        return str(int(number)) if number.is_integer() and abs(number) < _EXACT else repr(number)
    return str(value)


def _number(text: str) -> int | float:
    """Return the number of a text that ``_NUMBER`` fits: an int if it is whole."""
    whole, _, rest = text.partition(".")
    return int(whole) if whole.lstrip("+-").isdecimal() and not rest.strip("0") else float(text)


def typed_classes(labels: pd.Series) -> pd.Series:
    """Give labels the type that they are written in.

    All numbers become int where all are whole, else float, however they are spelt; all true/false become bool. Else
    they are text without spaces around it (``007`` keeps its zeros), in which one number is one text.
    """
    import pandas as pd

    if isinstance(labels.dtype, pd.CategoricalDtype):  # a type for each category that is there, not for each row
        used = labels.cat.remove_unused_categories()
        names = np.array([*typed_classes(pd.Series(used.cat.categories.to_numpy(dtype=object))), None], dtype=object)
        return pd.Series(names[used.cat.codes], index=labels.index, dtype="object")
    codes, found = pd.factorize(labels)
    different = list(found)
    if all(isinstance(label, bool | np.bool_) for label in different):
        typed: list[Label] = [bool(label) for label in different]
    else:
        texts = [text_of(label) for label in different]
        if all(text in _BOOLEANS for text in texts):
            typed = [_BOOLEANS[text] for text in texts]
        elif all(_NUMBER.fullmatch(text) for text in texts):
            numbers = [_number(text) for text in texts]
            typed = list(numbers) if all(isinstance(n, int) for n in numbers) else [float(n) for n in numbers]
        else:
            typed = [*_one_spelling([str(label).strip() for label in different], texts)]
    array = np.empty(len(typed) + 1, dtype=object)
    array[:-1] = typed
    return pd.Series(array[codes], index=labels.index, dtype="object", name=labels.name)


def _one_spelling(written: list[str], texts: list[str]) -> list[str]:
    """Return labels as they are written, but those that are one number in several ways as ``text_of`` has it."""
    ways: dict[str, set[str]] = {}
    for label, text in zip(written, texts, strict=True):
        ways.setdefault(text, set()).add(label)
    return [label if len(ways[text]) == 1 else text for label, text in zip(written, texts, strict=True)]


def holds_words(values: pd.Series, words: Iterable[str]) -> np.ndarray:
    """Return which cells hold one of some words, or one of the numbers that they write."""
    import pandas as pd

    keys = {text_of(word) for word in words}
    numbers = {key for key in keys if _NUMBER.fullmatch(key)}
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.isin([float(key) for key in numbers]).to_numpy(dtype=bool)
    hit: np.ndarray = values.isin(list(keys)).to_numpy(dtype=bool)
    if not numbers:
        return hit
    codes, different = pd.factorize(values)  # a number may be written in many ways
    written = np.array([*(text_of(value) in numbers for value in different), False], dtype=bool)
    return np.asarray(hit | written[codes])


def without(values: pd.Series, words: Iterable[str]) -> pd.Series:
    """Return a column that is missing where it holds one of some words, or one of the numbers that they write."""
    hit = holds_words(values, words)
    return values.mask(hit) if hit.any() else values


def apply_mapping(labels: pd.Series, mapping: Mapping[str, Any] | None, where: str) -> pd.Series:
    """Replace labels by ``mapping``, compared as text; what it maps to null is no label.

    Where it maps to nothing but null, it only names what is no label, and all others stay as they are.

    Raises
    ------
    UserError
        For a label without an entry.
    """
    if mapping is None:
        return labels
    text = each(labels, text_of)
    if names_no_label_only(mapping):
        return labels.mask(text.isin({text_of(key) for key in mapping}))
    entries = {text_of(key): value for key, value in mapping.items()}
    unknown = sorted(set(text.dropna()) - set(entries))
    if unknown:
        raise UserError(f"{where}.mapping", f"has no entry for '{unknown[0]}'", f"it maps {', '.join(mapping)}")
    return each(text, entries.__getitem__)


def names_no_label_only(mapping: Mapping[str, Any]) -> bool:
    """Whether a mapping says of some labels that they are none, and nothing of the others."""
    return all(value is None for value in mapping.values())


def known_texts(classes: Iterable[Label], mapping: Mapping[str, Any] | None) -> list[str]:
    """Return which labels a task that has learnt ``classes`` knows, as text, before its mapping is applied."""
    own = [] if mapping is not None and not names_no_label_only(mapping) else [text_of(label) for label in classes]
    return [*own, *(mapping or ())]


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
        raise UserError(where, f"'{label}' in row {row} is not one of the classes", did_you_mean(str(label), positions))
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
