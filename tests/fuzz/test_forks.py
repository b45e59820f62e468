"""Small samples of fuzzers that fork: `python -m tests.fuzz.NAME N SEED` is more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import binary, configs, disks, forks, runs


@pytest.mark.parametrize(
    ("check", "count", "before"),
    [
        (configs.check, 25, configs.keys),
        (runs.check, 15, runs.whole),
        (binary.check, 15, binary.originals),
        (disks.check, 2, runs.whole),
    ],
    ids=["configs", "runs", "binary", "disks"],
)
def test_a_sample_ends_well_or_in_a_line(check, before, count: int) -> None:  # type: ignore[no-untyped-def]
    went, wrong = forks.sample(check, 11, count, before)
    assert wrong == []
    assert sum(went.values()) == count


def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    def writes() -> int:
        raise ValueError("a bug")

    def grows() -> int:
        return len(bytearray(4 * 2**30))

    def hangs() -> int:
        while True:
            pass

    assert "a traceback" in str(forks.forked(writes, tmp_path).fault())
    assert "MemoryError" in str(forks.forked(grows, tmp_path).fault())
    assert "status -" in str(forks.forked(hangs, tmp_path, cpu=1).fault())
    assert "status 2 without a line" in str(forks.forked(lambda: 2, tmp_path).fault())
    assert forks.forked(lambda: 0, tmp_path).fault() is None
