"""FASTA: records, headers with labels, and every way it can be wrong."""

from __future__ import annotations

import pytest

from mtl_cli.config.errors import UserError
from mtl_cli.data.sequences.fasta import read_fasta

UNIPROT = (
    ">sp|P69905|HBA_HUMAN Hemoglobin subunit alpha OS=Homo sapiens OX=9606 GN=HBA1 PE=1\nMVLSPADKTN\nVKAAWGKVGA\n\n"
)


def read(text: str):
    return read_fasta(text, "x.fasta", "id", "sequence")


def test_records_lines_and_headers() -> None:
    table = read(f"; a comment\n{UNIPROT}>b family=kinase  stability=1.5\r\nMK\r\nLV\r\n>c family=NA\nm\n")
    assert table["id"].tolist() == ["sp|P69905|HBA_HUMAN", "b", "c"]
    assert table["sequence"].tolist() == ["MVLSPADKTNVKAAWGKVGA", "MKLV", "m"]
    assert table.loc[0, "OS"] == "Homo sapiens"
    assert table.loc[0, "GN"] == "HBA1"
    assert table.loc[1, ["family", "stability"]].tolist() == ["kinase", "1.5"]
    assert table["family"].isna().tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.fasta: holds no record"),
        ("MKLV\n", "x.fasta: line 1 is not of any record: 'MKLV'"),
        (">a\nMK\n>\nMK\n", "x.fasta: record 2 (line 3) has no id"),
        (">a\nMK\n>a\nMK\n", "x.fasta: record 2 (line 3) has the same id as that of line 1, 'a'"),
        (">a\nMK\n>b\n>c\nMK\n", "x.fasta: record 2 ('b', line 3) has no residue"),
        (">a\nMK\n>b\n", "x.fasta: record 2 ('b', line 3) has no residue"),
        (">a id=7\nMK\n", "x.fasta: a header gives 'id', which is the name of a column already"),
    ],
)
def test_what_is_wrong_is_named_with_its_record(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read(text)
    assert str(caught.value).startswith(message)
