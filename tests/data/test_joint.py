"""Joined data sets: what a step takes of each, and rows that stay in the order of their data sets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_cli.config.errors import UserError
from mtl_cli.data.inputs import DenseRows, InputSpec
from mtl_cli.data.joint.reader import join_specs
from mtl_cli.data.joint.rows import JointOrder, JointRows, Sampling
from mtl_cli.data.sequences.rows import TokenRows

CPU = torch.device("cpu")
SCHEMES = ("cycle", "proportional", "balanced", "temperature")


def order(scheme: str, rows: list[int], batch_size: int, smallest: int = 1, temperature: float = 2.0) -> JointOrder:
    return JointOrder(Sampling(scheme, temperature), rows, batch_size, smallest, 0, CPU)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("scheme", "temperature", "quotas", "steps"),
    [
        ("cycle", 2.0, [900, 900], 15),
        ("proportional", 2.0, [900, 100], 9),
        ("balanced", 2.0, [500, 500], 9),
        ("temperature", 2.0, [750, 250], 9),  # √900 : √100 is 3 : 1
        ("temperature", 1.0, [900, 100], 9),
        ("temperature", 1e9, [500, 500], 9),
    ],
)
def test_what_an_epoch_takes(scheme: str, temperature: float, quotas: list[int], steps: int) -> None:
    found = order(scheme, [900, 100], 60, temperature=temperature)
    assert found.quotas == quotas
    assert len(found) == len(list(found)) == steps, "⌈900 / 60⌉, or ⌈1000 / (2 · 60)⌉"
    assert [sum(sizes) for sizes in found.sizes] == quotas


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    st.sampled_from(SCHEMES),
    st.lists(st.integers(0, 70), min_size=1, max_size=4).filter(any),
    st.integers(1, 20),
    st.integers(1, 2),
)
def test_every_step_is_a_fair_piece(scheme: str, rows: list[int], batch_size: int, smallest: int) -> None:
    found = order(scheme, rows, batch_size, smallest)
    steps = list(found)
    first = np.cumsum([0, *rows])
    taken: list[list[int]] = [[] for _ in rows]
    for step in steps:
        assert sum(map(len, step)) >= min(smallest, sum(found.quotas))
        for i, numbers in enumerate(step):
            assert ((numbers >= first[i]) & (numbers < first[i + 1])).all(), "numbers of this data set"
            taken[i] += numbers.tolist()
    for i, count in enumerate(rows):
        assert len(taken[i]) == found.quotas[i]
        times = np.bincount(np.array(taken[i], dtype=int) - first[i], minlength=count)[:count]
        assert count == 0 or times.max() - times.min() <= 1, "no row twice before all were there"
        sizes = [len(step[i]) for step in steps]
        assert max(sizes) - min(sizes) <= 1, "spread evenly"
        if scheme == "proportional":
            assert found.quotas[i] == count


def test_cycle_has_as_many_of_each_in_every_step() -> None:
    for step in order("cycle", [100, 30, 7], 16):
        assert len({len(numbers) for numbers in step}) == 1


def test_the_seed_fixes_the_order_and_epochs_differ() -> None:
    one, two = order("cycle", [20, 10], 5), order("cycle", [20, 10], 5)
    first = [torch.cat(step).tolist() for step in one]
    assert first == [torch.cat(step).tolist() for step in two]
    assert first != [torch.cat(step).tolist() for step in one]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_sequences_of_like_lengths_stay_together(scheme: str) -> None:
    """Steps have as many rows as without, every row is there as often, and less padding is read."""
    random, counts = np.random.default_rng(0), [1000, 333]
    lengths = [np.minimum(random.lognormal(5, 0.7, n).astype("int64") + 1, 1000) for n in counts]
    parts = [TokenRows(torch.ones(int(of.sum()), dtype=torch.uint8), of) for of in lengths]
    sampling = Sampling(scheme)  # type: ignore[arg-type]
    own = JointRows(parts, False, sampling).order(32, 1, 0, CPU)
    shuffled = JointOrder(sampling, counts, 32, 1, 0, CPU)
    every, padded = np.concatenate(lengths), {}
    for name, order in (("own", own), ("shuffled", shuffled)):
        steps = list(order)
        assert [[len(numbers) for numbers in step] for step in steps] == list(map(list, zip(*own.sizes, strict=True)))
        times = np.bincount(torch.cat([torch.cat(step) for step in steps]), minlength=sum(counts))
        assert np.ptp(times[:1000]) <= 1 and np.ptp(times[1000:]) <= 1
        places = sum(len(numbers) * every[numbers].max() for step in steps for numbers in step)
        padded[name] = places / (times @ every)
    assert padded["own"] < 0.7 * padded["shuffled"]


def joined(together: bool) -> tuple[JointRows, np.ndarray]:
    parts = [np.arange(10, dtype="float32").reshape(5, 2), np.arange(100, 106, dtype="float32").reshape(3, 2)]
    return JointRows([DenseRows(part) for part in parts], together, Sampling()), np.concatenate(parts)


def test_rows_of_alike_inputs_are_one_tensor() -> None:
    rows, values = joined(together=True)
    assert len(rows) == 8
    for chosen in (slice(None), slice(0, 3), slice(2, 7), slice(6, 8), slice(0, 0)):
        assert np.array_equal(rows.take(chosen), values[chosen])
    for step in rows.order(2, 1, 0, CPU):
        assert np.array_equal(rows.take(step), values[torch.cat(step)])
    keep = np.array([True, False] * 4)
    assert np.array_equal(rows.select(keep).take(slice(None)), values[keep])
    assert np.array_equal(rows.select(np.array([4, 0, 7])).take(slice(None)), values[[4, 0, 7]])
    with pytest.raises(ValueError, match="in the order of their data sets"):
        rows.select(np.array([7, 0]))


def test_rows_of_other_inputs_stay_apart() -> None:
    rows, values = joined(together=False)
    first, second = rows.take(slice(3, 6))
    assert np.array_equal(first, values[3:5])
    assert np.array_equal(second, values[5:6])
    first, second = rows.take((torch.tensor([1, 0]), torch.tensor([7])))
    assert np.array_equal(first, values[[1, 0]])
    assert np.array_equal(second, values[[7]])


def test_what_a_network_reads_of_joined_data() -> None:
    image = InputSpec("image", (1, 8, 8), center=[10.0], scale=[2.0])
    other = InputSpec("image", (1, 8, 8), center=[40.0], scale=[6.0])
    found = join_specs({"a": image, "b": other}, [300, 100])
    values = np.concatenate([[8, 12] * 150, [34, 46] * 50])  # of these means and deviations
    assert found.center == pytest.approx([values.mean()])
    assert found.scale == pytest.approx([values.std()])
    with pytest.raises(UserError, match=r"a gives images of 1 × 8 × 8, b of 3 × 8 × 8: they have no common trunk"):
        join_specs({"a": image, "b": InputSpec("image", (3, 8, 8))}, [1, 1])
    table, same = InputSpec("features", (2,), ["x", "y"]), InputSpec("features", (2,), ["x", "y"])
    assert join_specs({"a": table, "b": same}, [1, 1]) == table
    wider = InputSpec("features", (3,), ["x", "y", "z"])
    assert join_specs({"a": table, "b": wider}, [1, 1]) == InputSpec("joint", (), parts={"a": table, "b": wider})
    words = InputSpec("sequence", (4,), list("abcd"))
    with pytest.raises(UserError, match="sequences over different tokens"):
        join_specs({"a": words, "b": InputSpec("sequence", (4,), list("abce"))}, [1, 1])
