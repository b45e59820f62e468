"""`mtl data fetch` against a server of our own: right files are kept, wrong ones leave nothing."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtl_cli.data.images import downloads
from tests.conftest import Command, InProcess
from tests.images import bars, write_idx

PAIRS = {"mnist": (bars(40, 3, 0), bars(10, 3, 1)), "fashion": (bars(30, 3, 2), bars(10, 3, 3))}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server of small files in place of the real ones, with their checksums."""
    monkeypatch.delenv("MTL_DATA_ROOT", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    known: dict[str, dict[str, str]] = {}
    for name, (train, test) in PAIRS.items():
        folder = tmp_path / "served" / name
        write_idx(folder, train, test)
        known[name] = {}
        for file in list(folder.iterdir()):
            data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
            known[name][file.name.removesuffix(".gz")] = hashlib.sha256(data).hexdigest()
            file.unlink()
            (folder / f"{file.name.removesuffix('.gz')}.gz").write_bytes(gzip.compress(data))
    monkeypatch.setattr(downloads, "FILES", known)

    def handler(*arguments: object) -> Quiet:
        return Quiet(*arguments, directory=str(tmp_path / "served"))  # type: ignore[arg-type]

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)  # type: ignore[arg-type]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def files(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def test_what_is_fetched_is_trained_on(mtl: InProcess, mirror: str, tmp_path: Path) -> None:
    status, out, err = mtl("train", "dataset=mnist_fashion", "model=cnn")
    assert status == 2
    assert err.startswith("mtl train: error: dataset.root: there is no train-images-idx3-ubyte, .gz or not, in ")
    assert err.endswith("; `mtl data fetch mnist_fashion` downloads what is missing\n")
    status, out, err = mtl("data", "fetch", "mnist_fashion", "--mirror", mirror)
    assert status == 0, err
    assert len(out.splitlines()) == 8
    assert all(Path(line).is_file() for line in out.splitlines())
    assert "mnist/train-images-idx3-ubyte.gz" in err
    assert files(tmp_path / "cache" / "mtl") == sorted(f"{n}/{f}.gz" for n in PAIRS for f in downloads.FILES[n])
    status, _, err = mtl(
        "train", "dataset=mnist_fashion", "model=cnn", "model.trunk.channels=[4]", "trainer.epochs=1", "plots=false"
    )
    assert status == 0, err
    served = tmp_path / "served" / "mnist" / "train-images-idx3-ubyte.gz"
    served.unlink()
    status, _, err = mtl("data", "fetch", "mnist", "--mirror", mirror)
    assert status == 0
    assert err.count("already exists") == 4


def test_a_list_of_mirrors_is_tried_in_order(
    mtl: InProcess, mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MTL_DATA_MIRRORS", f"{mirror}/nothing_here {mirror}/")
    status, _, err = mtl("data", "fetch", "fashion", "--root", "own")
    assert status == 0, err
    assert len(files(tmp_path / "own")) == 4


def spoil(kind: str, file: Path) -> None:
    good = file.read_bytes()
    bad = {
        "another file": gzip.compress(b"something else"),
        "a page": b"<html>not found</html>",
        "cut off": good[:-20],
        "a bomb": gzip.compress(bytes(downloads.LARGEST + 1)),
    }
    if kind == "missing":
        file.unlink()
    else:
        file.write_bytes(bad[kind])


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("another file", "is another file than it must be (SHA-256)"),
        ("a page", "is another file than it must be (SHA-256)"),
        ("cut off", "is cut off: the gzip stream has no end"),
        ("a bomb", f"is longer than it must be: more than {downloads.LARGEST} bytes once unpacked"),
        ("missing", "cannot be read: "),
    ],
)
def test_a_wrong_file_leaves_nothing(mtl: InProcess, mirror: str, tmp_path: Path, kind: str, what: str) -> None:
    spoil(kind, tmp_path / "served" / "mnist" / "train-images-idx3-ubyte.gz")
    status, out, err = mtl("data", "fetch", "mnist", "--mirror", mirror, "--root", "own")
    assert (status, out) == (2, "")
    last = err.splitlines()[-1]
    assert last.startswith(f"mtl data: error: data fetch: {mirror}/mnist/train-images-idx3-ubyte.gz {what}")
    assert last.endswith(f"put train-images-idx3-ubyte.gz into {Path('own/mnist')} yourself")
    assert not [file for file in files(tmp_path / "own") if "train-images" in file]


def test_a_wrong_file_that_is_there_is_replaced(mtl: InProcess, mirror: str, tmp_path: Path) -> None:
    target = tmp_path / "own" / "mnist" / "train-labels-idx1-ubyte.gz"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"half")
    status, _, err = mtl("data", "fetch", "mnist", "--mirror", mirror, "--root", "own")
    assert status == 0, err
    assert target.read_bytes() == (tmp_path / "served" / "mnist" / target.name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fetch", "mnsit"], "mnsit: cannot be fetched; did you mean mnist?"),
        (["fetch", "digits"], "digits: is shipped with mtl and need not be fetched; mtl train dataset=digits"),
        (["fetsh", "mnist"], "fetsh: there is no such action; mtl data fetch NAME"),
        (["fetch", "mnist", "--mirror", "http://127.0.0.1:9"], "data fetch: http://127.0.0.1:9/mnist/train-images-idx3-ubyte.gz cannot be read: "),
        (["fetch", "mnist", "--mirror", "nonsense"], "data fetch: nonsense/mnist/train-images-idx3-ubyte.gz cannot be read: unknown url type"),
        (["fetch", "mnist", "--root", "file/below"], "data fetch: "),
    ],
)  # fmt: skip
def test_bad_input(
    mtl: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("MTL_DATA_MIRRORS", "http://127.0.0.1:9")
    monkeypatch.delenv("MTL_DATA_ROOT", raising=False)
    (tmp_path / "file").write_text("")
    status, out, err = mtl("data", *arguments)
    assert (status, out) == (2, "")
    assert err.splitlines()[-1].startswith(f"mtl data: error: {message}")
    assert files(tmp_path) == ["file"]


def test_a_folder_that_cannot_be_written(mtl: InProcess, mirror: str) -> None:
    Path("file").write_text("")
    status, _, err = mtl("data", "fetch", "mnist", "--mirror", mirror, "--root", "file")
    assert status == 2
    assert err.splitlines()[-1].count("cannot be written") == 1


def test_help_and_completion(mtl: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    _, out, _ = mtl("--help")
    assert "mtl data fetch mnist_fashion" in out
    status, out, _ = mtl("data", "--help")
    assert status == 0
    assert "multi_mnist" in out
    for line, names in {
        "mtl da": "data",
        "mtl data ": "fetch",
        "mtl data fetch m": "mnist\nmnist_fashion\nmulti_mnist",
    }.items():
        monkeypatch.setenv("COMP_LINE", line)
        monkeypatch.setenv("COMP_POINT", str(len(line)))
        assert mtl("-sc", "query=bash")[1].strip() == names


def test_the_installed_command_is_quiet_until_asked(command: Command, tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "MTL_DATA_ROOT": ""}
    done = command("train", "dataset=mnist", "model=cnn", env=environment)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_real_checksums_are_those_of_the_real_files() -> None:
    """Where they are at hand."""
    root = os.environ.get("MTL_DATA_ROOT")
    if not root or not (Path(root) / "mnist").is_dir():
        pytest.skip("MTL_DATA_ROOT does not point at a folder with mnist and fashion")
    for folder, names in downloads.FILES.items():
        for name, digest in names.items():
            file = downloads.find_file(name, [Path(root) / folder])
            assert file is not None
            assert downloads._is_right(file, digest), name
