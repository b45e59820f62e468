"""How far a run is from the one that was kept, and whether that is more than rounding.

A column of numbers *deviates* by its largest difference, over the largest magnitude in the kept column. Row ids,
labels, epochs, steps and counts of rows must be the same. So must a class, but where its probability does not tell it
from the next one; metrics that count classes may differ by what two such rows make.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from pandas.api.types import is_float_dtype, is_numeric_dtype

from tests.golden.files import Tables

TOLERANCES = {"history": 2e-5, "weights": 1e-4, "predictions": 1e-4, "scores": 4e-5}
CANCELLING = {"fall_": 6e-4}  # FAMO's: the small difference of two losses
EXACT = ("epoch", "step", "train_rows", "val_rows", "test_rows")
COUNTING = ("val_accuracy_", "val_micro_f1_")


@dataclass
class Comparison:
    """What two runs differ by.

    Attributes
    ----------
    deviations
        By table and column of numbers.
    problems
        A line each for what no rounding explains: other columns, rows, ids or classes.
    """

    deviations: dict[str, dict[str, float]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def failures(self) -> list[str]:
        """Return the problems, and a line for each column that deviates by more than is tolerated."""
        return self.problems + [
            f"{table}: {column} deviates by {deviation:.2g}, and {tolerance(table, column):.2g} is tolerated"
            for table, columns in self.deviations.items()
            for column, deviation in columns.items()
            if deviation > tolerance(table, column)
        ]


def compare(kept: Tables, found: Tables, residue_tasks: tuple[str, ...] = ()) -> Comparison:
    """Compare a run with the one that was kept, table by table."""
    result = Comparison()
    if list(kept) != sorted(found):
        result.problems.append(f"tables: {sorted(found)} in place of {list(kept)}")
        return result
    one_row = 1 / kept["scores"]["val_rows"].iloc[0]
    for table, old in kept.items():
        new = found[table]
        if list(new) != list(old) or len(new) != len(old):
            result.problems.append(f"{table}: {len(new)} rows of {list(new)} in place of {len(old)} of {list(old)}")
            continue
        result.deviations[table] = {}
        for column in old:
            if _is_exact(table, column, old[column]):
                same = old[column].astype(str).equals(new[column].astype(str))
                result.problems += [] if same else [f"{table}: {column} differs"]
            elif any(other.startswith(f"{column}_prob") for other in old):
                chars = column.removeprefix("predicted_") in residue_tasks
                result.problems += (_residues if chars else _classes)(column, old, new)
            elif not (is_numeric_dtype(new[column]) and old[column].isna().equals(new[column].isna())):
                result.problems.append(f"{table}: {column} has other cells without a number")
            else:
                off = deviation(old[column], new[column])
                counted = column.startswith(COUNTING) and off * old[column].abs().max() <= 2 * one_row
                result.deviations[table][column] = 0.0 if counted else off
    return result


def tolerance(table: str, column: str) -> float:
    """Return how far a column may deviate."""
    return next((more for start, more in CANCELLING.items() if column.startswith(start)), TOLERANCES[table])


def deviation(old: pd.Series, new: pd.Series) -> float:
    """Return the largest difference of two columns over the largest magnitude in the first."""
    difference = (new - old).abs().max()
    return float(difference / old.abs().max()) if difference > 0 else 0.0


def _is_exact(table: str, column: str, old: pd.Series) -> bool:
    """Return whether a column's cells are numbers of things, ids or labels; labels with a fraction are kept rounded."""
    given = table == "predictions" and not column.startswith("predicted_")
    return column in EXACT or (given and not is_float_dtype(old))


def _classes(column: str, old: pd.DataFrame, new: pd.DataFrame) -> list[str]:
    """Return a line if a class differs that its probability tells from the others.

    That of several classes' largest is the only one in the file. Up to a half it may be a tie; so one row may differ.
    """
    other = old[column].astype(str) != new[column].astype(str)
    labels = [name for name in old if name.startswith(f"{column}_prob_")]
    near = TOLERANCES["predictions"]
    if labels:
        tie = ((old[labels] - 0.5).abs() <= near).any(axis=1)
    elif old[column.removeprefix("predicted_")].nunique() <= 2:
        tie = (old[f"{column}_prob"] - 0.5).abs() <= near
    else:
        tie = (old[f"{column}_prob"] <= 0.5 + near) & (other.sum() <= 1)
    return [f"predictions: {(other & ~tie).sum()} of {column} are another class"] if (other & ~tie).any() else []


def _residues(column: str, old: pd.DataFrame, new: pd.DataFrame) -> list[str]:
    """Return a line if texts of classes differ by more than one character; their probabilities are not in the file."""
    if not old[column].str.len().equals(new[column].str.len()):
        return [f"predictions: {column} has other lengths"]
    before, after = (np.array(list("".join(frame[column]))) for frame in (old, new))
    count = int((before != after).sum())
    return [f"predictions: {count} characters of {column} are another class"] if count > 1 else []
