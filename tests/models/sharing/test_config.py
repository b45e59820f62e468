"""`model.sharing=` on the command line: chosen, changed, swept, run again, listed; and what is wrong in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from mtl_cli.config.assemble import assemble
from mtl_cli.config.parse import parse
from mtl_cli.config.registry import components
from mtl_cli.config.schema import Config
from mtl_cli.models.sharing.mmoe import MMoE
from tests.conftest import InProcess

QUICK = ("trainer.epochs=2", "plots=false", "model.trunk.hidden=[8,6]")


def read(*words: str) -> Config:
    return parse(assemble(["dataset=wine", *words]))


def error_lines(mtl: InProcess, *words: str) -> list[str]:
    status, out, err = mtl("train", "dataset=wine", *words)
    assert (status, out) == (2, "")
    assert not Path("outputs").exists()
    lines = [line for line in err.splitlines() if not line.startswith("note: ")]
    return [line.removeprefix("mtl train: error: ") for line in lines]


def test_a_scheme_is_chosen_and_changed() -> None:
    assert read().model.sharing == components("sharing")["hard"]()
    assert read("model.sharing=mmoe", "model.sharing.experts=3").model.sharing == MMoE(experts=3)
    assert read("model/sharing=mmoe").model.sharing == MMoE()
    assert read("model.sharing={kind: mmoe, experts: 5}").model.sharing == MMoE(experts=5)
    assert read("model.sharing.kind=mmoe", "model.sharing.experts=5").model.sharing == MMoE(experts=5)


def test_a_recipe_may_say_it_in_a_word_or_leave_it_out() -> None:
    plain = assemble(["dataset=wine"])
    plain["model"]["sharing"] = "mmoe"
    assert parse(plain).model.sharing == MMoE()
    del plain["model"]["sharing"]
    assert parse(plain).model.sharing == components("sharing")["hard"]()


def test_an_experiment_may_choose_it(tmp_path: Path) -> None:
    folder = tmp_path / "experiment"
    folder.mkdir()
    choice = "# @package _global_\ndefaults:\n  - override /model/sharing: mmoe\n"
    (folder / "mixed.yaml").write_text(f"{choice}model: {{sharing: {{experts: 3}}}}\n")
    (folder / "merged.yaml").write_text("# @package _global_\nmodel: {sharing: {kind: mmoe, experts: 3}}\n")
    for name in ("mixed", "merged"):
        config = parse(assemble(["dataset=wine", f"experiment={name}"], [tmp_path]))
        assert config.model.sharing == MMoE(experts=3)


@pytest.mark.slow
def test_a_sweep_a_rerun_and_another_scheme_for_an_old_run(mtl: InProcess) -> None:
    status, out, _ = mtl("train", "-m", "dataset=wine", "model.sharing=hard,mmoe,none", *QUICK)
    assert status == 0
    runs = [Path(json.loads(line)["run_dir"]) for line in out.splitlines()]
    kinds = [yaml.safe_load((run / "config.yaml").read_text())["model"]["sharing"]["kind"] for run in runs]
    assert kinds == ["hard", "mmoe", "none"]
    parameters = [json.loads((run / "run.json").read_text())["parameters"] for run in runs]
    assert parameters[1] > parameters[0] >= parameters[2]

    mixed = str(runs[1] / "config.yaml")
    for words, expected in (
        ((), {"kind": "mmoe", "experts": 4, "budget": "each"}),
        (("model.sharing.experts=2",), {"kind": "mmoe", "experts": 2, "budget": "each"}),
        (("model.sharing=cgc",), {"kind": "cgc", "shared_experts": 1, "task_experts": 1, "budget": "each"}),
    ):
        status, out, err = mtl("train", mixed, *words)
        assert status == 0, err
        run = Path(json.loads(out)["run_dir"])
        again = yaml.safe_load((run / "config.yaml").read_text())["model"]
        assert again["sharing"] == expected
        assert again["trunk"]["hidden"] == [8, 6], "the rest of the model stays"
        if not words:
            assert (run / "predictions.csv").read_text() == (runs[1] / "predictions.csv").read_text()


@pytest.mark.parametrize("scheme", sorted(components("sharing")))
def test_a_run_is_evaluated_from_its_folder(mtl: InProcess, scheme: str) -> None:
    """What is trained is what is loaded; a penalty is in the history, and only there where there is one."""
    keys = {"soft": ["model.sharing.start=own"], "none": ["model.sharing.budget=each"]}.get(scheme, [])
    status, out, err = mtl("train", "dataset=wine", f"model.sharing={scheme}", *keys, *QUICK)
    assert status == 0, err
    run = Path(json.loads(out)["run_dir"])
    status, out, err = mtl("evaluate", str(run))
    assert status == 0, err
    kept = json.loads((run / "metrics.json").read_text())["splits"]["test"]
    assert json.loads(out)["score"] == pytest.approx(kept["score"], abs=1e-6)
    columns = (run / "mtl_history.csv").read_text().splitlines()[0].split(",")
    assert ("penalty_sharing" in columns) == (scheme in ("soft", "dselect_k"))


def test_it_is_listed_and_explained(mtl: InProcess) -> None:
    status, out, _ = mtl("list", "sharing", "--json")
    assert status == 0
    assert [row["name"] for row in json.loads(out)] == sorted(components("sharing"))
    _, out, _ = mtl("train", "--help")
    assert "  model.sharing: which layers the tasks share\n    cgc " in out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["model.sharing=mmo"], "model.sharing: there is no 'mmo'; did you mean model.sharing=mmoe?"),
        (
            ["model.sharing=crossstitch"],
            "model.sharing: there is no 'crossstitch'; did you mean model.sharing=cross_stitch?",
        ),
        (["-m", "model.sharing=hard,ply"], "model.sharing: there is no 'ply'; did you mean model.sharing=ple?"),
        (["model.sharing.kind=mmo"], "model.sharing.kind: 'mmo' is not a known sharing kind; did you mean mmoe?"),
        (
            ["model.sharing=mmoe", "model.sharing.expert=3"],
            "model.sharing.expert: unknown key; did you mean model.sharing.experts?",
        ),
        (["model.sharing.experts=3"], "model.sharing.experts: unknown key"),
        (["model.sharing=mmoe", "model.sharing.experts=0"], "model.sharing.experts: must be above 0, not 0"),
        (
            ["model.sharing=mmoe", "model.sharing.experts=9", "model.trunk.hidden=[64,8]"],
            "model.sharing.experts: a gate mixes 9 experts, and what they return is 8 wide: more of them span no more; "
            "at most 8, or a wider model.trunk.hidden",
        ),
        (
            ["model.sharing=ple", "model.sharing.task_experts=4", "model.trunk.hidden=[4]"],
            "model.sharing.shared_experts: a gate mixes 5 experts, and what they return is 4 wide: more of them span no "
            "more; at most 4, or a wider model.trunk.hidden",
        ),
        (
            ["model.sharing=dselect_k", "model.sharing.k=5"],
            "model.sharing.k: is 5, and there are 4 experts to choose from; at most 4, or model.sharing.experts=5",
        ),
        (
            ["model.sharing=soft", "model.trunk.hidden=[]"],
            "model.trunk.hidden: is empty: model.sharing=soft needs a layer; give it one, [64]",
        ),
        (
            ["model.sharing=none", "balancer=gradnorm"],
            "model.sharing: shares no layer, and balancer=gradnorm looks at gradients on shared layers; choose from cgc, "
            "cross_stitch, dselect_k, hard, mmoe, ple; or balancer=uniform",
        ),
        (
            ["model.sharing=cross_stitch", "model.sharing.diagonal=1.5"],
            "model.sharing.diagonal: must be at most 1, not 1.5",
        ),
        (
            ["model.sharing=none", "model.trunk.hidden=[1,1]", "model.trunk.embeddings.kind=none"],
            "model.sharing.budget: total allows 18 parameters, as hard sharing would have, and layers of width 1 have 32; "
            "model.sharing.budget=each, or wider layers in model.trunk",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(mtl: InProcess, words: list[str], line: str) -> None:
    assert error_lines(mtl, *words) == [line]


def test_all_that_is_wrong_is_said_at_once(mtl: InProcess) -> None:
    lines = error_lines(mtl, "model.sharing=dselect_k", "model.sharing.k=5", "model.sharing.gamma=-1", "optimizer.lr=x")
    assert [line.partition(":")[0] for line in lines] == ["model.sharing.gamma", "optimizer.lr"]


@pytest.fixture
def trunk_without_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """An MLP that tells nothing but how it is built."""
    mlp = components("trunk")["mlp"]
    for name in ("staged", "stages", "can_scale", "scaled", "output_width"):
        monkeypatch.delattr(mlp, name)


@pytest.mark.usefixtures("trunk_without_stages")
@pytest.mark.parametrize(
    ("scheme", "line"),
    [
        (
            "ple",
            "model.sharing: ple joins trunks stage by stage, and this one has no stages that return rows; choose from cgc, "
            "dselect_k, hard, mmoe, none, soft",
        ),
        (
            "cross_stitch",
            "model.sharing: cross_stitch joins trunks stage by stage, and this one has no stages that return rows or maps; "
            "choose from cgc, dselect_k, hard, mmoe, none, soft",
        ),
        (
            "none",
            "model.sharing.budget: total makes trunks narrower, which this kind of trunk does not support; "
            "model.sharing.budget=each",
        ),
    ],
)
def test_a_trunk_that_it_cannot_share(mtl: InProcess, scheme: str, line: str) -> None:
    assert error_lines(mtl, f"model.sharing={scheme}") == [line]


def test_the_tab_key_completes_it(mtl: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_LINE", "mtl train dataset=wine model.sharing=c")
    status, out, _ = mtl("-sc", "query=bash")
    assert (status, out.split()) == (0, ["model.sharing=cgc", "model.sharing=cross_stitch"])
