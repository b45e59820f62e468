"""`mtl pack` and `mtl card`."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import InProcess, houses


@pytest.fixture
def packed(mtl: InProcess, houses_run: Path) -> Path:
    status, out, err = mtl("pack", str(houses_run), "-o", "houses.zip")
    assert (status, out) == (0, "houses.zip\n"), err
    return Path("houses.zip")


def test_a_zip_predicts_as_the_run_and_names_no_rows(mtl: InProcess, houses_run: Path, packed: Path) -> None:
    houses(30, 4).to_csv("new.csv", index=False)
    theirs = pd.read_csv(io.StringIO(mtl("predict", "houses.zip", "new.csv")[1]))
    pd.testing.assert_frame_equal(theirs, pd.read_csv(io.StringIO(mtl("predict", str(houses_run), "new.csv")[1])))
    with zipfile.ZipFile(packed) as file:
        names = file.namelist()
        sums = dict(reversed(line.split("  ")) for line in file.read("SHA256SUMS").decode().splitlines())
        assert set(names) == {
            "README.md", "mtl_model.pt", "config.yaml", "metrics.json", "run.json", "mtl_history.csv",
            "pcgrad_weights.csv", "SHA256SUMS",
        }  # fmt: skip
        assert {name: hashlib.sha256(file.read(name)).hexdigest() for name in sums} == sums
        assert set(sums) == set(names) - {"SHA256SUMS"}
        card = file.read("README.md").decode()
    assert mtl("card", "houses.zip")[1] == card == mtl("card", str(houses_run))[1]
    assert mtl("inspect", "houses.zip", "--format=json")[0] == 0
    status, out, err = mtl("explain", "houses.zip", "new.csv", "--repeats=1")
    assert status == 0 and "area" in out, err
    status, _, err = mtl("pack", str(houses_run), "--rows", "-o", "all.zip")
    assert status == 0 and {"splits.csv", "predictions.csv"} <= set(zipfile.ZipFile("all.zip").namelist())


def test_a_report_of_a_zip(mtl: InProcess, packed: Path) -> None:
    status, _, err = mtl("report", "houses.zip", "-o", "houses.html")
    page = Path("houses.html").read_text()
    assert status == 0 and "not made again: its test rows cannot be read again" in err, err
    assert "houses.zip" in page and "tmp/tmp" not in page


def test_a_run_makes_the_same_zip_twice(mtl: InProcess, houses_run: Path, packed: Path) -> None:
    assert mtl("pack", str(houses_run), "-o", "again.zip")[0] == 0
    assert Path("again.zip").read_bytes() == packed.read_bytes()


def test_the_card_says_what_the_run_knows(mtl: InProcess, houses_run: Path) -> None:
    card = mtl("card", str(houses_run))[1]
    assert card.startswith("---\nlicense: CC-BY-4.0\n")
    for text in (
        "# Model of price, sold, kind, tags", "| sold | binary | 2 labels: no, yes |", "## Intended use", "## Limits",
        "168 train, 24 val, 48 test", "| area | numeric |", "- `houses.csv`, fingerprint", "balancer pcgrad",
        "kind: 'flat' has 12 test rows.",
    ):  # fmt: skip
        assert text in card, text
    assert str(houses_run.parent / "houses.csv") not in card.partition("## Training")[0]


def test_a_changed_or_foreign_zip_is_refused(mtl: InProcess, packed: Path) -> None:
    with zipfile.ZipFile(packed) as file:
        contents = {name: file.read(name) for name in file.namelist()}
    changed = bytearray(contents["mtl_model.pt"])
    changed[len(changed) // 2] ^= 1
    cases = {
        "changed.zip": contents | {"mtl_model.pt": bytes(changed)},
        "empty.zip": {"x.txt": b""},
        "bomb.zip": contents | {"mtl_model.pt": bytes(50_000_000)},
    }
    for name, files in cases.items():
        with zipfile.ZipFile(name, "w", zipfile.ZIP_DEFLATED) as file:
            for key, data in files.items():
                file.writestr(key, data)
    Path("text.zip").write_text("no zip")
    messages = {
        "changed.zip": "its mtl_model.pt is not the one that SHA256SUMS lists", "empty.zip": "holds no mtl_model.pt",
        "bomb.zip": "would be unpacked to 50,000,000 bytes", "text.zip": "is not a zip file",
    }  # fmt: skip
    houses(5).to_csv("new.csv", index=False)
    for name, message in messages.items():
        status, out, err = mtl("predict", name, "new.csv")
        assert (status, out) == (2, "") and err.count("\n") == 1 and message in err, err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pack", "nowhere"], "nowhere: there is no such run"), (["pack", "RUN", "-o", "x.tar"], "-o x.tar.zip"),
        (["pack", "RUN", "-o", "there.zip"], "there.zip: already exists"),
        (["card", "RUN", "-o", "no/x.md"], "no/x.md: its folder does not exist"),
        (["pack", "RUN/mtl_model.pt"], "is not the folder of a run"),
        (["card", "RUN", "--outptu=x"], "did you mean --output?"),
        (["evaluate", "houses.zip"], "its test rows cannot be read"),
    ],
)  # fmt: skip
def test_what_is_refused_in_one_line(
    mtl: InProcess, houses_run: Path, packed: Path, words: list[str], message: str
) -> None:
    Path("there.zip").write_text("")
    status, _, err = mtl(*(word.replace("RUN", str(houses_run)) for word in words))
    assert status == 2 and err.count("\n") == 1 and message in err, err
