"""Run folders: never shared, never overwritten, files whole or absent."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mtl_cli.config.errors import UserError
from mtl_cli.io import atomic, to_json
from mtl_cli.runs.directory import claim, fresh
from mtl_cli.runs.model_file import load_model


def test_runs_of_one_second_get_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: fresh("wine"), range(60)))
    assert len(set(made)) == 60
    assert all(path.is_dir() for path in made)


def test_a_folder_with_anything_in_it_is_refused(tmp_path: Path) -> None:
    assert claim(str(tmp_path / "new" / "run")).is_dir()
    assert claim(str(tmp_path / "new" / "run")), "an empty one is taken"
    (tmp_path / "new" / "run" / "x").touch()
    with pytest.raises(UserError, match="a run never overwrites"):
        claim(str(tmp_path / "new" / "run"))


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("old")

    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        atomic(file, fail)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_json_has_no_nan() -> None:
    assert json.loads(to_json({"a": math.nan, "b": [math.inf, 1.5], 3: None})) == {
        "a": None,
        "b": [None, 1.5],
        "3": None,
    }


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04broken"])
def test_a_file_that_is_no_model(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mtl_model.pt").write_bytes(content)
    with pytest.raises(UserError, match="is not a model that mtl wrote"):
        load_model(str(tmp_path))


def test_a_pickle_with_code_is_refused(tmp_path: Path) -> None:
    import torch

    torch.save({"format": 1, "weights": {}, "f": print}, tmp_path / "mtl_model.pt")
    with pytest.raises(UserError, match="is not a model that mtl wrote"):
        load_model(str(tmp_path))
