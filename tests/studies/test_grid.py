"""What -m means: the combinations of values."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_cli.config.paths import conf_dir, options
from mtl_cli.studies.grid import combinations

FOLDERS = [conf_dir()]


def jobs(*words: str) -> list[list[str]]:
    found, problems = combinations(list(words), FOLDERS)
    assert problems == []
    return found


def test_every_combination_the_last_fastest() -> None:
    assert jobs("dataset=wine", "balancer=uniform,uw", "seed=0,1") == [
        ["dataset=wine", "balancer=uniform", "seed=0"],
        ["dataset=wine", "balancer=uniform", "seed=1"],
        ["dataset=wine", "balancer=uw", "seed=0"],
        ["dataset=wine", "balancer=uw", "seed=1"],
    ]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("seed=range(3)", ["seed=0", "seed=1", "seed=2"]),
        ("seed=range(1,6,2)", ["seed=1", "seed=3", "seed=5"]),
        ("seed=choice(4,2)", ["seed=4", "seed=2"]),
        ("seed=sort(4,2)", ["seed=2", "seed=4"]),
        ("model.trunk.hidden=[64],[64,32]", ["model.trunk.hidden=[64]", "model.trunk.hidden=[64,32]"]),
        ("model.trunk.hidden=[64,32]", ["model.trunk.hidden=[64,32]"]),
        ("tasks={a: binary},{b: binary}", ["tasks={a:binary}", "tasks={b:binary}"]),
        ("tasks={größe: binary},{価格: binary}", ["tasks={größe: binary}", "tasks={価格: binary}"]),
        ("dataset=größe.csv,data(1).csv", ["dataset=größe.csv", "dataset=data(1).csv"]),
        ("dataset='a,b.csv'", ["dataset='a,b.csv'"]),
        ("dataset=a b.csv,t.csv", ["dataset=a b.csv", "dataset=t.csv"]),
        ("dataset=x\\,y.csv,'c,d.csv'", ["dataset=x,y.csv", "dataset='c,d.csv'"]),
        ("run_dir=x\\,y,z", ["run_dir=x\\,y", "run_dir=z"]),
        (f"{'k' * 300}=1,2", [f"{'k' * 300}=1", f"{'k' * 300}=2"]),
        ("tasks.größe.weight=1,2", ["tasks.größe.weight=1", "tasks.größe.weight=2"]),
        ("balancer=glob(u*,exclude=up*)", ["balancer=uniform", "balancer=uw"]),
        ("~tasks.a", ["~tasks.a"]),
        ("seed=", ["seed="]),
    ],
)
def test_values_of_one_key(word: str, expected: list[str]) -> None:
    assert jobs(word) == [[value] for value in expected]


def test_glob_is_every_file_of_a_group() -> None:
    assert jobs("model.sharing=glob(*)") == [[f"model.sharing={name}"] for name in options("model/sharing", FOLDERS)]


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("seed=interval(0,1)", "seed: interval(0,1) is an interval, not a list of values"),
        ("balancer=glob(x*)", "balancer: glob(x*) chooses nothing; choose from aligned_mtl, "),
        ("seed=glob(*)", "seed: glob(*) chooses nothing"),
        ("seed=range(1,2),5", "seed: range(1,2),5 is not a list of values; for example range(1,10) or 0.1,0.5"),
        ("seed=0,1,0", "seed: has the value 0 twice"),
        ("dataset=digits,wine", "dataset: is given twice, and several values; leave one of them out"),
    ],
)
def test_what_is_no_list(word: str, line: str) -> None:
    _, problems = combinations(["dataset=wine", word], FOLDERS)
    assert [str(problem)[: len(line)] for problem in problems] == [line]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True), min_size=1, max_size=4))
def test_it_is_the_product(values: list[list[int]]) -> None:
    words = [f"k{i}={','.join(map(str, options))}" for i, options in enumerate(values)]
    expected = [[f"k{i}={v}" for i, v in enumerate(row)] for row in itertools.product(*values)]
    assert jobs(*words) == expected
