"""Words for "no label" in cells, images and sequences are those of tables, in training and in files to come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mtl_cli.data.images.config import Npz
from mtl_cli.data.sequences.config import FASTA
from mtl_cli.data.sequences.fasta import read_fasta
from mtl_cli.data.split import SplitConfig
from mtl_cli.tasks.kinds.binary import Binary
from mtl_cli.tasks.kinds.multiclass import Multiclass
from mtl_cli.tasks.kinds.regression import Regression
from mtl_cli.tasks.task import TaskConfig
from tests.cells import make_cells, make_counts, write_h5ad
from tests.images import bars


def write_images(path: Path) -> np.ndarray:
    images, classes = bars(60, 3, 0)
    label, species = classes.astype("int64"), np.array([f"s{c}" for c in classes], object).astype("<U9")
    label[:5], species[3:8] = -1, "unknown"
    np.savez(path, images=images, label=label, species=species)
    return label


def test_images_without_a_label(tmp_path: Path) -> None:
    label = write_images(tmp_path / "i.npz")
    said: list[str] = []
    source = Npz(path=str(tmp_path / "i.npz"), no_label=["-1", "unknown"])
    tasks: dict[str, TaskConfig] = {"label": Multiclass(), "species": Multiclass()}
    found = source.prepare(tasks, said.append)
    assert found.tasks["label"].classes == [0, 1, 2]  # type: ignore[attr-defined]
    assert found.tasks["species"].classes == ["s0", "s1", "s2"]  # type: ignore[attr-defined]
    assert [line.partition(": ")[2][:27] for line in said] == [
        "5 × '-1' in 'label' are no ",
        "5 × 'unknown' in 'species' ",
    ]
    reader = source.restore(found.reader.state())
    part = reader.read(str(tmp_path / "i.npz"), said.append).part(found.tasks)
    assert part.targets["label"].mask.tolist() == (label >= 0).tolist()
    assert part.targets["species"].mask.sum() == 55


@pytest.mark.parametrize("no_label", [["-1"], []])
def test_a_number_is_a_label_unless_it_is_named(tmp_path: Path, no_label: list[str]) -> None:
    write_images(tmp_path / "i.npz")
    found = Npz(path=str(tmp_path / "i.npz"), no_label=no_label).prepare({"label": Multiclass()}, lambda line: None)
    assert found.tasks["label"].classes == [0, 1, 2] if no_label else [-1, 0, 1, 2]  # type: ignore[attr-defined]


def test_columns_of_obs(tmp_path: Path) -> None:
    pytest.importorskip("anndata")
    from mtl_cli.data.cells.config import H5AD

    obs = make_cells(120)
    counts = make_counts(obs)
    obs["level1"] = obs["level1"].where(np.arange(120) % 10 != 0, "Unknown") + np.where(np.arange(120) % 3, "", " ")
    obs["stage"] = np.array(["1", "1.0", "2", "nan"], object)[np.arange(120) % 4]
    obs["donor"] = [f"d{i % 6}{' ' * (i % 2)}" for i in range(120)]
    obs["age"] = [f"{20 + i % 40}" if i % 20 else "n.d." for i in range(120)]
    path = write_h5ad(tmp_path / "c.h5ad", counts, obs)
    source = H5AD(path=str(path), split=SplitConfig(group="donor", val=0))
    tasks: dict[str, TaskConfig] = {"level1": Multiclass(), "stage": Binary(), "age": Regression()}
    said: list[str] = []
    found = source.prepare(tasks, said.append)
    assert found.tasks["level1"].classes == ["a0", "a1"]  # type: ignore[attr-defined]
    assert found.tasks["stage"].classes == [1, 2]  # type: ignore[attr-defined]
    assert any("12 × 'Unknown' in 'level1' are no label" in line for line in said)
    assert any("30 × 'nan' in 'stage' are no label" in line for line in said)
    sides = found.splits.assign(donor=np.arange(120) % 6).groupby("donor")["split"].nunique()
    assert sides.max() == 1
    part = source.restore(found.reader.state()).read(str(path), said.append).part(found.tasks)
    assert [int(part.targets[name].mask.sum()) for name in tasks] == [108, 90, 114]


def test_headers_and_tables_of_sequences(tmp_path: Path) -> None:
    letters = "ACDEFGHIKLMNPQRSTVWY"
    records = [f">p{i}\tfamily={'unknown' if i % 5 == 0 else 'ab'[i % 2]}\n{letters[i % 20 :]}MKL\n" for i in range(40)]
    (tmp_path / "s.fasta").write_text("".join(records))
    labels = pd.DataFrame({"id": [f"p{i} " for i in range(40)], "kd": ["1,5" if i % 2 else "2,25" for i in range(40)]})
    labels.to_csv(tmp_path / "labels.csv", index=False)
    keys: dict[str, Any] = {"path": str(tmp_path / "s.fasta"), "labels": str(tmp_path / "labels.csv")}
    found = FASTA(**keys).prepare({"family": Binary(), "kd": Regression()}, lambda line: None)
    assert found.tasks["family"].classes == ["a", "b"]  # type: ignore[attr-defined]
    values = pd.concat([part.labels["kd"] for part in found.parts.values()]).sort_index()
    assert values.tolist() == [2.25, 1.5] * 20
    assert found.splits["id"].tolist() == [f"p{i}" for i in range(40)]


def test_a_tab_ends_an_id() -> None:
    table = read_fasta(">p1\tfamily=a\nMKL\n>p2 family=b\nMKV\n", "s.fasta", "id", "sequence")
    assert table["id"].tolist() == ["p1", "p2"]
    assert table["family"].tolist() == ["a", "b"]
