"""Image models of timm as trunks, on tiny ones with random weights that are saved here, against timm itself."""

from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mtl_cli.cli.main import run
from mtl_cli.config.errors import UserError
from mtl_cli.data.inputs import InputSpec
from mtl_cli.models.timm.files import import_timm, layers_of
from mtl_cli.models.timm.layers import TimmTrunk
from mtl_cli.models.trunks.timm import Timm
from mtl_cli.models.tuning import LowRank
from tests.images import bars

pytestmark = pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="needs pip install 'mtl-cli[vision]'")

NAMES = ("test_resnet", "test_vit")
SIDE = 32


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a folder of each model, as the hub keeps them."""
    timm, folder = import_timm(), tmp_path_factory.mktemp("timm")
    for name in NAMES:
        torch.manual_seed(0)
        timm.models.save_for_hf(timm.create_model(name), folder / name, safe_serialization=True)
    return folder


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def spec(channels: int, side: int = SIDE) -> InputSpec:
    return InputSpec("image", (channels, side, side), center=[1.0] * channels, scale=[2.0] * channels)


def images(channels: int) -> torch.Tensor:
    return torch.randint(0, 256, (5, channels, SIDE, SIDE), generator=torch.Generator().manual_seed(0)).byte()


def trunk_of(folder: Path, channels: int = 3, **keys) -> TimmTrunk:
    module = Timm(pretrained=str(folder), **keys).build(spec(channels)).module
    assert isinstance(module, TimmTrunk)
    return module


def trained(module: TimmTrunk) -> set[str]:
    return {name for name, parameter in module.backbone.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_what_an_image_becomes_is_what_timm_makes_of_it(saved: Path, name: str, channels: int) -> None:
    module = trunk_of(saved / name, channels, hidden=[]).eval()
    timm = import_timm()
    own = timm.create_model(
        f"local-dir:{saved / name}", pretrained=True, **({"img_size": SIDE} if "vit" in name else {})
    )
    own.reset_classifier(0)
    mean, std = (torch.tensor(own.pretrained_cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        expected = own.eval()((images(channels).expand(-1, 3, -1, -1) / 255 - mean) / std)
        torch.testing.assert_close(module(images(channels)), expected, rtol=1e-4, atol=1e-5)
    assert module.width == expected.shape[1]


@pytest.mark.parametrize("name", NAMES)
def test_only_what_is_asked_for_is_trained(saved: Path, name: str) -> None:
    every = {name for name, _ in trunk_of(saved / name, tune="all").backbone.named_parameters()}
    assert trained(trunk_of(saved / name, tune="all")) == every
    assert trained(trunk_of(saved / name)) == set()
    last = trunk_of(saved / name, tune="last", last=1)
    assert trained(last) == set(layers_of(last.backbone)[-1]) < every
    assert sum(map(len, layers_of(last.backbone))) == len(every)


def test_low_rank_changes_are_of_attention_unless_named(saved: Path) -> None:
    module = trunk_of(saved / "test_vit", tune="lora")
    assert trained(module) and all("qkv.lora_" in name for name in trained(module))
    module = trunk_of(saved / "test_vit", tune="lora", lora=LowRank(modules=["fc1"]))
    assert trained(module) and all("fc1.lora_" in name for name in trained(module))
    with pytest.raises(UserError, match=r"lora.modules: must be given for a model of kind ResNet"):
        trunk_of(saved / "test_resnet", tune="lora")


def test_norms_that_are_not_trained_keep_their_statistics(saved: Path) -> None:
    for tune, moved in (("frozen", False), ("last", True)):
        module = trunk_of(saved / "test_resnet", tune=tune, last=1).train()
        before = {name: value.clone() for name, value in module.backbone.named_buffers()}
        module(images(3))
        changed = {name for name, value in module.backbone.named_buffers() if not torch.equal(value, before[name])}
        assert bool(changed) is moved
        if moved:
            tops = {name.rpartition(".")[0] for name in trained(module)}
            assert {name.rpartition(".")[0] for name in changed} <= tops


@pytest.mark.parametrize("name", NAMES)
def test_a_model_file_needs_no_folder(saved: Path, name: str) -> None:
    config = Timm(pretrained=str(saved / name), tune="last")
    held = config.settled()
    assert held.pretrained is False
    first, second = config.build(spec(1)).module.eval(), held.build(spec(1)).module.eval()
    second.load_state_dict(first.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(first(images(1)), second(images(1)))


def test_a_run_predicts_without_the_pretrained_weights(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(saved / "test_vit", "weights")
    pictures, labels = bars(60, 3, 0, side=16)
    np.savez("images.npz", images=pictures, place=labels)
    words = ["dataset=images.npz", "tasks={place: multiclass}", "model=timm", "model.trunk.pretrained=weights"]
    extra = ["model.trunk.tune=last", "balancer=mgda", "trainer.epochs=2", "plots=false", "run_dir=out"]
    assert run(["train", *words, *extra]) == 0
    shutil.rmtree("weights")
    capsys.readouterr()
    assert run(["predict", "out", "images.npz"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 61


def test_what_is_wrong_is_told_in_a_line(saved: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(saved / "test_resnet", folder)
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: value for name, value in weights.items() if name != "conv1.0.weight"}, folder / "model.safetensors"
    )
    with pytest.raises(UserError, match=r"cannot be built for images of 32 × 32: .*conv1.0.weight"):
        trunk_of(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="holds no weights"):
        trunk_of(folder)
    (folder / "config.json").write_text(json.dumps({"architecture": "test_resnett"}))
    (folder / "model.safetensors").touch()
    with pytest.raises(UserError, match=r"knows no 'test_resnett'.*test_resnet"):
        trunk_of(folder)
    (folder / "config.json").unlink()
    with pytest.raises(UserError, match="holds no config.json"):
        trunk_of(folder)
    with pytest.raises(UserError, match="reads images of 3 channels, and these have 2"):
        trunk_of(saved / "test_resnet", 2)
    with pytest.raises(UserError, match="model.trunk.last: is 90"):
        trunk_of(saved / "test_resnet", tune="last", last=90)
    with pytest.raises(UserError, match="is not on this machine and cannot be fetched"):
        Timm(pretrained="timm/resnet18.a1_in1k").build(spec(3))


def test_what_cannot_be_is_told_without_a_hub() -> None:
    config = Timm(pretrained=False)
    told = " ".join(map(str, config.check([])))
    assert "frozen leaves its weights" in told and "model.trunk.architecture: needs a value" in told
    assert not list(replace(config, tune="all", architecture="test_resnet").check([]))
    assert "there is no folder 'nowhere'" in " ".join(map(str, Timm(pretrained="nowhere").check([])))
