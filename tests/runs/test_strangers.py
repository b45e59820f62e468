"""Files and folders that may come from anybody: of older versions, changed, or made to do harm."""

from __future__ import annotations

import json
import math
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mtl_cli.config.errors import UserError
from mtl_cli.inference.trained import TrainedModel
from mtl_cli.reports.plots import read_columns
from mtl_cli.runs import checkpoint_file, model_file
from mtl_cli.runs.checkpoint_file import load_checkpoint
from mtl_cli.runs.directory import RunDirectory
from mtl_cli.runs.model_file import load_model, plain_values, save_model
from mtl_cli.runs.records import read_config
from mtl_cli.runs.strangers import check_links
from tests.conftest import InProcess

FORMATS = Path(__file__).parent / "formats"
WINE = Path(__file__).parents[2] / "mtl_cli/data/builtin/winequality-red.csv"


@pytest.mark.parametrize("version", range(model_file.ONE_NETWORK, model_file.FORMAT + 1))
def test_a_model_of_each_format_predicts(mtl: InProcess, version: int) -> None:
    """When a format is raised, a file of it is added to the folder; the others stay."""
    status, out, err = mtl("predict", str(FORMATS / f"model_{version}.pt"), str(WINE))
    assert (status, len(out.splitlines())) == (0, 1600), err
    assert "nan" not in out


def test_a_checkpoint_of_each_format_is_read() -> None:
    for version in range(1, checkpoint_file.FORMAT + 1):
        assert load_checkpoint(FORMATS / f"checkpoint_{version}.pt")["members"]


@pytest.mark.parametrize("version", [1, model_file.FORMAT + 1])
def test_another_format_is_refused_by_name(tmp_path: Path, version: int) -> None:
    torch.save({**load_model(str(FORMATS / "model_2.pt")), "format": version, "mtl": "7.7"}, tmp_path / "a.pt")
    with pytest.raises(UserError, match=rf"is a model of format {version}, not {model_file.FORMAT}; that was mtl 7.7"):
        TrainedModel.load(str(tmp_path / "a.pt"))


def changed(**parts: Any) -> dict[str, Any]:
    """Return what is in a model file, with some parts of it others."""
    content = torch.load(FORMATS / "model_2.pt", weights_only=True)
    return {**content, **parts}


def larger() -> dict[str, Any]:
    content = changed()
    content["config"]["model"]["trunk"]["hidden"] = [10**6]
    return content


def not_a_number() -> dict[str, Any]:
    content = changed()
    next(iter(content["weights"].values()))[0] = math.nan
    return content


def with_reader(**parts: Any) -> dict[str, Any]:
    content = changed()
    content["data"]["reader"] |= parts
    return content


def with_column(**parts: Any) -> dict[str, Any]:
    content = changed()
    content["data"]["reader"]["features"][0] |= parts
    return content


def with_task(**parts: Any) -> dict[str, Any]:
    content = changed()
    content["data"]["tasks"][0]["state"] |= parts
    return content


def with_rows_of(task: str) -> dict[str, Any]:
    content = changed()
    rows = {"outputs": torch.zeros(9, 1), "values": torch.zeros(9), "mask": torch.ones(9, dtype=torch.bool)}
    content["data"]["held_out"] = {task: rows}
    return content


def looped() -> dict[str, Any]:
    content = changed()
    content["data"]["reader"]["more"] = content["data"]
    return content


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: changed(weights={"a": torch.zeros(1).expand(10**6, 10**7)}), "larger than what is there of it"),
        (lambda: changed(config="${oc.env:HOME}"), "where config should be a dict"),
        (lambda: changed(weights=[1]), "where weights should be one"),
        (lambda: changed(data={}), "lacks a part"),
        (lambda: changed(format="2"), "has no format"),
        (lambda: [1], "holds no dict"),
        (lambda: {key: value for key, value in changed().items() if key != "mtl"}, "lacks a part"),
        (larger, "the config is of a larger network than the weights"),
        (not_a_number, "has weights that are not finite"),
        (lambda: with_reader(id_column=["x"]), "it has a list where id_column should be a str"),
        (lambda: with_column(name=["x"]), "it has ['x'] where Column.name should be str"),
        (lambda: with_column(scale=[None]), "it has None where Column.scale[0] should be float"),
        (lambda: with_column(kind="other"), "it has 'other' where Column.kind should be Literal['numeric'"),
        (lambda: with_column(more=1), "it has other fields than Column has"),
        (lambda: with_column(bounds=[[0.0], [1.0], [2.0]]), "a column 'fixed acidity' that is not scaled as numeric"),
        (lambda: with_column(center=[0.0, 1.0]), "a column 'fixed acidity' that is not scaled as numeric ones are"),
        (lambda: with_task(columns=[True]), "it has True where RegressionTask.columns[0] should be str"),
        (lambda: with_rows_of("x"), "it keeps validation rows of 'x', which is none of its tasks"),
        (looped, "holds more than mtl writes"),
    ],
)
def test_a_model_that_was_changed_is_one_line(tmp_path: Path, make: Any, message: str) -> None:
    torch.save(make(), tmp_path / "a.pt")
    with pytest.raises(UserError) as raised:
        TrainedModel.load(str(tmp_path / "a.pt"))
    assert message in str(raised.value) and len(str(raised.value).splitlines()) == 1


def test_a_model_alone_has_a_card(mtl: InProcess, tmp_path: Path, houses_run: Path) -> None:
    shutil.copytree(houses_run, tmp_path / "run")
    (tmp_path / "run/run.json").unlink()
    for command in ("card", "inspect"):
        status, out, err = mtl(command, "run")
        assert (status, "seed" in out) == (0, False), err
    (tmp_path / "run/run.json").write_text('{"status": "done"}')
    assert mtl("card", "run")[2].endswith("run/run.json: is not what mtl wrote: it has no command; it was changed\n")
    (tmp_path / "run/run.json").unlink()
    (tmp_path / "run/metrics.json").write_text('{"score": 0.5, "splits": {"test": {"tasks": {}}}}')
    assert mtl("card", "run")[2].endswith("is not what mtl wrote: it has no splits.test.rows; it was changed\n")
    (tmp_path / "run/metrics.json").write_text('{"score": 0.5, "epoch": NaN, "splits": {}}')
    assert mtl("card", "run")[2].endswith("it has a float where epoch should be an int; it was changed\n")
    (tmp_path / "run/config.yaml").write_text("trainer: x\n")
    with pytest.raises(
        UserError, match=r"config.yaml: is not what mtl wrote: it has a str where trainer should be a dict"
    ):
        read_config(tmp_path / "run")


def test_a_changed_history_is_one_line(mtl: InProcess, tmp_path: Path, houses_run: Path) -> None:
    shutil.copytree(houses_run, tmp_path / "run")
    history = tmp_path / "run/mtl_history.csv"
    history.write_bytes(b"epoch,\xff\n" + history.read_bytes())
    with pytest.raises(UserError, match=r"mtl_history.csv: is damaged: 'utf-8' codec"):
        read_columns(history)


def test_a_packed_model_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a/data.pkl", bytes(10_000_000))
    with pytest.raises(UserError, match="it is packed, which mtl does not do"):
        load_model(str(tmp_path / "a.pt"))


def test_any_other_file_is_no_model(mtl: InProcess) -> None:
    for name, text in {"a.csv": "x,y\n1,2\n", "b.txt": "hello\n", "c.pt": "", "d.yaml": "a: 1\n"}.items():
        Path(name).write_text(text)
        status, _, err = mtl("predict", name, str(WINE))
        assert (status, len(err.splitlines())) == (2, 1)
        assert err.startswith(f"mtl predict: error: {name}: is not a model that mtl wrote; give the folder of a run")


def test_links_out_of_a_folder_are_not_followed(tmp_path: Path, mtl: InProcess) -> None:
    for name in ("run", "out"):
        (tmp_path / name).mkdir()
    shutil.copy(FORMATS / "model_2.pt", tmp_path / "out/mtl_model.pt")
    (tmp_path / "run/mtl_model.pt").symlink_to(tmp_path / "out/mtl_model.pt")
    assert "is a link out of the folder" in mtl("predict", "run", str(WINE))[2]
    (tmp_path / "inside").symlink_to("out", target_is_directory=True)
    assert mtl("predict", "inside", str(WINE))[0] == 0, "the folder itself may be one, as outputs/latest is"
    with pytest.raises(UserError, match="is a link out of the run's folder, to "):
        check_links(tmp_path / "run")


def test_what_a_run_is_resumed_from_is_not_written_through_a_link(mtl: InProcess, tmp_path: Path) -> None:
    words = ["dataset=wine", "trainer.epochs=1", "trainer.folds=none", "plots=false", "model.trunk.hidden=[4]"]
    assert mtl("train", *words, "run_dir=run")[0] == 0
    Path("mine").write_text("mine\n")
    Path("run/mtl_history.csv").unlink()
    Path("run/mtl_history.csv").symlink_to(tmp_path / "mine")
    status, _, err = mtl("train", "resume=run", "trainer.epochs=2")
    assert (status, Path("mine").read_text()) == (2, "mine\n")
    assert "run/mtl_history.csv: is a link out of the run's folder" in err
    Path("run/mtl_history.csv").unlink()
    Path("run/checkpoint.pt").unlink()
    text = Path("run/config.yaml").read_text()
    Path("run/config.yaml").write_text(text.replace("license: null", "license: ${oc.env:HOME}"))
    status, _, err = mtl("train", "resume=run")
    assert "run/config.yaml: has an interpolation, ${oc.env:HOME}, which no run's config has" in err
    record = json.loads(Path("run/run.json").read_text())
    Path("run/run.json").write_text(json.dumps({**record, "rows": "many"}))
    assert "run/run.json: is not what mtl wrote: it has no mapping where rows should be one" in mtl("card", "run")[2]
    Path("run/run.json").write_text(json.dumps(record))
    Path("run/splits.csv").write_text("row,split\n0,test\n")
    assert "run/splits.csv: has 1 rows, and the data have 1,599" in mtl("evaluate", "run")[2]


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    assert plain_values({"a": [np.float64(1.5), np.int64(2)]}, "") == {"a": [1.5, 2]}
    content = load_model(str(FORMATS / "model_2.pt"))
    state = {**content["data"], "reader": {"mean": [np.zeros(3)]}}
    with pytest.raises(TypeError, match=r"mtl_model.pt: data: reader: mean\[0\] is of the type ndarray"):
        save_model(RunDirectory(tmp_path), content["config"], state, content["members"])
    assert not list(tmp_path.iterdir())
