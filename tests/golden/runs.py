"""Twelve small runs: what each is, its command line, and the files that its data is made of.

Each takes a path of its own through the core: every form of data, every kind of task, labels that are missing, hard and
mixed sharing, methods that need losses, norms or a Gramian. None draws at random in its balancer: an order of draws is
no result. A few epochs each, because differences in rounding grow with every step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import houses
from tests.proteins import proteins


@dataclass(frozen=True)
class Run:
    """A run that is kept.

    Attributes
    ----------
    words
        What follows ``mtl train``.
    make_data
        Writes the files that the words name into a folder.
    residue_tasks
        Tasks whose prediction is a text with a class per residue.
    """

    words: tuple[str, ...]
    make_data: Callable[[Path], None] = lambda folder: None
    residue_tasks: tuple[str, ...] = ()

    def command(self, folder: str) -> list[str]:
        """Return the arguments of ``mtl`` that make this run in a folder."""
        return ["train", *self.words, *COMMON, f"run_dir={folder}"]


COMMON = (
    "device=cpu",
    "plots=false",
    "seed=0",
    "trainer.early_stopping=null",
    "trainer.folds=none",
    "trainer.baselines=none",
)


def write_houses(folder: Path) -> None:
    """Write a table with numbers, categories, dates and every kind of label; some of all are missing."""
    houses(240).to_csv(folder / "houses.csv", index=False)


def write_proteins(folder: Path) -> None:
    """Write a table of 160 short sequences."""
    proteins(160, shortest=24, longest=48).to_csv(folder / "proteins.csv", index=False)


PLAIN = ("dataset.features.scale=standard", "model.trunk.embeddings.kind=none")
"""What was the default when the runs were kept."""
WINE = ("dataset=wine", *PLAIN, "trainer.epochs=4", "trainer.log_balance=6")

RUNS = {
    "wine_uniform": Run((*WINE, "balancer=uniform")),
    "wine_gradnorm": Run((*WINE, "balancer=gradnorm", "balancer.alpha=0.5")),
    "wine_upgrad": Run((*WINE, "balancer=upgrad")),
    "wine_nash_mtl": Run((*WINE, "balancer=nash_mtl")),
    "houses": Run(
        (
            "dataset=houses.csv", *PLAIN, "dataset.id=house", "dataset.split.stratify=[sold]",
            "tasks={price: {kind: regression, transform: log1p}, sold: {kind: binary, pos_weight: auto, weight: 2}, "
            "kind: {kind: multiclass, class_weights: balanced}, tags: {kind: multilabel, auxiliary: true}}",
            "balancer=aligned_mtl", "trainer.batch_size=16", "trainer.epochs=5", "trainer.log_balance=4",
        ),
        write_houses,
    ),
    "mmoe": Run((*WINE, "model.sharing=mmoe", "balancer=gradnorm", "balancer.alpha=0.5")),
    "ple": Run((*WINE, "model.sharing=ple", "balancer=cagrad", "regularizer=group_lasso")),
    "cnn": Run(
        (
            "dataset=digits", "model=cnn", "model.trunk.channels=[8,16]", "model.trunk.kernel=3",
            "model.trunk.activation=gelu", "balancer=mgda", "trainer.epochs=3", "trainer.log_balance=5",
        )
    ),
    "pbmc": Run(
        (
            "dataset=pbmc", "model=mlp", "balancer=imtl_l", "model.trunk.dropout=0.4", "trainer.epochs=4",
            "trainer.log_balance=3",
        )
    ),
    "sequences": Run(
        (
            "dataset=proteins.csv", "dataset.sequence=sequence", "dataset.id=id", "model=sequence_cnn",
            "model.trunk.width=32",
            "tasks={family: multiclass, terms: multilabel, stability: regression, structure: residue}",
            "balancer=uw", "trainer.batch_size=16", "trainer.clip_norm=1", "trainer.epochs=4", "trainer.log_balance=3",
        ),
        write_proteins,
        residue_tasks=("structure",),
    ),
    "joint": Run(
        (
            "dataset=joint",
            "dataset.datasets={houses: {kind: csv, path: houses.csv, id: house, features: {scale: standard}}, "
            "wines: {kind: csv, path: builtin:winequality-red.csv, features: {scale: standard}}}",
            "tasks={price: {kind: regression, dataset: houses}, quality: {kind: regression, dataset: wines}}",
            "balancer=famo", "scheduler=warmup", "scheduler.epochs=2", "trainer.epochs=4", "trainer.log_balance=6",
        ),
        write_houses,
    ),
    "tabm": Run(
        (
            *WINE, "model=tabm", "model.trunk.members=8", "model.trunk.width=64",
            "model.trunk.embeddings.kind=linear", "optimizer=adamw", "scheduler=cosine",
        )
    ),
}  # fmt: skip
"""By name: the folder that its kept files lie in."""
