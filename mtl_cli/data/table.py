"""Data sets that are one table: a row per example, features and labels in columns."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mtl_cli.config.errors import Problem, UserError, did_you_mean
from mtl_cli.config.schema import Config, unknown_tasks
from mtl_cli.data.features import FeatureConfig, FeatureEncoder, feature_names, fit_features
from mtl_cli.data.files import STDIN, resolve
from mtl_cli.data.split import SplitConfig, split_rows

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from mtl_cli.data.prepared import Part, Prepared, TaskFactory
    from mtl_cli.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class TableDataset:
    """The keys that tables of every format share. A format adds ``path`` and ``read``.

    Parameters
    ----------
    id : str, optional
        The column that names the rows: carried through to the predictions, no feature.
    features : FeatureConfig
    split : SplitConfig
    """

    path: str
    id: str | None = None
    features: FeatureConfig = field(default_factory=FeatureConfig)
    split: SplitConfig = field(default_factory=SplitConfig)

    def read(self, text_columns: list[str], notice: Callable[[str], None]) -> pd.DataFrame:
        """Read the table; columns in ``text_columns`` stay as they are written."""
        raise NotImplementedError

    def check(self, config: Config) -> Iterator[Problem]:
        """Yield what is wrong between this part of the config and the others."""
        try:
            if self.path != STDIN:
                resolve(self.path)
        except UserError as error:
            yield from error.problems
        yield from unknown_tasks(self.split.stratify, list(config.tasks or {}), "dataset.split.stratify")
        for key in ("test", "val"):
            size = getattr(self.split, key)
            if size > 1 and size != int(size):
                yield Problem(
                    f"dataset.split.{key}", f"{size} is neither a fraction of the rows nor a count", "give 0.2, or 200"
                )
        chosen = [key for key in ("column", "time") if getattr(self.split, key) is not None]
        others = [key for key in ("group", "stratify") if getattr(self.split, key)]
        if len(chosen) == 2 or (chosen and others):
            both = " and ".join([*chosen, *others][:2])
            yield Problem("dataset.split", f"cannot split by {both} at once", "choose one")
        if chosen and self.split.duplicates == "together":
            what = f"cannot keep repeated rows together in a split by {chosen[0]}"
            yield Problem("dataset.split.duplicates", what, "use warn or drop")

    def prepare(self, tasks: dict[str, TaskFactory], notice: Callable[[str], None]) -> Prepared:
        """Read, split and encode.

        Parameters
        ----------
        tasks : dict
            The tasks' configs by name.
        notice : callable
            Takes a line that the user should see.

        Raises
        ------
        UserError
            With all tasks' problems at once; otherwise the first that stands in the way.
        """
        import numpy as np
        import pandas as pd
        from pandas.api.types import is_numeric_dtype

        from mtl_cli.data.prepared import Prepared

        as_text = [column for name, task in tasks.items() if task.labels_as_text for column in task.columns(name)]
        as_text += [self.id] if self.id else []
        table = self.read(as_text, notice)
        if len(table.columns) == 1:
            raise UserError(self.path, f"has one column only ('{table.columns[0][:40]}')", "a table needs features too")
        self._check_columns(table, tasks)
        targets = [column for name, task in tasks.items() for column in task.columns(name)]
        others = [*self.split.columns(), *([self.id] if self.id else [])]
        names = feature_names(self.features, table, targets, others)
        _refuse_lists(table, names, self.path)
        every = np.arange(len(table))
        split = split_rows(
            self.split, table, names, lambda name: tasks[name].fit(name, table, every).labels(table), notice
        )
        fitted = _fit_tasks(tasks, table, split.train)
        encoder = fit_features(self.features, table, names, split.train, self.path, notice)
        ids = row_ids(table, self.id)
        parts = {}
        for part in ("train", "val", "test"):
            rows = getattr(split, part)
            if len(rows):
                block = table.iloc[rows]
                repeats = split.repeats.get(part, np.zeros(len(rows), bool))
                parts[part] = encode_part(block, encoder, fitted, ids.iloc[rows], repeats, self.path)
        for name, task in fitted.items():
            if unseen := getattr(task, "unseen", []):
                shown = ", ".join(f"'{label}'" for label in unseen[:5]) + (", …" if len(unseen) > 5 else "")
                notice(f"tasks.{name}: no training row has the class {shown}")
        as_text += [c.name for c in encoder.columns if c.kind == "categorical" and not is_numeric_dtype(table[c.name])]
        splits = pd.DataFrame({ids.name: ids, "split": split.names(len(table))})
        return Prepared(fitted, encoder, parts, splits, self.id, as_text, fingerprint(table))

    def _check_columns(self, table: pd.DataFrame, tasks: dict[str, TaskFactory]) -> None:
        problems = []
        for name, task in tasks.items():
            for column in task.columns(name):
                if column not in table.columns:
                    hint = did_you_mean(column, table.columns)
                    problems.append(Problem(f"tasks.{name}.target", f"{self.path} has no column '{column}'", hint))
        if self.id is not None and self.id not in table.columns:
            hint = did_you_mean(self.id, table.columns)
            problems.append(Problem("dataset.id", f"{self.path} has no column '{self.id}'", hint))
        if problems:
            raise UserError.of(problems)


def encode_part(
    table: pd.DataFrame,
    encoder: FeatureEncoder,
    tasks: dict[str, Task],
    ids: pd.Series,
    repeats: np.ndarray,
    where: str,
) -> Part:
    """Encode features and labels of some rows."""
    import pandas as pd

    from mtl_cli.data.prepared import Part

    labels = {name: task.labels(table) for name, task in tasks.items()}
    targets = {name: task.encode(labels[name]) for name, task in tasks.items()}
    return Part(encoder.transform(table, where), targets, ids, pd.DataFrame(labels, index=table.index), repeats)


def fingerprint(table: pd.DataFrame) -> str:
    """Return a number that changes with any value or the order of a table."""
    import pandas as pd

    mixed = {
        name: str for name, dtype in table.dtypes.items() if pd.api.types.is_object_dtype(dtype)
    }  # such as lists, which have no hash
    hashes = pd.util.hash_pandas_object(table.astype(mixed), index=False).to_numpy()
    return hashlib.sha256(hashes.tobytes()).hexdigest()


def _refuse_lists(table: pd.DataFrame, names: list[str], where: str) -> None:
    for name in names:
        if table[name].dtype == object:
            held = next((v for v in table[name] if isinstance(v, list | dict | set) or hasattr(v, "__array__")), None)
            if held is not None:
                hint = f"dataset.features.exclude=[{name}] leaves it out"
                raise UserError(where, f"the column '{name}' holds lists, not single values", hint)


def row_ids(table: pd.DataFrame, column: str | None) -> pd.Series:
    """Return the id column, or row numbers from 0 under the name ``row``."""
    import pandas as pd

    if column is None:
        return pd.Series(range(len(table)), index=table.index, name="row")
    return table[column]


def _fit_tasks(tasks: dict[str, TaskFactory], table: pd.DataFrame, train: np.ndarray) -> dict[str, Task]:
    fitted: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, task in tasks.items():
        try:
            fitted[name] = task.fit(name, table, train)
        except UserError as error:
            problems.extend(error.problems)
    if problems:
        raise UserError.of(problems)
    return fitted
