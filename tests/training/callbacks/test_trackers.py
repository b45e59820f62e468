"""Trackers: what they wrote is read back. Each test needs the package of its tracker; see pyproject.toml's extras."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
import signal
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from mtl_cli.config import registry
from mtl_cli.config.registry import components
from mtl_cli.training.callbacks.base import CallbackConfig, RunInfo
from mtl_cli.training.callbacks.trackers.logged import numbers
from tests.conftest import InProcess

WINE = ("dataset=wine", "balancer=gradnorm", "trainer.epochs=3", "trainer.folds=none", "trainer.baselines=none")
TRACKERS = {"tensorboard": "tensorboard", "mlflow": "mlflow", "wandb": "wandb"}
"""The package behind each."""


def needs(tracker: str) -> pytest.MarkDecorator:
    package = TRACKERS[tracker]
    there = importlib.util.find_spec(package) is not None
    return pytest.mark.skipif(not there, reason=f"{package} is not installed: pip install 'mtl-cli[{tracker}]'")


def rows_of(file: Path) -> list[dict[str, float]]:
    """Return the rows of a CSV file of numbers."""
    with file.open(newline="") as opened:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(opened)]


def events_of(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    found.Reload()
    return found


def scalars_of(folder: Path, name: str) -> dict[int, float]:
    return {event.step: event.value for event in events_of(folder).Scalars(name)}


def test_names_group_by_task_and_the_longest_task_is_meant() -> None:
    row = {"epoch": 1, "loss_total": 2.0, "loss_a": 1.0, "val_rmse_b_a": 3.0, "lr": 0.1, "rate_b_a": None, "x": ""}
    assert numbers(row, ["a", "b_a"]) == {"loss_total": 2.0, "loss/a": 1.0, "val_rmse/b_a": 3.0, "lr": 0.1}


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_missing_package_is_one_line_before_anything_is_made(
    mtl: InProcess, monkeypatch: pytest.MonkeyPatch, tracker: str
) -> None:
    package, find = TRACKERS[tracker], importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *more: None if name == package else find(name, *more))
    for word, where in (
        (f"callback={tracker}", "callback"),
        (f"trainer.callbacks={{{tracker}: {{}}}}", f"trainer.callbacks.{tracker}"),
    ):
        problem = f"{tracker} needs the package {package}, which is not installed; pip install 'mtl-cli[{tracker}]'"
        status, out, err = mtl("train", *WINE, word, "run_dir=run")
        assert (status, out, err) == (2, "", f"mtl train: error: {where}: {problem}\n")
    assert not Path("run").exists()


def test_every_tracker_only_watches() -> None:
    for name, config in components("callback").items():
        if config.__module__.startswith("mtl_cli."):
            assert config.watches, name


@dataclass(frozen=True, kw_only=True)
class Fails(CallbackConfig):
    """A callback of a plugin that fails once a run is done."""

    def build(self, run: RunInfo) -> None:
        return None

    def finish(self, run: RunInfo) -> None:
        assert (run.folder / "metrics.json").is_file() and (run.folder / "mtl_model.pt").is_file()
        raise OSError("the server\nis gone")


def test_what_fails_after_a_run_costs_a_line(mtl: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.components("callback")
    monkeypatch.setitem(registry._registered["callback"], "fails", Fails)
    status, out, err = mtl("train", *WINE, "callback=fails", "plots=false", "run_dir=run")
    assert status == 0 and json.loads(out)["status"] == "done"
    assert "note: callback: what it does after a run failed: OSError: the server is gone\n" in err


@needs("tensorboard")
def test_tensorboard_has_history_weights_config_metrics_figures_and_model(mtl: InProcess) -> None:
    status, _, err = mtl("train", *WINE, "callback=tensorboard", "trainer.log_balance=5", "run_dir=run")
    assert status == 0 and "callback" not in err, err
    events, run = events_of(Path("run/tensorboard")), Path("run")
    weights, history = rows_of(run / "gradnorm_weights.csv"), rows_of(run / "mtl_history.csv")
    for name in ("loss_quality", "val_rmse_quality", "val_score", "loss_total", "lr"):
        told = scalars_of(run / "tensorboard", name.replace("_quality", "/quality"))
        assert list(told.values()) == pytest.approx([row[name] for row in history], rel=1e-6)
    steps = list(scalars_of(run / "tensorboard", "val_score"))
    assert list(scalars_of(run / "tensorboard", "epoch").items()) == [(step, n) for n, step in enumerate(steps, 1)]
    for name in ("weight_quality", "norm_is_good", "rate_quality"):
        kind, _, task = name.partition("_")
        told = scalars_of(run / "tensorboard", f"{kind}/{task}")
        assert told == pytest.approx({int(row["step"]): row[name] for row in weights}, rel=1e-6)
    texts = {tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in events.Tags()["tensors"]}
    assert (run / "config.yaml").read_text() in texts["config/text_summary"]
    rmse = json.loads((run / "metrics.json").read_text())["splits"]["test"]["tasks"]["quality"]["rmse"]
    assert f"| test/quality/rmse | {rmse:.6g} |" in texts["metrics/text_summary"]
    assert hashlib.sha256((run / "mtl_model.pt").read_bytes()).hexdigest() in texts["model/text_summary"]
    plots = sorted(f"plots/{path.stem}" for path in (run / "plots").glob("*.png"))
    assert sorted(events.Tags()["images"]) == plots and len(plots) >= 5
    assert events.Images("plots/losses")[0].encoded_image_string.startswith(b"\x89PNG")


@needs("tensorboard")
def test_tensorboard_changes_nothing_and_has_a_folder_for_each_member(mtl: InProcess) -> None:
    words = [*WINE, "trainer.folds=2", "plots=false"]
    assert mtl("train", *words, "run_dir=plain")[0] == 0
    assert mtl("train", *words, "callback=tensorboard", "trainer.compare_single=true", "run_dir=told")[0] == 0
    mine, theirs = (torch.load(f"{run}/mtl_model.pt", weights_only=True)["members"] for run in ("plain", "told"))
    for one, other in zip(mine, theirs, strict=True):
        assert all(torch.equal(one["weights"][name], other["weights"][name]) for name in one["weights"])
    history = rows_of(Path("told/mtl_history.csv"))
    for member in (0, 1):
        told = scalars_of(Path(f"told/tensorboard/member_{member}"), "val_score")
        own = [row["val_score"] for row in history if row["member"] == member]
        assert list(told.values()) == pytest.approx(own, rel=1e-6)
    assert not list(Path("told/single").rglob("tensorboard")), "networks beside the run are not told of"


@needs("tensorboard")
def test_tensorboard_shows_a_resumed_run_once(mtl: InProcess, tmp_path: Path) -> None:
    """Also where it was killed: what was told after its last checkpoint is told anew."""
    words = [*WINE, "trainer.epochs=400", "trainer.early_stopping=null", "plots=false", "callback=tensorboard"]
    words += ["trainer.checkpoint.every=50 steps", "run_dir=run"]
    done = subprocess.Popen([sys.executable, "-m", "mtl_cli", "train", *words], cwd=tmp_path, stderr=subprocess.DEVNULL)
    history, until = tmp_path / "run" / "mtl_history.csv", time.monotonic() + 60
    while time.monotonic() < until and (not history.is_file() or history.read_text().count("\n") < 12):
        time.sleep(0.05)
    done.send_signal(signal.SIGKILL)
    done.wait()
    before = history.read_text().count("\n") - 1
    assert before >= 10
    status, _, err = mtl("train", "resume=run", f"trainer.epochs={before + 5}")
    assert status == 0, err
    told, rows = events_of(tmp_path / "run" / "tensorboard"), rows_of(history)
    assert [event.value for event in told.Scalars("epoch")] == [row["epoch"] for row in rows]
    assert [event.value for event in told.Scalars("loss/quality")] == pytest.approx(
        [row["loss_quality"] for row in rows], rel=1e-6
    )


def mlflow_run(number: str | None = None) -> tuple[Any, Any]:
    """Return a client of the store in this folder, and the run that the folder ``run`` is told to."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=Path("mlruns").absolute().as_uri())
    return client, client.get_run(number or json.loads(Path("run/mlflow_run.json").read_text())["run_id"])


def metric_of(client: Any, run: Any, name: str) -> list[tuple[int, float]]:
    return sorted((metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, name))


@needs("mlflow")
def test_mlflow_has_parameters_metrics_weights_figures_and_model(mtl: InProcess) -> None:
    status, _, err = mtl("train", *WINE, "callback=mlflow", "callback.experiment=wines", "run_dir=run")
    assert status == 0 and "callback" not in err, err
    client, found = mlflow_run()
    weights, history = rows_of(Path("run/gradnorm_weights.csv")), rows_of(Path("run/mtl_history.csv"))
    assert (found.info.status, found.info.run_name) == ("FINISHED", "run")
    assert client.get_experiment(found.info.experiment_id).name == "wines"
    params = found.data.params
    expected = {"balancer.name": "gradnorm", "balancer.alpha": "1.5", "tasks.quality.kind": "regression"}
    assert {key: params[key] for key in expected} == expected
    assert [value for _, value in metric_of(client, found, "epoch")] == [1, 2, 3]
    for column, name in {"loss_quality": "loss/quality", "val_score": "val_score"}.items():
        assert [value for _, value in metric_of(client, found, name)] == [row[column] for row in history]
    told = metric_of(client, found, "weight/is_good")
    assert told == [(int(row["step"]), row["weight_is_good"]) for row in weights]
    rmse = json.loads(Path("run/metrics.json").read_text())["splits"]["test"]["tasks"]["quality"]["rmse"]
    assert found.data.metrics["test/quality/rmse"] == rmse
    place = Path(found.info.artifact_uri.removeprefix("file://"))
    assert (place / "model/mtl_model.pt").read_bytes() == Path("run/mtl_model.pt").read_bytes()
    assert {path.name for path in (place / "plots").iterdir()} == {
        path.name for path in Path("run/plots").glob("*.png")
    }
    assert (place / "config.yaml").read_text() == Path("run/config.yaml").read_text()
    assert not (place / "predictions.csv").exists(), "no single row of the data"


@needs("mlflow")
def test_mlflow_goes_on_with_its_run_and_tells_members_apart(mtl: InProcess) -> None:
    words = [*WINE, "plots=false", "callback=mlflow", "trainer.members=2"]
    assert mtl("train", *words, "run_dir=run")[0] == 0
    first = mlflow_run()[1].info.run_id
    status, _, err = mtl("train", "resume=run", "trainer.epochs=5")
    assert status == 0, err
    client, found = mlflow_run()
    assert found.info.run_id == first and len(client.search_runs([found.info.experiment_id])) == 1
    history = rows_of(Path("run/mtl_history.csv"))
    for member in (0, 1):
        own = [row["loss_total"] for row in history if row["member"] == member]
        assert [value for _, value in metric_of(client, found, f"member_{member}/loss_total")] == own and len(own) == 5


@needs("mlflow")
def test_a_store_that_cannot_be_used_is_one_line_and_one_that_breaks_costs_no_run(
    mtl: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, out, err = mtl("train", *WINE, "callback=mlflow", "callback.uri=nothing://here", "run_dir=wrong")
    assert (status, out) == (2, "")
    assert err.splitlines()[-1].startswith("mtl train: error: callback.uri: MLflow's store cannot be used: ")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    tell = MlflowClient.log_batch

    def breaks(client: MlflowClient, run: str, **entries: Any) -> None:
        if any(metric.step > 40 for metric in entries.get("metrics", [])):
            raise MlflowException("the disk is full")
        tell(client, run, **entries)

    monkeypatch.setattr(MlflowClient, "log_batch", breaks)
    status, _, err = mtl("train", *WINE, "plots=false", "callback=mlflow", "run_dir=run")
    assert status == 0
    assert err.count("note: callback: nothing more is logged to MLflow, from epoch 3 on: the disk is full\n") == 1


def wandb_records(folder: Path) -> list[Any]:
    """Return what is in the file of an offline run: records in blocks, as in LevelDB's log, behind 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    data, place, piece, found = file.read_bytes(), 7, b"", []
    while place + 7 <= len(data):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        length, kind = struct.unpack_from("<HB", data, place + 4)
        piece += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or its last piece
            record = Record()
            record.ParseFromString(piece)
            found.append(record)
            piece = b""
    return found


@needs("wandb")
def test_wandb_has_config_history_weights_figures_and_model_offline(
    mtl: InProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    words = [*WINE, "callback=wandb", "callback.project=wines", "trainer.members=2", "run_dir=run"]
    status, _, err = mtl("train", *words)
    assert status == 0 and "callback" not in err, err
    run, records = Path("run"), wandb_records(Path("run"))
    by_kind = {kind: [getattr(one, kind) for one in records if one.WhichOneof("record_type") == kind]
               for kind in ("run", "history", "summary", "artifact", "request")}  # fmt: skip
    own = by_kind["run"][0]
    assert (own.project, own.display_name, own.run_id) == (
        "wines", "run", json.loads((run / "wandb_run.json").read_text())["id"],
    )  # fmt: skip
    config = {item.key: json.loads(item.value_json) for item in own.config.update}
    assert config["balancer"]["name"] == "gradnorm" and config["tasks"]["quality"]["kind"] == "regression"
    rows = [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in row.item}
        for row in by_kind["history"]
    ]
    history, weights = rows_of(run / "mtl_history.csv"), rows_of(run / "gradnorm_weights.csv")
    for member in (0, 1):
        told = [row for row in rows if f"member_{member}/epoch" in row]
        for column, name in {"loss_quality": "loss/quality", "val_score": "val_score"}.items():
            values = [row[f"member_{member}/{name}"] for row in told]
            assert values == [row[column] for row in history if row["member"] == member] and len(values) == 3
        told = [row for row in rows if f"member_{member}/weight/is_good" in row]
        assert [(row[f"member_{member}/steps"], row[f"member_{member}/weight/is_good"]) for row in told] == [
            (row["step"], row["weight_is_good"]) for row in weights if row["member"] == member
        ]
    rmse = json.loads((run / "metrics.json").read_text())["splits"]["test"]["tasks"]["quality"]["rmse"]
    summary = {item.key: json.loads(item.value_json) for one in by_kind["summary"] for item in one.update}
    assert summary["test/quality/rmse"] == rmse
    pictures = {path.read_bytes() for path in run.glob("wandb/offline-run-*/files/media/images/plots/*.png")}
    assert pictures == {path.read_bytes() for path in (run / "plots").glob("*.png")} and len(pictures) >= 5
    (artifact,) = by_kind["artifact"]
    files = {entry.path: Path(entry.local_path) for entry in artifact.manifest.contents}
    assert files["mtl_model.pt"].read_bytes() == (run / "mtl_model.pt").read_bytes()
    assert {"config.yaml", "metrics.json", "mtl_history.csv", "gradnorm_weights.csv"} <= set(files)
    assert "predictions.csv" not in files
    assert mtl("inspect", "run")[0] == 0, "the links that wandb makes lead to places in the run's folder"
