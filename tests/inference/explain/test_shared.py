"""What tasks share."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from mtl_cli.inference.explain.rows import Explained
from mtl_cli.inference.explain.shared import cka, gradient_cosines, shared
from mtl_cli.inference.members import Member


def test_cka_is_one_up_to_rotation_and_scale_and_small_for_unrelated_rows() -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(2000, 6, generator=random)
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=random)).Q
    assert cka(x, 3 * x @ rotation + 5) == pytest.approx(1)
    assert cka(x, torch.randn(2000, 6, generator=random)) < 0.02
    y = torch.cat([x[:, :3], torch.randn(2000, 3, generator=random)], 1)
    k, m = ((z - z.mean(0)).double() @ (z - z.mean(0)).double().T for z in (x, y))
    assert cka(x, y) == pytest.approx(float((k * m).sum() / (torch.linalg.norm(k) * torch.linalg.norm(m))), rel=1e-6)


def test_tasks_of_different_columns_lose_little_and_a_copy_loses_all(planted_rows: Explained) -> None:
    found = {(pair.first, pair.second): pair for pair in shared(planted_rows, None)}
    assert found.keys() == {("price", "sold"), ("price", "rent"), ("sold", "rent")}
    assert all(pair.one_representation and pair.cka == pytest.approx(1) for pair in found.values())
    assert found["price", "rent"].cka_outputs < 0.1
    assert math.isnan(found["price", "sold"].early)
    (member,) = planted_rows.model.members
    heads = member.network.heads
    before = heads["rent"].weight.data.clone()
    try:
        heads["rent"].weight.data.copy_(heads["price"].weight.data)  # both now read the same direction
        same = {(p.first, p.second): p for p in shared(planted_rows, None)}["price", "rent"]
    finally:
        heads["rent"].weight.data.copy_(before)
    assert isinstance(member, Member)
    assert same.first_loses == pytest.approx(0.97, abs=0.06)  # all of its skill: the mean remains
    assert found["price", "rent"].first_loses < 0.6 * same.first_loses
    assert abs(found["price", "rent"].first_random) < 0.3


def test_cosines_are_the_means_of_the_thirds_of_the_weights_file(planted_run: Path, tmp_path: Path) -> None:
    file = tmp_path / "pcgrad_weights.csv"
    file.write_text("epoch,step,cosine_a_b\n1,1,0.5\n2,2,-0.5\n3,3,0.1\n4,4,\n5,5,0.2\n6,6,0.4\n")
    early, middle, late = gradient_cosines(file, ["a", "b"])["a", "b"]
    assert (early, middle, late) == (pytest.approx(0.0), pytest.approx(0.1), pytest.approx(0.3))
    real = gradient_cosines(planted_run / "pcgrad_weights.csv", ["price", "sold", "rent"])
    assert len(real) == 3 and all(-1 <= value <= 1 for means in real.values() for value in means)
    assert gradient_cosines(file, ["a", "c"]) == {}
