"""DNA and RNA from the command line: found, learnt on either strand, and what is wrong with it in one line."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.conftest import InProcess
from tests.dna import dna, other_strand, write

TASKS = "tasks={bound: binary, content: regression}"
QUICK = ["plots=false", "optimizer.lr=3e-3"]


@pytest.mark.slow
def test_a_motif_on_either_strand_is_learnt_and_predictions_are_those_of_both(mtl: InProcess, tmp_path: Path) -> None:
    write(tmp_path, dna(400))
    keys = ["model=sequence_cnn", "model.trunk.width=24", "model.trunk.blocks=2", "model.trunk.reverse_complement=tied"]
    status, out, err = mtl("train", "dataset=dna.fasta", TASKS, *keys, *QUICK, "trainer.epochs=25", "run_dir=run")
    assert status == 0, err
    assert "note: dna.fasta: the sequences are read as DNA; dataset.alphabet=protein: as proteins" in err
    tasks = json.loads(out)["metrics"]
    assert tasks["bound"]["roc_auc"] > 0.85
    table = pd.read_csv(tmp_path / "dna.csv")
    table.assign(sequence=table["sequence"].map(other_strand)).to_csv(tmp_path / "other.csv", index=False)
    one, other = (pd.read_csv(io.StringIO(mtl("predict", "run", name)[1])) for name in ("dna.csv", "other.csv"))
    for column in ("predicted_bound_prob", "predicted_content"):
        np.testing.assert_allclose(one[column], other[column], atol=1e-5)


@pytest.mark.parametrize("how", ["none", "augment", "tied"])
def test_kmers_of_rna_count_bases(how: str, mtl: InProcess, tmp_path: Path) -> None:
    table = dna(150)
    table["sequence"] = table["sequence"].str.replace("T", "U").str.lower()
    table.to_csv(tmp_path / "rna.csv", index=False)
    words = ["dataset=rna.csv", "dataset.sequence=sequence", "dataset.id=id", TASKS, "model=sequence_kmers"]
    keys = ["model.trunk.k=3", f"model.trunk.reverse_complement={how}", "balancer=gradnorm", "trainer.epochs=20"]
    status, out, err = mtl("train", *words, *keys, *QUICK, "run_dir=run")
    assert (status, "the sequences are read as RNA" in err) == (0, True), err
    assert json.loads(out)["metrics"]["content"]["r2"] > 0.4
    assert mtl("predict", "run", "rna.csv")[0] == 0
    assert mtl("evaluate", "run")[0] == 0


ACGT = "ACGTACGTAC" * 5
BAD = {
    "T and U": ([], [ACGT, ACGT, ACGT.replace("T", "U")], "x.csv: the sequence of row 3 ('s2') holds U, as RNA, and that of row 1 T, as DNA"),
    "DNA and proteins": ([], [ACGT, "MKLVAGTWYE" * 5, ACGT], "x.csv: the sequence of row 1 ('s0') holds bases alone, and that of row 2 residues"),
    "no base": (["dataset.alphabet=dna"], [ACGT, ACGT, "ACGTE"], "x.csv: 'E' at position 5 of the sequence of row 3 ('s2') is not a base of DNA; a base is one of ACGTRYSWKMBDHVN"),
    "RNA for DNA": (["dataset.alphabet=dna"], [ACGT, "ACGU", ACGT], "x.csv: 'U' at position 4 of the sequence of row 2 ('s1') is not a base of DNA; give all of them the one or the other, with dataset.alphabet=rna for RNA"),
    "no such alphabet": (["dataset.alphabet=codons"], [ACGT] * 3, "dataset.alphabet: cannot be 'codons'"),
    "strands of proteins": (["model.trunk.reverse_complement=tied"], ["MKLVAGTWYE" * 5] * 3, "model.trunk.reverse_complement: is for DNA and RNA, and these sequences are proteins; none"),
    "strands of given proteins": (["dataset.alphabet=protein", "model.trunk.reverse_complement=tied"], [ACGT] * 3, "model.trunk.reverse_complement: is for DNA and RNA: proteins have no other strand; none"),
    "a model of proteins": (["model=esm2", "model.trunk.pretrained=false", "model.trunk.tune=all"], [ACGT] * 3, "model.trunk: ESM-2 reads proteins, and these sequences are of bases; model=sequence_cnn or sequence_kmers"),
    "labels of bases": (["tasks={site: residue}", "model.trunk.reverse_complement=augment"], [ACGT] * 3, "model.trunk.reverse_complement: cannot hold for 'site', whose labels of each letter have no order on the other strand"),
    "kmers for bases": (["tasks={site: residue}", "model=sequence_kmers"], [ACGT] * 3, "tasks.site: labels each token, and this trunk represents whole rows only"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_one_line(case: str, mtl: InProcess, tmp_path: Path) -> None:
    words, texts, message = BAD[case]
    texts = [*texts, *[texts[0]] * 9]
    table = pd.DataFrame({"id": [f"s{i}" for i in range(len(texts))], "sequence": texts, "value": range(len(texts))})
    table.assign(site=["H" * len(text) for text in texts]).to_csv(tmp_path / "x.csv", index=False)
    given = [] if any(word.startswith("tasks=") for word in words) else ["tasks={value: regression}"]
    model = [] if any(word.startswith("model=") for word in words) else ["model=sequence_cnn"]
    keys = ["dataset=x.csv", "dataset.sequence=sequence", "dataset.id=id"]
    status, out, err = mtl("train", *keys, *given, *model, *words)
    assert (status, out) == (2, "")
    assert next(line for line in err.splitlines() if "error" in line).startswith(f"mtl train: error: {message}"), err
    assert not list(tmp_path.glob("outputs/*"))


def test_bases_can_be_labelled_and_read_as_proteins(mtl: InProcess, tmp_path: Path) -> None:
    table = dna(60)
    table["site"] = [text.translate(str.maketrans("ACGTN", "HEHE-")) for text in table["sequence"]]
    table.to_csv(tmp_path / "dna.csv", index=False)
    words = ["dataset=dna.csv", "dataset.sequence=sequence", "model=sequence_cnn", *QUICK, "model.trunk.width=24"]
    status, out, err = mtl("train", *words, "tasks={site: residue}", "trainer.epochs=15", "model.trunk.blocks=1")
    assert status == 0, err
    assert json.loads(out)["metrics"]["site"]["accuracy"] > 0.9
    status, _, err = mtl("train", *words, "tasks={content: regression}", "trainer.epochs=1", "dataset.alphabet=protein")
    assert (status, "look like nucleotides, and are read as proteins" in err) == (0, True), err
