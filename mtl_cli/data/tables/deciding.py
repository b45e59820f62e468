"""Deciding how the cells of a training table are read, each column from the whole of it, and saying so."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from mtl_cli.config.errors import Problem, UserError
from mtl_cli.data.dates import NAMES, DateJudgement, ambiguous, judge_dates
from mtl_cli.data.numbers import CURRENCY, FORMS, NumberForm, NumberJudgement, forms_of, judge_numbers, parse_number
from mtl_cli.data.tables.reading import NO_VALUE, ColumnReading, Kind, Readings, holds_text, kind_of_type, stripped
from mtl_cli.tasks.bounds import parse_bounds, without_sign
from mtl_cli.tasks.labels import USUAL_NO_LABEL, holds_words

if TYPE_CHECKING:
    import pandas as pd

    from mtl_cli.tasks.task import TaskConfig

Use = Literal["feature", "numeric", "categorical", "date", "class", "number", "bounds", "text"]
"""What a column is read for: a feature, of a declared kind or not; classes, numbers or bounds of numbers to learn; or
text as written."""
LABELS = ("class", "number", "bounds")
MOST = 0.9
"""From this share on, a column is of numbers (or dates) with odd words, and the user is asked what those are."""
VOTES = 2000
"""Different texts that say whether a column has decimal commas."""
FEWEST = 5
"""Different texts with a decimal comma that say so, where others of the column have none."""
SAMPLE = 500
"""Different texts of which one at least must be a number, or a date, for all to be looked at."""


@dataclass(frozen=True)
class Words:
    """What the user says of how cells are written; what is None is found.

    Parameters
    ----------
    missing : sequence of str
        What an empty cell may be written as, beside nothing at all.
    no_label : sequence of str
        What "no label" may be written as, beside these.
    decimal, thousands : str, optional
    day_first : bool, optional
    labels : mapping of str to set of str
        By column, the words that a task names as labels, which they are whatever else they may mean.
    """

    missing: Sequence[str] = ()
    no_label: Sequence[str] = tuple(USUAL_NO_LABEL)
    decimal: str | None = None
    thousands: str | None = None
    day_first: bool | None = None
    labels: Mapping[str, set[str]] = field(default_factory=dict)

    @property
    def number_form(self) -> NumberForm:
        """The form of numbers where a file's reader has read them already, should another file hold them as text."""
        decimal = self.decimal or ("," if self.thousands == "." else ".")
        return NumberForm(decimal, self.thousands or ("." if decimal == "," else ""))

    def no_value(self, column: str, use: Use) -> list[str]:
        """Return the words that stand for no value in a column."""
        words = [*self.missing, *(self.no_label if use in LABELS else ())]
        return [word for word in dict.fromkeys(words) if word not in self.labels.get(column, ())]


def decide(
    table: pd.DataFrame,
    uses: Mapping[str, Use],
    words: Words,
    where: str,
    notice: Callable[[str], None],
    known: Readings | None = None,
) -> Readings:
    """Decide how columns are read, and tell each decision in a line.

    Parameters
    ----------
    table : DataFrame
        As the file holds it.
    uses : mapping of str to str
        By column.
    words : Words
        What the user says.
    where : str
        The table, for messages.
    notice : callable
    known : Readings, optional
        Of another run, which read its columns in the same way.

    Raises
    ------
    UserError
        With each column that the user must say more of.
    """
    uses = {name: use for name, use in uses.items() if name in table.columns}
    kept = {} if known is None else {column.name: column for column in known.columns if column.name in uses}
    counts = {name: text_counts(table[name]) for name, use in uses.items() if use != "text" and name not in kept}
    comma = _writes_commas(table, counts) if words.decimal is None else words.decimal == ","
    found: list[ColumnReading] = []
    problems: list[Problem] = []
    for name, use in uses.items():
        try:
            found.append(kept[name] if name in kept else _column(table[name], counts.get(name), use, words, comma))
        except UserError as error:
            problems.extend(Problem(where, problem.what, problem.hint) for problem in error.problems)
    if problems:
        raise UserError.of(problems)
    for line in decisions([column for column in found if column.name not in kept], uses, words):
        notice(f"{where}: {line}")
    return Readings(found)


def label_uses(tasks: Mapping[str, TaskConfig]) -> dict[str, Use]:
    """Return what the columns of some tasks' labels are read for."""
    uses: dict[str, Use] = {}
    for name, task in tasks.items():
        for column, use in task.label_uses(name).items():
            if task.level == "token":  # a letter of it may mean "no label", which the task itself knows
                uses.setdefault(column, "categorical")
            elif uses.get(column) != "class":
                uses[column] = use
    return uses


def named_labels(tasks: Mapping[str, TaskConfig]) -> dict[str, set[str]]:
    """Return the labels that tasks name, by column."""
    found: dict[str, set[str]] = {}
    for name, task in tasks.items():
        for column in task.columns(name):
            found[column] = found.get(column, set()) | task.named_labels
    return found


def text_counts(values: pd.Series) -> dict[str, int] | None:
    """Return the different texts of a column and how many cells hold each; None for a column without text."""
    if not holds_text(values):
        return None
    return {str(text): int(count) for text, count in stripped(values).value_counts().items() if count}


def has_decimal_commas(columns: Iterable[pd.Series]) -> bool:
    """Whether one of some columns can be nothing but numbers with decimal commas."""
    return any(_votes_comma(text_counts(values)) for values in columns)


def _writes_commas(table: pd.DataFrame, counts: Mapping[str, dict[str, int] | None]) -> bool | None:
    """Tell whether a table writes decimal commas; None if no column says so, or one says so and one the opposite."""
    votes = {_votes_comma(texts) for texts in counts.values()}
    for name in counts:
        if table[name].dtype.kind == "f" and bool((table[name].dropna() % 1 != 0).any()):
            votes.add(False)
    votes -= {None}
    return votes.pop() if len(votes) == 1 else None


def _votes_comma(counts: Mapping[str, int] | None) -> bool | None:
    """Tell whether a column writes decimal commas, None if it can be read either way or has no fractions."""
    if counts is None or not _any(counts, _is_number):
        return None
    counts = dict(itertools.islice(counts.items(), VOTES))
    one, other = (judge_numbers(counts, FORMS, comma) for comma in (True, False))
    if one.form.decimal != other.form.decimal or 2 * one.count < sum(counts.values()):
        return None
    texts = [text for text in counts if text not in one.others]
    fractions = sum(one.form.decimal in text for text in texts)
    return one.form.decimal == "," if fractions >= min(FEWEST, max(1, len(texts))) else None


def _column(
    values: pd.Series, counts: Mapping[str, int] | None, use: Use, words: Words, comma: bool | None
) -> ColumnReading:
    """Decide how one column is read; ``counts`` are its texts."""
    import pandas as pd

    name = str(values.name)
    if use == "text":
        return ColumnReading(name, "text", as_written=True)
    missing = words.no_value(name, use)
    odd = _words_in(values, counts, missing) if use in LABELS else {}
    if counts is None:
        kind: Kind = "categorical" if use in ("class", "categorical") else kind_of_type(values)
        return ColumnReading(name, kind, words.number_form, missing=missing, odd=odd, as_written=use == "class")
    read = ColumnReading(name, "categorical", missing=missing, odd=odd, as_written=True)
    if use in ("class", "categorical") or (use == "feature" and isinstance(values.dtype, pd.CategoricalDtype)):
        return read
    counts = {text: count for text, count in counts.items() if text not in missing}
    present = {text: count for text, count in counts.items() if text.lower() not in NO_VALUE}
    usual = {text: count for text, count in counts.items() if text not in present}
    if not present:
        return read
    if use == "feature" and {text.lower() for text in present} <= {"true", "false"}:
        return replace(read, kind="boolean", odd=usual)
    decided = _number_or_date(read, present, use, words, comma)
    return decided if decided.kind == "categorical" else replace(decided, odd=odd | usual)


def _number_or_date(
    read: ColumnReading, present: Mapping[str, int], use: Use, words: Words, comma: bool | None
) -> ColumnReading:
    """Tell numbers, dates and categories apart by the texts of a column that are values."""
    total = sum(present.values())
    if use == "bounds":
        return _bounds(read, present, words, comma)
    if use in ("number", "numeric") or (use == "feature" and _any(present, _is_number)):
        numbers = judge_numbers(present, forms_of(words.decimal, words.thousands), comma)
        if numbers.rival is not None and numbers.count >= MOST * total:
            raise _either_number(read.name, numbers, present)
        if numbers.count == total:
            return replace(read, kind="numeric", form=numbers.form, as_written=bool(numbers.form.marks))
        if numbers.count >= MOST * total or (numbers.count and use == "numeric"):
            raise _not_all(read.name, numbers, total, "numbers", use)
        if use in ("number", "numeric"):
            return replace(read, kind="numeric", form=numbers.form)
        if 2 * numbers.count >= total:
            read = replace(read, strays=numbers.others)
    if use == "date" or (use == "feature" and _any(present, _is_date)):
        dates = judge_dates(present, words.day_first)
        if dates.rival is not None and dates.count >= MOST * total:
            what = ambiguous(read.name, next(text for text in present if text not in dates.others))
            raise UserError("", what, "dataset.day_first=true or dataset.day_first=false says which")
        if dates.count == total:
            return replace(read, kind="date", order=dates.order)
        if dates.count >= MOST * total or use == "date":
            raise _not_all(read.name, dates, total, "dates", use)
    return read


def _bounds(read: ColumnReading, present: Mapping[str, int], words: Words, comma: bool | None) -> ColumnReading:
    """Return how numbers and bounds of numbers are read: those that are written with a sign tell the form too."""
    bare: dict[str, int] = {}
    for text, count in present.items():
        bare[without_sign(text)] = bare.get(without_sign(text), 0) + count
    numbers = judge_numbers(bare, forms_of(words.decimal, words.thousands), comma)
    if numbers.rival is not None:
        raise _either_number(read.name, numbers, bare)
    known = [text for text in present if parse_number(text, numbers.form) == parse_number(text, numbers.form)]
    others = {text: count for text, count in present.items() if text not in set(known)}
    held = {next(iter(others)): sum(others.values())} if others else {}
    return replace(read, kind="bounds", form=numbers.form, bounds=held)


def _either_number(name: str, found: NumberJudgement, present: Mapping[str, int]) -> UserError:
    assert found.rival is not None
    for text in present:
        one, other = parse_number(text, found.form), parse_number(text, found.rival)
        if one == one and other == other and one != other:
            break
    what = f"'{text}' in the column '{name}' may be {one:g} or {other:g}"
    return UserError("", what, "dataset.thousands=',' says the first, dataset.decimal=',' the second")


def _not_all(name: str, found: NumberJudgement | DateJudgement, total: int, kind: str, use: Use) -> UserError:
    """Return the error of a column some of whose texts are not what the others are."""
    shown = sorted(found.others, key=lambda text: -found.others[text])[:3]
    listed = ", ".join(map(_quoted, shown)) + (", …" if len(found.others) > len(shown) else "")
    what = f"{found.count} of {total} values of the column '{name}' are {kind}; not {listed}"
    hint = (
        f"dataset.{'no_label' if use == 'number' else 'missing'}=[{listed.replace(', …', ',…')}] takes these as missing"
    )
    if use == "number" and all(parse_bounds(text) is not None for text in found.others):
        hint = f"kind: censored learns from such bounds, {hint}"
    if use != "number":
        hint += f", dataset.features.categorical=[{name}] takes all as text"
    return UserError("", what, hint)


def _quoted(text: str) -> str:
    """Return the beginning of a cell for a message, which is one line."""
    return f"'{' '.join(text[:60].split())[:30]}'"


def _words_in(values: pd.Series, counts: Mapping[str, int] | None, words: Sequence[str]) -> dict[str, int]:
    """Return those of some words that a column holds, and in how many cells."""
    if counts is not None:
        return {word: counts[word] for word in words if word in counts}
    found = {word: int(holds_words(values, [word]).sum()) for word in words if parse_number(word) == parse_number(word)}
    return {word: count for word, count in found.items() if count}


def _any(texts: Iterable[str], fits: Callable[[str], bool]) -> bool:
    return any(fits(text) for text in itertools.islice(texts, SAMPLE))


def _is_number(text: str) -> bool:
    return judge_numbers({text: 1}).count > 0 or text.lstrip(f"+-{CURRENCY} ")[:1].isdigit()


def _is_date(text: str) -> bool:
    return judge_dates({text: 1}).count > 0


def decisions(columns: Sequence[ColumnReading], uses: Mapping[str, Use], words: Words) -> list[str]:
    """Return what was decided, a line for all columns of which the same is to be said."""
    said: dict[str, list[str]] = {}
    for column in columns:
        for line in _said_of(column, uses[column.name], words):
            said.setdefault(line, []).append(f"'{column.name}'")
    lines = []
    for line, names in said.items():
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        lines.append(line.replace("COLUMNS", ", ".join(names[:5]) + more))
    return lines


def _said_of(column: ColumnReading, use: Use, words: Words) -> list[str]:
    lines = []
    if column.odd:
        shown = ", ".join(f"'{word}'" for word in list(column.odd)[:6]) + (", …" if len(column.odd) > 6 else "")
        cells = sum(column.odd.values())
        if use == "class":
            key = "missing" if set(column.odd) <= set(words.missing) else "no_label"
            said = f"{'is' if cells == 1 else 'are'} no label (dataset.{key} lists such words)"
            lines.append(f"{cells} × {shown} in COLUMNS {said}")
        else:
            taken = "no label" if use in LABELS else "taken as missing"
            lines.append(f"{cells} × {shown} in COLUMNS {'is' if cells == 1 else 'are'} {taken}")
    if column.strays:
        lines.append(f"COLUMNS is taken as text: most values are numbers, {_quoted(next(iter(column.strays)))} is not")
    for text, cells in column.bounds.items():
        lines.append(f"{cells} labels in COLUMNS are bounds, such as {_quoted(text)}")
    if column.kind in ("numeric", "bounds") and column.as_written:
        lines += [f"numbers in COLUMNS are read {part}" for part in column.form.marks]
    if column.kind == "date" and column.order:
        lines.append(f"dates in COLUMNS are read with the {NAMES[column.order]} first")
    return lines
