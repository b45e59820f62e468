"""Proteins that are wrong: exit status 2, one line a problem on stderr, nothing on stdout, no run folder."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.conftest import InProcess
from tests.proteins import proteins, write

BAD = {
    "an illegal residue": ("fasta", ">a structure=HH\nMK\n>b structure=HEC\nMK1\n", "x.fasta: '1' at position 3 of the sequence of row 2 ('b') is not a residue"),
    "an empty sequence": ("fasta", ">a\nMK\n>b\n", "x.fasta: record 2 ('b', line 3) has no residue"),
    "an id twice": ("fasta", ">a\nMK\n>a\nMK\n", "x.fasta: record 2 (line 3) has the same id as that of line 1, 'a'"),
    "no fasta": ("fasta", "id,sequence\n", "x.fasta: line 1 is not of any record: 'id,sequence'"),
    "an empty file": ("fasta", "", "x.fasta: holds no record"),
    "no label anywhere": ("fasta", ">a\nMK\n>b\nMK\n", "tasks.structure.target: x.fasta has no column 'structure'"),
    "a residue of a table": ("csv", "id,sequence,structure\na,MK,HH\nb,M?,HC\n", "x.csv: '?' at position 2 of the sequence of row 2 ('b') is not a residue"),
    "an id of a table twice": ("csv", "id,sequence,structure\na,MK,HH\na,ML,HC\nc,MM,CC\n", "x.csv: rows 1 and 2 have the same id, 'a'"),
    "no sequence in a row": ("csv", "id,sequence,structure\na,MK,HH\nb,,HC\nc,MM,CC\n", "x.csv: the sequence of row 2 ('b') has no residue"),
    "labels too few": ("csv", "id,sequence,structure\na,MKL,HHC\nb,MKL,HC\nc,MM,CC\nd,MM,CH\n", "tasks.structure: the sequence of row 2 ('b') has 3 residues and 2 labels"),
    "one state only": ("csv", "id,sequence,structure\na,MKL,HHH\nb,MKL,HHH\nc,MM,HH\n", "tasks.structure: has one class only, 'H'"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_with_a_file_is_one_line(case: str, mtl: InProcess, tmp_path: Path) -> None:
    kind, text, message = BAD[case]
    (tmp_path / f"x.{kind}").write_text(text)
    extra = ["dataset.sequence=sequence", "dataset.id=id"] if kind == "csv" else []
    keys = ["tasks={structure: residue}", "model=sequence_cnn", "dataset.split.test=0.25", "dataset.split.val=0"]
    status, out, err = mtl("train", f"dataset=x.{kind}", *extra, *keys)
    assert (status, out) == (2, "")
    lines = [line for line in err.splitlines() if "error" in line]
    assert len(lines) == 1
    assert lines[0].startswith(f"mtl train: error: {message}"), lines[0]
    assert not list(tmp_path.glob("outputs/*"))


def test_a_gzip_that_ends_too_early(mtl: InProcess, tmp_path: Path) -> None:
    packed = gzip.compress(b">a\nMKLVMKLV\n" * 50)
    (tmp_path / "x.fasta.gz").write_bytes(packed[:-12])
    status, _, err = mtl("train", "dataset=x.fasta.gz", "tasks={structure: residue}", "model=sequence_cnn")
    assert status == 2
    assert err.startswith("mtl train: error: x.fasta.gz: is cut off")


CONFIG = {
    "a trunk of rows": (["model=mlp"], "model.trunk: reads features or image inputs, but this data set has sequence inputs; choose model=esm2 or model=sequence_cnn"),
    "a scheme that mixes": (["model=sequence_cnn", "model/sharing=mmoe"], "model.sharing: mmoe mixes trunks that read rows of one shape, and those of this data set differ in length"),
    "one representation of two": (["model=sequence_cnn", "balancer=mgda", "balancer.geometry=representation"], "balancer.geometry: representation needs one that all tasks share, and tasks of rows read another"),
    "an even kernel": (["model=sequence_cnn", "model.trunk.kernel=4"], "model.trunk.kernel: is 4, and an even one looks farther to one side; model.trunk.kernel=5"),
    "features beside": (["model=sequence_cnn", "dataset.features.scale=robust"], "dataset.features: has no effect: the network reads only the sequence"),
    "labels that are no table": (["model=sequence_cnn", "dataset.labels=proteins.fasta"], "dataset.labels: proteins.fasta does not look like a table by its name"),
    "no labels there": (["model=sequence_cnn", "dataset.labels=lables.csv"], "lables.csv: there is no such file; did you mean labels.csv?"),
    "a mapping of words": (["model=sequence_cnn", "tasks.structure.mapping={H: helix}"], "tasks.structure.mapping: maps 'H' to 'helix', and each residue has a single character"),
    "esm2 of no folder": (["model=esm2", "model.trunk.pretrained=nowhere"], "model.trunk.pretrained: there is no folder 'nowhere'"),
    "a size misspelt": (["model=esm2", "model.trunk.pretrained=esm2_t6_8M"], "model.trunk.pretrained: there is no folder 'esm2_t6_8M'; give a folder, or did you mean esm2_t6_8M_UR50D?"),
    "esm2 of nothing": (["model=esm2"], "model.trunk.pretrained: needs a value"),
    "frozen random weights": (["model=esm2", "model.trunk.pretrained=false"], "model.trunk.tune: frozen leaves ESM-2's own weights as they are"),
    "longer than esm2 reads": (["model=esm2", "model.trunk.pretrained=esm2_t6_8M_UR50D", "dataset.max_length=2000"], "model.trunk: reads at most 1022 tokens of a sequence, and this data set allows 2000; dataset.max_length=1022"),
    "a cache of what changes": (["model=esm2", "model.trunk.pretrained=esm2_t6_8M_UR50D", "model.trunk.tune=last", "model.trunk.cache=true"], "model.trunk.cache: stores the output of a frozen ESM-2"),
    "gradnorm on a frozen trunk": (["model=esm2", "model.trunk.pretrained=esm2_t6_8M_UR50D", "model.trunk.hidden=[]", "balancer=gradnorm"], "model.trunk.hidden: is empty: balancer=gradnorm needs a shared layer; give it one, [64]"),
}  # fmt: skip


@pytest.mark.parametrize("case", CONFIG)
def test_what_is_wrong_with_a_config_is_one_line(case: str, mtl: InProcess, tmp_path: Path) -> None:
    write(tmp_path, proteins(10))
    words, message = CONFIG[case]
    keys = [
        "dataset=proteins.fasta",
        "dataset.labels=labels.csv",
        "tasks={family: multiclass, structure: {kind: residue}}",
    ]
    status, out, err = mtl("train", *keys, *words)
    assert (status, out) == (2, "")
    assert any(line.startswith(f"mtl train: error: {message}") for line in err.splitlines()), err
    assert not list(tmp_path.glob("outputs/*"))


def test_a_residue_task_needs_sequences(mtl: InProcess, houses_csv: Path) -> None:
    status, _, err = mtl("train", "dataset=houses.csv", "tasks={kind: residue}")
    assert status == 2
    what = "tasks.kind: residue tasks are for sequences, but this data set has features inputs"
    assert f"{what}; give dataset.sequence=COLUMN, or another kind" in err


def test_a_trunk_of_sequences_asks_for_their_column(mtl: InProcess, houses_csv: Path) -> None:
    status, _, err = mtl("train", "dataset=houses.csv", "tasks={sold: binary}", "model=sequence_cnn")
    assert status == 2
    assert "this data set has features inputs; give dataset.sequence=COLUMN, the column of the sequences" in err
