"""What other packages add: used where it is sound, left out with one line where it is not, and missed where needed."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from mtl_cli.config.assemble import assemble
from mtl_cli.config.compatibility import problems_between
from mtl_cli.config.parse import parse
from mtl_cli.config.paths import conf_dir
from mtl_cli.config.registry import BASES, GROUPS, SELECTORS, RegistrationError, _fault, component, components, names
from mtl_cli.data.base import DataSource
from mtl_cli.models.trunk import TrunkConfig
from tests.plugin_packages import COMMAND, DOUBLING, FIRST_LAYER, PLAIN, SPECTRA, Site

WINE = ["dataset=wine", "trainer.epochs=1", "plots=false", "run_dir=run", "trainer.folds=none"]
BROKEN = {
    "absent": "import no_such_module\n",
    "leaving": "raise SystemExit(3)\n",
    "taking": DOUBLING.replace('"doubling"', '"gradnorm"'),
    "astray": DOUBLING.replace('"balancer", "doubling"', '"balancers", "doubling"'),
    "rootless": DOUBLING.replace("(Balancer)", ""),
    "undeclared": DOUBLING.replace('    needs: ClassVar[Needs] = "losses"\n', ""),
    "untyped": DOUBLING.replace("by: float = 2.0", "by = 2.0"),
    "unfinished": PLAIN.replace("def build", "def construct"),
    "helpless": COMMAND.replace('"""count', 'f"""count'),
    "retraining": COMMAND.replace('"count"', '"train"'),
}
REASONS = {
    "absent": "ModuleNotFoundError: No module named 'no_such_module'",
    "leaving": "SystemExit: 3",
    "taking": "balancer 'gradnorm' already exists, in mtl_cli.balancing.methods.gradnorm",
    "astray": "there is no group 'balancers'; did you mean balancer?",
    "rootless": "balancer 'doubling': Doubling must inherit from mtl_cli.balancing.base.Balancer",
    "undeclared": "balancer 'doubling': Doubling must say what its needs is",
    "untyped": "balancer 'doubling': by has no type: by: float = … makes it a key",
    "unfinished": "trunk 'plain': Plain lacks build",
    "helpless": "command 'count': has no docstring, whose first line is its help",
    "retraining": "command 'train' already exists, in mtl_cli.cli.commands",
}


@dataclass(frozen=True)
class Trained:
    """A run made with two plugins: a balancer that has no YAML file and a metric, and a trunk without one."""

    site: Site
    folder: Path
    line: dict[str, Any]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    site, folder = Site(tmp_path_factory.mktemp("site")), tmp_path_factory.mktemp("runs")
    site.install("mtl_doubling", DOUBLING)
    site.install("mtl_plain", PLAIN, version="0.3")
    done = site.mtl(folder, "train", *WINE, "balancer=doubling", "balancer.by=3", "model=plain", "model.trunk.width=4")
    assert done.returncode == 0 and "left out" not in done.stderr, done.stderr
    return Trained(site, folder, json.loads(done.stdout))


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Many packages that cannot be used, and a sound one among them."""
    site = Site(tmp_path_factory.mktemp("broken"))
    for name, code in BROKEN.items():
        site.install(f"mtl_{name}", code)
    site.install("mtl_plain", PLAIN)
    return site


def left_out(text: str) -> list[str]:
    return [line for line in text.splitlines() if "is left out" in line]


def test_a_component_without_a_yaml_file_is_chosen_by_its_name(trained: Trained) -> None:
    with (trained.folder / "run" / "doubling_weights.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert {row["weight_quality"], row["weight_is_good"]} == {"3.0"}
    content = torch.load(trained.folder / "run" / "mtl_model.pt", weights_only=True)
    trunk = content["config"]["model"]["trunk"]
    assert (trunk["kind"], trunk["width"]) == ("plain", 4)
    assert content["plugins"] == {"balancer.doubling": "mtl-doubling 1.0", "trunk.plain": "mtl-plain 0.3"}


def test_a_metric_is_added_for_the_kinds_that_it_suits(trained: Trained) -> None:
    metrics = trained.line["metrics"]
    assert metrics["quality"]["largest_error"] > 0
    assert "largest_error" in metrics["quality"]["constant"] and "largest_error" not in metrics["is_good"]


def test_wrong_keys_of_a_component_without_a_yaml_file_are_named(trained: Trained) -> None:
    done = trained.site.mtl(trained.folder, "train", *WINE, "balancer=doubling", "balancer.bye=3", "model=plane")
    assert done.returncode == 2
    assert "model: there is no 'plane'; did you mean model=plain?" in done.stderr
    done = trained.site.mtl(trained.folder, "train", "dataset=wine", "balancer=doubling", "balancer.bye=3")
    assert done.stderr == "mtl train: error: balancer.bye: unknown key; did you mean balancer.by?\n"


def test_what_plugins_add_is_listed(trained: Trained) -> None:
    done = trained.site.mtl(trained.folder, "list", "plugins", "--json")
    doubling, plain = json.loads(done.stdout)
    assert doubling == {
        "name": "doubling", "package": "mtl-doubling", "version": "1.0",
        "adds": "balancer doubling, metric largest_error", "left out": "",
    }  # fmt: skip
    assert plain["adds"] == "trunk plain"
    rows = {
        row["name"]: row for row in json.loads(trained.site.mtl(trained.folder, "list", "balancers", "--json").stdout)
    }
    assert rows["doubling"] == {
        "name": "doubling", "needs": "losses", "cost": "a plain step", "paper": "of the tests",
        "what": "Every task weighs the same, and as much as is asked for",
    }  # fmt: skip
    assert "plain" in trained.site.mtl(trained.folder, "list", "models").stdout
    text = trained.site.mtl(trained.folder, "train", "--help").stdout
    assert "    plain          One linear layer\n" in text and "    doubling       Every task weighs the same" in text


def test_predicting_needs_the_trunks_plugin_but_not_the_balancers(trained: Trained, tmp_path: Path) -> None:
    table = conf_dir().parent / "mtl_cli" / "data" / "builtin" / "winequality-red.csv"
    run = str(trained.folder / "run")
    whole = trained.site.mtl(tmp_path, "predict", run, str(table))
    assert whole.returncode == 0, whole.stderr
    site = Site(tmp_path / "site")
    site.install("mtl_plain", PLAIN, version="0.3")
    done = site.mtl(tmp_path, "predict", run, str(table))
    assert (done.returncode, done.stdout) == (0, whole.stdout)
    assert site.mtl(tmp_path, "evaluate", run).returncode == 0
    done = site.mtl(tmp_path, "predict", run, str(table), plugins=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "mtl predict: error: trunk: 'plain' comes with the package mtl-plain, version 0.3, which is not installed or "
        "was left out; install mtl-plain; `mtl list plugins` shows what there is\n"
    )


def test_what_cannot_be_used_is_named_in_one_line_and_left_out(broken: Site, tmp_path: Path) -> None:
    done = broken.mtl(tmp_path, "list", "plugins", "--json")
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert {name: rows[name]["left out"] for name in BROKEN} == REASONS
    assert {row["adds"] for name, row in rows.items() if name in BROKEN} == {""}
    assert rows["plain"]["adds"] == "trunk plain"
    lines = [f"mtl: plugin {name} (mtl-{name} 1.0) is left out: {REASONS[name]}" for name in sorted(REASONS)]
    assert done.stderr.splitlines() == lines
    assert "undeclared  mtl-undeclared  1.0" in broken.mtl(tmp_path, "list", "plugins").stdout


@pytest.mark.slow
def test_every_command_goes_on_beside_what_is_left_out(broken: Site, tmp_path: Path) -> None:
    done = broken.mtl(tmp_path, "train", *WINE, "balancer=gradnorm", "model=plain")
    assert done.returncode == 0 and len(left_out(done.stderr)) == len(BROKEN), done.stderr
    with (tmp_path / "run" / "gradnorm_weights.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["weight_quality"]) != 2.0  # what the balancer that took the name would give
    table = conf_dir().parent / "mtl_cli" / "data" / "builtin" / "winequality-red.csv"
    for words in (
        ["predict", "run", str(table)], ["evaluate", "run"], ["list", "balancers"], ["list"], ["train", "--help"],
        ["--help"], ["--version"],
    ):  # fmt: skip
        done = broken.mtl(tmp_path, *words)
        assert done.returncode == 0 and done.stdout, words
        assert done.stderr.splitlines()[: len(left_out(done.stderr))] == left_out(done.stderr)
    gradnorm = next(row for row in json.loads(broken.mtl(tmp_path, "list", "balancers", "--json").stdout)
                    if row["name"] == "gradnorm")  # fmt: skip
    assert gradnorm["paper"] == "Chen et al. 2018, arXiv 1711.02257"
    done = broken.mtl(tmp_path, "train", "dataset=wine", "balancer=doubling")
    assert done.returncode == 2 and "balancer: there is no 'doubling'" in done.stderr


def test_of_two_plugins_with_one_name_the_first_is_used(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    site.install("mtl_a", PLAIN)
    site.install("mtl_b", DOUBLING + PLAIN)
    done = site.mtl(tmp_path, "list", "plugins", "--json")
    a, b = json.loads(done.stdout)
    assert a["adds"] == "trunk plain" and b["adds"] == ""
    assert b["left out"] == "trunk 'plain' already exists, in mtl_a"
    assert "doubling" not in site.mtl(tmp_path, "list", "balancers").stdout


def test_files_that_we_read_stay_ours(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    site.install("mtl_aspectra", SPECTRA.replace('(".spectra",)', '(".spectra", ".csv")'))
    site.install(
        "mtl_listed",
        SPECTRA.replace('(".spectra",)', '[".spectra"]').replace('"dataset", "spectra"', '"dataset", "listed"'),
    )
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{i},{i % 3}\n" for i in range(30)))
    done = site.mtl(tmp_path, "config", "show", "dataset=t.csv", "tasks={y: regression}")
    assert done.returncode == 0 and "kind: csv" in done.stdout
    assert done.stderr.splitlines() == [
        "mtl: plugin aspectra (mtl-aspectra 1.0): files ending in .csv stay with dataset=csv; "
        "dataset=spectra dataset.path=FILE reads them",
        "mtl: plugin listed (mtl-listed 1.0) is left out: dataset 'listed': Spectra's suffixes must be a tuple, "
        "such as ('.csv',)",
    ]


def test_a_command_is_run_and_listed(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    site.install("mtl_count", COMMAND)
    site.install("mtl_absent", BROKEN["absent"])
    done = site.mtl(tmp_path, "count", "a", "b", "--c")
    assert (done.returncode, done.stdout) == (0, "3\n") and len(left_out(done.stderr)) == 1
    done = site.mtl(tmp_path, "count")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("\nmtl count: error: WORD: none is given; mtl count a b\n")
    text = site.mtl(tmp_path, "--help").stdout
    assert "\n  count      count the words: mtl count a b\n" in text and "Not more" not in text
    assert "did you mean count?" in site.mtl(tmp_path, "cuont").stderr
    assert "`mtl count --help`" in site.mtl(tmp_path, "help", "count").stderr
    assert site.mtl(tmp_path, "-sc", "query=bash", line="mtl co").stdout.split() == ["compare", "config", "count"]
    assert "unknown command" in site.mtl(tmp_path, "count", plugins=False).stderr


def test_no_plugin_is_imported_for_a_command_of_ours(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    site.install("mtl_absent", BROKEN["absent"])
    assert site.mtl(tmp_path, "help").stderr == site.mtl(tmp_path, "--version").stderr == ""


def test_a_balancer_needs_a_statistic_of_its_own(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    site.install("mtl_first", FIRST_LAYER)
    done = site.mtl(tmp_path, "train", *WINE, "balancer=first_layer", "trainer.batch_size=null")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "run" / "first_layer_weights.csv").open() as file:
        (row,) = csv.DictReader(file)
    for task in ("quality", "is_good"):
        assert float(row[f"weight_{task}"]) == pytest.approx(1 / float(row[f"norm_{task}"]), rel=1e-5)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["gradients"] == "reference"
    rows = json.loads(site.mtl(tmp_path, "list", "balancers", "--json").stdout)
    (listed,) = (one for one in rows if one["name"] == "first_layer")
    assert (listed["needs"], listed["cost"]) == ("first_layer", "+ T gradients, for first_layer")
    other = Site(tmp_path / "other")
    other.install("mtl_first", FIRST_LAYER.replace('"statistic", "first_layer"', '"statistic", "first_layers"'))
    done = other.mtl(tmp_path, "train", *WINE, "balancer=first_layer", "run_dir=again")
    assert (done.returncode, done.stderr) == (
        2,
        "mtl train: error: balancer: first_layer needs 'first_layer', and no statistic has that name; "
        "did you mean first_layers?\n",
    )


@pytest.mark.parametrize("group", SELECTORS)
def test_all_of_ours_are_what_a_plugins_must_be(group: str) -> None:
    assert components(group) or group == "callback", "no callback of ours is chosen in YAML"
    for name, cls in components(group).items():
        assert _fault(group, name, cls) is None


def test_a_name_is_one_that_the_command_line_can_hold() -> None:
    with pytest.raises(RegistrationError, match="a name is of letters, digits, _ and -, and begins with no -"):
        component("metric", "a b")(lambda task, output, values: None)
    assert "a b" not in names("metric")


def test_nothing_but_classes_where_classes_must_be() -> None:
    with pytest.raises(RegistrationError, match="trunk 'made': is not a class"):
        component("trunk", "made")(lambda: None)
    assert set(GROUPS) > set(BASES)


def test_an_undecorated_class_is_named() -> None:
    class Bare(TrunkConfig):
        accepts: ClassVar[tuple[str, ...]] = ("features",)
        width: int = 3

        def build(self, spec: Any) -> Any:
            raise AssertionError

    with pytest.raises(RegistrationError, match="Bare is not a dataclass"):
        component("trunk", "bare")(Bare)


@pytest.mark.parametrize("choices", [[], ["model.sharing=mmoe", "balancer=gradnorm"]])
def test_inputs_of_a_plugins_own_kind_are_trained_on_and_predicted_from(tmp_path: Path, choices: list[str]) -> None:
    site = Site(tmp_path / "site")
    site.install("mtl_spectra", SPECTRA)
    rng = np.random.default_rng(0)
    spectra = rng.normal(size=(60, 2, 20)).astype("float32")
    dose = spectra.mean((1, 2))
    for name, labels in (("s.spectra", {"dose": dose, "toxic": (dose > 0).astype(int)}), ("new.spectra", {})):
        with (tmp_path / name).open("wb") as file:
            np.savez(file, spectra=spectra, **labels)
    words = ["dataset=s.spectra", "model=peaks", "tasks={dose: regression, toxic: binary}", "trainer.epochs=1"]
    done = site.mtl(tmp_path, "train", *words, *choices, "plots=false", "run_dir=run")
    assert done.returncode == 0, done.stderr
    done = site.mtl(tmp_path, "predict", "run", "new.spectra")
    assert done.returncode == 0, done.stderr
    predicted = {row["row"]: row for row in csv.DictReader(done.stdout.splitlines())}
    assert len(predicted) == 60
    with (tmp_path / "run" / "predictions.csv").open() as lines:
        for row in csv.DictReader(lines):
            assert float(row["predicted_dose"]) == pytest.approx(
                float(predicted[row["row"]]["predicted_dose"]), abs=1e-5
            )
    done = site.mtl(tmp_path, "train", "dataset=s.spectra", "tasks={dose: regression}", "plots=false", "run_dir=other")
    assert done.returncode == 2
    assert "reads features or image inputs, but this data set has spectrum inputs; choose model=peaks" in done.stderr


@dataclass(frozen=True, kw_only=True)
class Spectra(DataSource):
    """A data set whose inputs are of a kind of its own."""

    @property
    def input_kind(self) -> str:
        return "spectrum"

    def prepare(self, tasks: Any, notice: Any, like: Any = None) -> Any:
        raise AssertionError

    def restore(self, state: Any) -> Any:
        raise AssertionError


@dataclass(frozen=True, kw_only=True)
class Reads(TrunkConfig):
    """A trunk that reads it."""

    accepts: ClassVar[tuple[str, ...]] = ("spectrum",)

    def build(self, spec: Any) -> Any:
        raise AssertionError


@dataclass(frozen=True, kw_only=True)
class Traces(Spectra):
    """The same, of any length."""

    @property
    def fixed_shape(self) -> bool:
        return False


@dataclass(frozen=True, kw_only=True)
class ReadsShort(Reads):
    """A trunk that reads it up to a length."""

    @property
    def longest(self) -> int:
        return 100


def test_kinds_of_inputs_are_matched_by_name() -> None:
    config = replace(parse(assemble(["dataset=wine", "model.sharing=mmoe"])), dataset=Spectra())
    (problem,) = problems_between(config)
    assert str(problem) == "model.trunk: reads features or image inputs, but this data set has spectrum inputs"
    assert not list(problems_between(replace(config, model=replace(config.model, trunk=Reads()))))
    assert not list(problems_between(replace(config, model=replace(config.model, trunk=ReadsShort()))))
    traces = replace(config, dataset=Traces(), model=replace(config.model, trunk=ReadsShort()))
    assert [str(problem) for problem in problems_between(traces)] == [
        "model.trunk: reads at most 100 tokens of a sequence, and this data set allows any number",
        "model.sharing: mmoe mixes trunks that read rows of one shape, and those of this data set differ in length; "
        "choose from hard, none, soft",
    ]
