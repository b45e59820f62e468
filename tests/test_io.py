"""Files at the lowest level: read and unpacked within bounds."""

from __future__ import annotations

import gzip
from io import BytesIO
from pathlib import Path

import pytest

from mtl_cli.io import DamagedFile, read_within, unpack, unpack_first, user_cache


def test_a_stream_is_read_within_its_bound() -> None:
    received: list[int] = []
    assert read_within(BytesIO(b"x" * 10), 10, 4, received.append) == b"x" * 10
    assert received == [4, 8, 10]
    with pytest.raises(DamagedFile, match="is longer than it must be"):
        read_within(BytesIO(b"x" * 11), 10, 4, received.append)


def test_a_gzip_file_is_unpacked_within_its_bound() -> None:
    packed = gzip.compress(b"abcdef")
    assert unpack(packed, 6) == unpack(b"abcdef", 6) == b"abcdef"
    assert unpack_first(packed, 2) == unpack_first(b"abcdef", 2) == b"ab"
    with pytest.raises(DamagedFile, match="more than 5 bytes once unpacked"):
        unpack(packed, 5)


@pytest.mark.parametrize(
    ("damage", "what"),
    [(lambda data: data[:-9], "the gzip stream has no end"), (lambda data: data[:-5] + b"abcde", "damaged gzip file")],
)
def test_damage_is_said_with_a_hint(damage, what: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DamagedFile, match=what) as error:
        unpack(damage(gzip.compress(bytes(range(256)) * 50)), 10**6)
    assert error.value.hint == "copy or fetch the file again"


def test_the_cache_is_where_the_user_keeps_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "mtl"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert user_cache() == Path.home() / ".cache" / "mtl"
