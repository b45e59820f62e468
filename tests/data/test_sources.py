"""The contract of data sets: what all of them declare, a table of one's own, and what is fitted to which rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mtl_cli.config.registry import components
from mtl_cli.data.base import DataSource, Notice
from mtl_cli.data.cells.config import H5AD
from mtl_cli.data.images.config import Digits, Npz
from mtl_cli.data.joint.config import Joint
from mtl_cli.data.sequences.config import FASTA
from mtl_cli.data.split import SplitConfig
from mtl_cli.data.tables.config import CSV, TableSource
from mtl_cli.tasks.kinds.multiclass import Multiclass
from mtl_cli.tasks.kinds.regression import Regression
from tests.conftest import houses


@dataclass(frozen=True, kw_only=True)
class Numbers(TableSource):
    """A table that no file holds."""

    path: str = "numbers"
    rows: int = 60

    def read_file(self, text_columns: list[str], notice: Notice) -> pd.DataFrame:
        random = np.random.default_rng(0)
        x = random.integers(0, 25, self.rows)  # some rows are duplicates
        return pd.DataFrame({"x": x, "y": 2.0 * x + random.normal(size=self.rows), "z": np.where(x > 9, "a", "b")})


@dataclass(frozen=True, kw_only=True)
class Counted(Multiclass):
    """A task that keeps the rows to which it is fitted."""

    fitted: list[list[int]] = field(default_factory=list)

    def fit(self, name: str, table: pd.DataFrame, train: np.ndarray) -> Any:
        self.fitted.append(train.tolist())
        return super().fit(name, table, train)


def test_every_data_set_declares_what_it_can_be_asked() -> None:
    found = components("dataset")
    assert {"csv", "parquet", "fasta", "h5ad", "idx", "npz", "digits", "multi_mnist", "joint"} <= found.keys()
    assert all(issubclass(source, DataSource) for source in found.values())


def test_what_is_told_without_reading_a_row() -> None:
    table = CSV(path="a.csv", split=SplitConfig(val=0))
    proteins = FASTA(path="a.fasta", max_length=50)
    assert (table.input_kind, table.file, table.validates, table.longest) == ("features", "a.csv", False, None)
    assert (proteins.input_kind, proteins.longest, proteins.validates) == ("sequence", 50, True)
    assert (Digits().file, Digits().input_hint("sequence"), Npz(path="a.npz").file) == (None, None, "a.npz")
    assert H5AD(path="a.h5ad").keeps_features and not H5AD(path="a.h5ad").keeps_encoder
    both = Joint(datasets={"a": table, "b": CSV(path="b.csv")})
    assert list(both.members) == ["a", "b"] and both.validates and both.longest is None
    assert Joint(datasets={"a": proteins, "b": FASTA(path="b.fasta")}).longest == 1022


def test_a_table_of_ones_own_needs_read_alone() -> None:
    told: list[str] = []
    data = Numbers().prepare({"y": Regression(), "z": Multiclass()}, told.append)
    assert {name: len(part) for name, part in data.parts.items()} == {"train": 42, "val": 6, "test": 12}
    x = Numbers().read([], told.append)["x"].to_numpy()
    train = data.splits["split"].to_numpy() == "train"
    val = data.splits["split"].to_numpy() == "val"
    ids = data.parts["test"].ids.to_numpy()
    assert data.parts["test"].duplicates.tolist() == np.isin(x[ids], x[train | val]).tolist()
    assert data.parts["test"].duplicates.any() and "repeat the features of rows trained on" in told[0]


@pytest.mark.parametrize("stratify", [[], ["z"]])
def test_a_task_is_fitted_once_to_the_training_rows_alone(stratify: list[str]) -> None:
    """A stratified split reads the labels of all rows; it fits nothing."""
    task = Counted()
    source = Numbers(split=SplitConfig(stratify=stratify))
    data = source.prepare({"z": task}, lambda line: None)
    assert [sorted(rows) for rows in task.fitted] == [data.splits.query("split == 'train'")["row"].tolist()]


def test_a_reader_comes_back_from_its_state(tmp_path: Path) -> None:
    houses().to_csv(tmp_path / "houses.csv", index=False)
    source = CSV(path=str(tmp_path / "houses.csv"), id="house")
    data = source.prepare({"price": Regression()}, lambda line: None)
    again = source.restore(data.reader.state())
    assert again.hierarchy is None and again.spec == data.reader.spec
    examples = again.read_own(lambda line: None)
    assert examples.duplicate_groups is not None and len(set(examples.duplicate_groups)) == len(houses())
    test = data.parts["test"]
    rows = examples.select(examples.ids.isin(test.ids).to_numpy())
    order = np.argsort(test.ids.to_numpy())
    assert np.array_equal(rows.inputs.take(slice(None)), test.inputs.take(slice(None))[order])
