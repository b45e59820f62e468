"""Genes by name: what is chosen, and what is found in another file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from mtl_cli.config.errors import UserError
from mtl_cli.data.cells.genes import GeneConfig, chosen_genes, match_genes

SYMBOLS = ["CD4", "CD8A", "MS4A1", "NKG7"]
ENSEMBL = ["ENSG00000010610", "ENSG00000153563", "ENSG00000156738", "ENSG00000105374"]


def file(names: list[str], **columns: list[Any]) -> pd.DataFrame:
    return pd.DataFrame(columns, index=names)


def match(wanted: list[str], var: pd.DataFrame, **keys: Any) -> tuple[list[int], list[str]]:
    told: list[str] = []
    found = match_genes(wanted, GeneConfig(**keys), var, "q.h5ad", 0.5, told.append)
    return found.tolist(), told


def test_genes_are_found_by_name_in_any_order() -> None:
    all_there = ["q.h5ad: all 4 of the run's genes are there"]
    assert match(SYMBOLS, file(SYMBOLS)) == ([0, 1, 2, 3], all_there)
    assert match(SYMBOLS, file(["X", *SYMBOLS[::-1]])) == ([-1, 3, 2, 1, 0], all_there)


def test_missing_genes_are_told() -> None:
    found, told = match(SYMBOLS, file(SYMBOLS[1:]))
    assert found == [1, 2, 3]
    assert told == ["q.h5ad: 3 of the run's 4 genes are there; 1 other (CD4) count as zero"]


def test_doubled_genes_are_told_and_the_first_is_read() -> None:
    found, told = match(SYMBOLS, file([*SYMBOLS, "CD4", "Y", "Y"]))
    assert found == [0, 1, 2, 3, -1, -1, -1]
    assert told[1:] == ["q.h5ad: 1 gene name (CD4) occur more than once; the first of each is read"]


def test_the_column_that_holds_the_names_is_found() -> None:
    found, told = match(SYMBOLS, file(ENSEMBL, feature_name=SYMBOLS[::-1], n=[1, 2, 3, 4]))
    assert found == [3, 2, 1, 0]
    assert told[:1] == ["q.h5ad: the run's genes are not in its index of var, and are found in 'feature_name'"]
    assert match(ENSEMBL, file(SYMBOLS, gene_ids=ENSEMBL), names="gene_ids")[0] == [0, 1, 2, 3]


def test_versions_of_ensembl_ids_do_not_matter() -> None:
    assert match([f"{gene}.2" for gene in ENSEMBL], file([f"{gene}.11" for gene in ENSEMBL]))[0] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("wanted", "there", "hint"),
    [
        (SYMBOLS, ENSEMBL, "the run's are symbols (CD4, …) and this file's are Ensembl ids (ENSG00000010610, …)"),
        (ENSEMBL, SYMBOLS, "the run's are Ensembl ids (ENSG00000010610, …) and this file's are symbols (CD4, …)"),
        (SYMBOLS, ["Cd4", "Cd8a", "Ms4a1", "Nkg7"], "but 4 if case did not count: is it of another species?"),
        (SYMBOLS, ["a", "b"], "the run's begin CD4, CD8A, MS4A1; this file's a, b"),
    ],
)
def test_too_few_genes_are_an_error_that_says_why(wanted: list[str], there: list[str], hint: str) -> None:
    with pytest.raises(UserError) as caught:
        match(wanted, file(there))
    assert "q.h5ad: holds 0 of the run's 4 genes, and dataset.min_overlap is 0.5" in str(caught.value)
    assert hint in str(caught.value)


def test_genes_are_chosen_by_name_pattern_and_column() -> None:
    var = file(["MT-1", "A", "B", "A", "C"], hv=[True, True, False, True, True])
    told: list[str] = []

    def chosen(**keys: Any) -> list[int]:
        return chosen_genes(GeneConfig(**keys), var, "q.h5ad", told.append).tolist()

    assert chosen() == [0, 1, 2, 4] and "1 gene name (A) occur more than once" in told[0]
    assert chosen(exclude=["MT-*"]) == [1, 2, 4]
    assert chosen(include=["A", "MT*"]) == [0, 1]
    assert chosen(column="hv", exclude=["C"]) == [0, 1]
    for keys, message in (
        ({"include": ["CC"]}, "dataset.genes.include: no gene is 'CC'; did you mean C?"),
        ({"exclude": ["*"]}, "no gene of q.h5ad is left"),
        ({"column": "hvg"}, "has no column 'hvg'; did you mean hv?"),
        ({"names": "symbol"}, "var has no column 'symbol'"),
    ):
        with pytest.raises(UserError) as caught:
            chosen(**keys)
        assert message in str(caught.value)
    var["hv"] = np.arange(5)
    with pytest.raises(UserError, match="not true or false"):
        chosen(column="hv")
