"""The data sets that can be fetched: their files, what they must hold, and where they are to be had."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from mtl_cli.config.errors import UserError
from mtl_cli.data.images.files import find_file
from mtl_cli.io import DamagedFile, atomic, naming, read_within, unpack

FILES = {
    "mnist": {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    "fashion": {
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
}
"""By folder: the SHA-256 of each file once it is unpacked."""

MIRRORS = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        "https://storage.googleapis.com/cvdf-datasets/mnist",
    ),
    "fashion": (
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    ),
}
"""By folder: where its files lie, gzipped; tried in this order."""

DATASETS = {
    "mnist": ("mnist",),
    "fashion": ("fashion",),
    "mnist_fashion": ("mnist", "fashion"),
    "multi_mnist": ("mnist",),
}
"""By data set: the folders it needs."""

COME_ALONG = ("digits", "wine")
"""Data sets that need no file but those that are installed."""

SECONDS = 30.0
"""How long to wait for an answer."""

BLOCK = 2**16
LARGEST = 2**26
"""No file is longer than this, in bytes, packed or unpacked; a longer answer is something else."""

Progress = Callable[[str, int, int | None], None]
"""Takes a file's name, the bytes received, and how many there are, if the server says."""


def fetch(
    name: str, root: Path, mirrors: Sequence[str] | None, progress: Progress, notice: Callable[[str], None]
) -> list[Path]:
    """Download a data set's files; those that are there already, and right, are left as they are.

    Parameters
    ----------
    name : str
        One of ``DATASETS``.
    root : Path
        Gets a folder for each of the data set's parts.
    mirrors : sequence of str, optional
        Addresses in place of ``MIRRORS``, each with those folders below it.
    progress : callable
    notice : callable
        Takes a line that the user should see.

    Returns
    -------
    list of Path
        All files of the data set.

    Raises
    ------
    UserError
        If no mirror has a file as it must be, or it cannot be written. A file is written whole or not at all.
    """
    found = []
    for folder in DATASETS[name]:
        bases = MIRRORS[folder] if mirrors is None else [f"{mirror.rstrip('/')}/{folder}" for mirror in mirrors]
        for file, digest in FILES[folder].items():
            target = root / folder / f"{file}.gz"
            there = find_file(file, [root / folder])
            if there is not None and _is_right(there, digest):
                found.append(there)
                notice(f"{there} already exists")
                continue
            data = _from_mirrors(file, bases, digest, target, progress, notice)
            try:
                with naming(target):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    atomic(target, lambda path, data=data: path.write_bytes(data))  # type: ignore[misc]
            except OSError as error:
                raise UserError(str(target), str(error.strerror), "give --root=FOLDER") from error
            found.append(target)
    return found


def _is_right(file: Path, digest: str) -> bool:
    try:
        return hashlib.sha256(unpack(file.read_bytes(), LARGEST)).hexdigest() == digest
    except (OSError, DamagedFile):
        return False


def _from_mirrors(
    file: str, bases: Sequence[str], digest: str, target: Path, progress: Progress, notice: Callable[[str], None]
) -> bytes:
    """Return a file's bytes, gzipped, from the first mirror that has them as they must be."""
    faults = []
    for base in bases:
        address = f"{base}/{file}.gz"
        try:
            data = _download(address, progress)
            if hashlib.sha256(unpack(data, LARGEST)).hexdigest() == digest:
                return data
            faults.append(f"{address} is another file than it must be (SHA-256)")
        except DamagedFile as error:
            faults.append(f"{address} {error.what}")
        except urllib.error.URLError as error:
            faults.append(f"{address} cannot be read: {error.reason}")
        except (OSError, ValueError, http.client.HTTPException) as error:
            faults.append(f"{address} cannot be read: {error}")
    for fault in faults[:-1]:
        notice(fault)
    hint = f"try again with a network, or put {file}.gz into {target.parent} yourself"
    raise UserError("data fetch", faults[-1] if faults else "no mirror is given", hint)


def _download(address: str, progress: Progress) -> bytes:
    with urllib.request.urlopen(address, timeout=SECONDS) as answer:
        length = answer.headers.get("Content-Length")
        total = int(length) if length and length.isdigit() else None
        name = "/".join(address.rsplit("/", 2)[1:])
        progress(name, 0, total)
        data = read_within(answer, LARGEST, BLOCK, lambda received: progress(name, received, total))
    if total is not None and len(data) != total:
        raise DamagedFile(f"is cut off: {len(data)} of {total} bytes came")
    return data
