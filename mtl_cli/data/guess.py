"""A guess at what is to be learnt from a data set: targets and their kinds, ids, dates, what gives a target away."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.data.base import DataSource, Notice
from mtl_cli.data.forms import Whole
from mtl_cli.data.tables.deciding import Words, decide
from mtl_cli.data.tables.left_out import left_out
from mtl_cli.tasks.labels import USUAL_NO_LABEL, without

if TYPE_CHECKING:
    import pandas as pd

LIKELY = re.compile(
    r"(?:.*[_ .-])?(?:target|label|class|y|outcome|response|diagnosis|survived|price|quality|score|rating|churn|sold|"
    r"default|species|cell ?type|celltype|bulk labels|phase|lineage|annotation|disease|condition|status|response)s?",
    re.IGNORECASE,
)
"""Names of columns that are often what is to be predicted."""
FEW_NUMBERS = 12
"""Whole numbers up to so many distinct ones are classes, unless their name says otherwise."""
MOST_CLASSES = 100
"""Distinct texts up to which a column is one of classes."""
FEWEST = 2
"""Rows of a class, so that it may be learnt and tested."""
MARKS = ("|", ";", ",")
"""What stands between several labels."""


@dataclass(frozen=True)
class GuessedTask:
    """A target.

    Parameters
    ----------
    name : str
        Of its column.
    settings : dict
        Of the task, its kind first.
    about : str
        Missing share, and balance or range.
    """

    name: str
    settings: dict[str, Any]
    about: str


@dataclass(frozen=True)
class Guess:
    """What was guessed of a data set.

    Parameters
    ----------
    rows, columns : int
    tasks : list of GuessedTask
    others : list of GuessedTask
        Columns that could be targets too.
    id : str, optional
        The column that names the rows.
    dates : list of str
    excluded : dict of str to str
        Features to be left out, and why.
    features : dict of str to str
        The others, and what is in them.
    """

    rows: int
    columns: int
    tasks: list[GuessedTask]
    others: list[GuessedTask]
    id: str | None = None
    dates: list[str] = field(default_factory=list)
    excluded: dict[str, str] = field(default_factory=dict)
    features: dict[str, str] = field(default_factory=dict)


def read_columns(source: DataSource, where: str, notice: Notice) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return a data set's columns as values, and the kind of each. Raises UserError if it has none."""
    raw = source.label_table(notice)
    if raw is None or raw.columns.empty:
        raise UserError(where, "has no columns of labels to choose from", "mtl help config says what a YAML file needs")
    found = decide(raw, dict.fromkeys(raw.columns, "feature"), Words(), where, lambda line: None)
    return found.apply(raw), {reading.name: reading.kind for reading in found.columns}


def guess(
    table: pd.DataFrame, kinds: Mapping[str, str], where: str, targets: Sequence[str] = (), features: bool = True,
    whole: Whole | None = None,
) -> Guess:  # fmt: skip
    """Guess what is to be learnt.

    Parameters
    ----------
    table : DataFrame
    kinds : mapping of str to str
    where : str
        What to call it.
    targets : sequence of str
        Columns that are to be predicted, if that is known.
    features : bool
        Whether columns that are no targets are features.
    whole : Whole, optional
        What a row is as a whole; its column is neither a target nor a feature.

    Raises
    ------
    UserError
        If there is no such column, or none that could be a target.
    """
    if unknown := [name for name in targets if name not in table.columns]:
        raise UserError("--target", f"{where} has no column '{unknown[0]}'", did_you_mean(unknown[0], table.columns))
    names = [str(name) for name in table.columns if whole is None or name != whole.column]
    tokens = {} if whole is None else {name: _each_token(table[name], whole) for name in whole.tokens}
    skipped = left_out(table, [name for name in names if name not in tokens], list(targets))
    others = [name for name in names if name not in skipped and name not in tokens]
    usable = {name: task for name in others if (task := guess_task(table[name], kinds.get(name)))} | tokens
    if refused := [name for name in targets if name not in usable]:
        raise UserError("--target", f"'{refused[0]}' of {where} holds nothing that a task could learn")
    beside_sequences = whole is not None and whole.kind == "residue"  # labels, for they are no features
    chosen = list(targets) or (list(usable) if beside_sequences else _likely(usable, tokens))
    if not chosen:
        raise UserError(where, "has no column that looks like a target", "--target COLUMN names one")
    id_column = next((name for name, why in skipped.items() if why == "names the rows"), None)
    unchosen = [task for name, task in usable.items() if name not in chosen]
    rest = [name for name in names if name not in {*chosen, *skipped, *tokens}] if features else []
    return Guess(
        len(table),
        len(table.columns),
        [usable[name] for name in chosen],
        unchosen,
        id_column,
        [name for name in rest if kinds.get(name) == "date"],
        {name: "labels of words, no feature" for name in tokens if features and name not in chosen},
        {name: about_column(table[name], kinds.get(name, "")) for name in rest},
    )


def guess_task(values: pd.Series, kind: str | None) -> GuessedTask | None:
    """Return the task that a column could be; None if it holds nothing to be learnt."""
    import pandas as pd

    name = str(values.name)
    present = values.dropna() if kind in ("numeric", "boolean") else without(values, list(USUAL_NO_LABEL)).dropna()
    counts = present.astype(object).map(str).value_counts()
    if len(counts) < 2 or kind in ("date", "text"):
        return None
    missing = missing_share(values, len(present))
    if kind == "numeric" and pd.api.types.is_numeric_dtype(present.dtype):
        whole = (present % 1 == 0).all()
        if len(counts) > 2 and not (
            whole and len(counts) <= FEW_NUMBERS and counts.min() >= FEWEST and present.min() >= 0
        ):
            about = f"{missing}{present.min():.4g} to {present.max():.4g}, median {present.median():.4g}"
            return GuessedTask(name, {"kind": "regression"}, about)
    if len(counts) > 2 and (mark := _mark(present)) is not None:
        return GuessedTask(name, {"kind": "multilabel", "separator": mark}, f"{missing}several labels a row")
    shares = [f"{label} {count / len(present):.1%}" for label, count in counts.items()]
    about = missing + ", ".join(shares[:4]) + (f" and {len(shares) - 4} more" if len(shares) > 4 else "")
    if len(counts) == 2:
        return GuessedTask(name, {"kind": "binary"}, about)
    if len(counts) > MOST_CLASSES or counts.max() < FEWEST or len(counts) > len(present) / 3:
        return None
    return GuessedTask(name, {"kind": "multiclass"}, about)


def missing_share(values: pd.Series, present: int | None = None) -> str:
    """Return what to say of rows without a label; nothing if there are none."""
    there = int(values.notna().sum()) if present is None else present
    return f"{1 - there / len(values):.0%} without a label; " if there < len(values) else ""


def _each_token(values: pd.Series, whole: Whole) -> GuessedTask:
    """Return the task that labels each residue, or word."""
    about = f"{missing_share(values)}a label for each {'residue' if whole.kind == 'residue' else 'word'}"
    return GuessedTask(str(values.name), {"kind": whole.kind}, about)


def about_column(values: pd.Series, kind: str) -> str:
    """Return what is in a feature column: its kind, and how much of it is empty."""
    missing = float(values.isna().mean())
    return f"{kind}{f', {missing:.0%} empty' if missing else ''}"


def _likely(tasks: Mapping[str, GuessedTask], tokens: Collection[str]) -> list[str]:
    """Return the columns whose names say that they are targets, and tags of words; else the last that could be one."""
    found = [name for name in tasks if name in tokens or LIKELY.fullmatch(name)]
    return found or list(tasks)[-1:]


def _mark(present: pd.Series) -> str | None:
    """Return what stands between several labels in the cells of a column, if anything does."""
    text = present.astype(str)
    for mark in MARKS:
        pieces = text.str.split(mark, regex=False)
        several = pieces.map(len) > 1
        if several.mean() < 0.05:
            continue
        labels = pieces.explode().str.strip()
        if labels.nunique() < min(text.nunique(), MOST_CLASSES) + 1 and labels.value_counts().min() >= FEWEST:
            return mark
    return None
