"""What `mtl tune` varies: the domains' grammar, keys of components that are chosen, and checks before anything runs."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from mtl_cli.config.assemble import Assembler
from mtl_cli.config.domains import Choice, Integer, Real, read_domain
from mtl_cli.config.errors import UserError
from mtl_cli.config.paths import conf_dir
from mtl_cli.config.space import read_space, with_file

DOMAINS = {
    "log(1e-4,1e-1)": Real(1e-4, 0.1, log=True), "tag(log, interval(1e-4, 1e-1))": Real(1e-4, 0.1, log=True),
    "uniform(0,.5)": Real(0, 0.5), "interval(0,1)": Real(0, 1), "int(1,4)": Integer(1, 4),
    "int(log(8,256))": Integer(8, 256, log=True), "int(interval(1,3))": Integer(1, 3), "range(5)": Integer(0, 4),
    "range(16,129,16)": Integer(16, 128, step=16), "range(0,0.5,0.1)": Real(0, 0.4, step=0.1),
    "choice(a,b)": Choice(("a", "b")), "a,b": Choice(("a", "b")), "choice([64],[128,64])": Choice(("[64]", "[128,64]")),
    "[64,32]": None, "0.1": None, "data(1).csv": None, "{a: b}": None,
}  # fmt: skip


@pytest.mark.parametrize(("text", "domain"), DOMAINS.items())
def test_domains(text: str, domain: object) -> None:
    assert read_domain(text, []) == domain


def test_what_a_range_lists_is_what_hydra_lists() -> None:
    from mtl_cli.config.values import values_of

    for text in ("range(5)", "range(2,9,3)", "range(16,129,16)"):
        domain = read_domain(text, [])
        assert isinstance(domain, Integer)
        assert values_of(text, []) == [str(n) for n in range(domain.low, domain.high + 1, domain.step)]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("log(0,1)", "begins at 0"), ("log(2,1)", "2 is not below 1"), ("uniform(1,1)", "1 is not below 1"),
        ("uniform(a,1)", "'a' is not a number"), ("log(1e-4,nan)", "'nan' is not a number"), ("log(1)", "takes two numbers"),
        ("loguniform(1e-4,1e-1)", "there is no 'loguniform'"), ("lg(1,2)", "there is no 'lg'"),
        ("int(0.5,2)", "not whole numbers"), ("range(1,1)", "has no numbers"), ("range(1,2)", "has one number only"),
        ("range(1,5,-1)", "has no numbers"), ("choice(a)", "leaves nothing to choose"), ("choice(a,a)", "has a twice"),
        ("tag(x,interval(0,1))", "has no meaning"), ("int(log(0,4))", "begins at 0"), ("int(choice(1,2))", "no range inside"),
    ],
)  # fmt: skip
def test_domains_without_a_meaning(text: str, fault: str) -> None:
    with pytest.raises(UserError, match=fault.replace("(", r"\(")):
        read_domain(text, [])


def test_numbers_are_drawn_with_four_digits_and_within_their_bounds() -> None:
    assert Real(1e-4, 0.1, log=True).text(0.00123456) == "0.001235"
    assert Real(0, 0.12344).text(0.12344) == "0.1234" and Real(0.12346, 1).text(0.12346) == "0.1235"
    assert Real(0.12344, 1).text(0.12344) == "0.12344", "rounded, it would lie below the least"


@pytest.fixture(scope="module")
def assembler() -> Assembler:
    return Assembler()


def test_a_key_of_one_choice_is_varied_where_it_is_known(assembler: Assembler) -> None:
    words = [
        "dataset=wine",
        "balancer.alpha=uniform(1,2)",
        "balancer=choice(uniform,gradnorm)",
        "tasks.*.weight=log(.1,10)",
    ]
    space = read_space(words, assembler)
    assert [one.name for one in space.parameters] == [
        "balancer", "balancer.alpha", "tasks.quality.weight", "tasks.is_good.weight",
    ]  # fmt: skip
    alpha = space.parameters[1]
    assert alpha.active({"balancer": "gradnorm"}) and not alpha.active({"balancer": "uniform"})
    assert space.start == {"balancer": "uniform", "tasks.quality.weight": "1.0", "tasks.is_good.weight": "1.0"}
    assert space.words({"balancer": "uniform"}) == ["dataset=wine", "balancer=uniform"]


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ([], "space: is empty"),
        (["optimizer.lrr=log(1e-4,1)"], "optimizer.lrr: unknown key; did you mean optimizer.lr?"),
        (["optimizer.lr=uniform(-1,1)"], "optimizer.lr: must be above 0, not -1"),
        (["model.trunk.dropout=uniform(0,2)"], "model.trunk.dropout: must be below 1, not 2"),
        (["balancer=choice(uniform,nope)"], "balancer: there is no 'nope'"),
        (
            ["balancer=choice(uniform,uw)", "balancer.alpha=uniform(0,1)"],
            "balancer.alpha: is a key of none of uniform, uw",
        ),
        (
            ["model.trunk.hidden=[]", "balancer=uniform,gradnorm"],
            "balancer=gradnorm needs a shared layer (with balancer=gradnorm)",
        ),
        (["seed=range(3)"], "seed: is the same in all trials"),
        (["dataset.split.seed=range(3)"], "dataset.split.seed: is the same in all trials"),
        (["tasks.quality.kind=choice(regression,ordinal)"], "tasks.quality.kind: is the same in all trials"),
        (["optimizer.lr=log(1e-4,1)", "optimizer.lr=0.1"], "optimizer.lr: both has a value and is varied"),
        (["optimizer.lr=log(1e-4,1)", "optimizer.lr=log(1e-3,1)"], "optimizer.lr: is given twice"),
    ],
)
def test_what_is_found_before_anything_runs(words: list[str], fault: str, assembler: Assembler) -> None:
    with pytest.raises(UserError) as caught:
        read_space(["dataset=wine", *words], assembler)
    assert fault in str(caught.value) and len(caught.value.problems) == 1


@pytest.mark.parametrize("file", sorted((conf_dir() / "tune").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_space_opens_with_a_command_that_composes(file: Path, assembler: Assembler) -> None:
    first, second = file.read_text().splitlines()[:2]
    assert first.startswith("# mtl tune ") and second.startswith("# ")
    words = shlex.split(first.removeprefix("# mtl tune "))
    assert f"tune={file.stem}" in words
    rest = [word for word in words if not word.startswith(("tune=", "trials="))]
    assert read_space(with_file(rest, file.stem, assembler.folders), assembler).parameters


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("optimizer.lr: log(1e-4,1e-1)\nmodel.trunk.dropout: uniform(0,0.5)\ntrainer.epochs: 3\n")
    words = with_file(["dataset=wine", "optimizer.lr=0.1"], str(file), [])
    assert words == ["model.trunk.dropout=uniform(0,0.5)", "trainer.epochs=3", "dataset=wine", "optimizer.lr=0.1"]
    file.write_text("optimizer: {lr: 3}\n")
    with pytest.raises(UserError, match=r"in .*mine.yaml: must be a value"):
        with_file([], str(file), [])
