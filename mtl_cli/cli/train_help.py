"""The text of `mtl train --help`, made from the config files themselves."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from mtl_cli.config.paths import conf_dir, plugin_conf_dirs
from mtl_cli.config.registry import components

GROUPS = {
    "dataset": "what to learn from; dataset=FILE.csv and dataset=FILE.parquet for a table of your own",
    "model": "the trunk and the tasks' heads",
    "model.sharing": "what of the trunk the tasks share",
    "balancer": "how the task losses are weighed",
    "regularizer": "what ties the tasks' heads to each other",
    "optimizer": "",
    "scheduler": "the learning rate over the epochs",
    "trainer": "epochs, batch size, early stopping",
    "experiment": "a whole recipe, laid over the rest",
}

TEXT = """\
usage: mtl train [FLAG …] [CONFIG.yaml] GROUP=NAME … KEY=VALUE …

Train a model and write it, its history and its test metrics to a fresh folder under outputs/.
stdout gets one JSON line per run: run_dir, status, score, metrics. Everything for people goes to stderr.

  mtl train dataset=wine balancer=gradnorm
  mtl train dataset=wine balancer=gradnorm model.trunk.hidden=[128,64] trainer.epochs=50 optimizer.lr=3e-3
  mtl train dataset=my.csv tasks='{{price: regression, sold: binary, kind: multiclass}}'
  mtl train -m dataset=wine balancer=uniform,static,gradnorm seed=0,1,2        one run for each combination
  mtl train RUN/config.yaml seed=1                                             a run again, with another seed

tasks: NAME: KIND, or NAME: {{kind: KIND, target: COLUMN, …}}; tasks={{…}} replaces a data set's own tasks
{kinds}

groups and their files; each file's keys are set as GROUP.KEY=VALUE:
{groups}

every key and its default: mtl config show dataset=csv; with explanations: the files in
{conf}

other keys: seed=0 device=auto|cpu|cuda|mps plots=true run_dir=FOLDER
  init_from=RUN                          start from the trunk of another run, its inputs scaled as there
  model.trunk.freeze=none|all|EPOCHS     do not train the trunk, or not in the first epochs
  optimizer.lr_scale.trunk=0.1           the trunk's learning rate, as a multiple of optimizer.lr

a sweep, with -m: values are 1,2,3, range(1,4), choice(a,b), and glob(*) for the files of a group
  launcher=processes n_jobs=2            two runs at once, each in a process of its own; launcher=here: one by one
  run_dir=FOLDER                         the folder of the whole sweep

flags:
  -m, --multirun            run every combination of values given as a,b,c
  --config-dir DIR          a folder with config groups of your own
  --config-name NAME        another config than train.yaml, from the folder given by --config-dir
  -h, --help                this text
"""


def train_help() -> str:
    """Return the help text."""
    folders = [conf_dir(), *plugin_conf_dirs()]
    return TEXT.format(
        kinds=_kinds(),
        conf=conf_dir(),
        groups="\n".join(_describe(group, text, folders) for group, text in GROUPS.items()),
    )


def _kinds() -> str:
    common = ["target", "dataset", "weight", "weight_schedule", "auxiliary"]
    lines = []
    for kind, cls in components("task").items():
        keys = [field.name for field in fields(cls) if field.name not in common]
        lines.append(f"  {kind:<12} {', '.join(keys)}")
    return "\n".join([*lines, f"  {'all kinds':<12} {', '.join(common)}"])


def _describe(group: str, text: str, folders: list[Path]) -> str:
    files = sorted(
        (file for folder in folders for file in (folder / group.replace(".", "/")).glob("*.yaml")),
        key=lambda file: file.stem,
    )
    lines = [f"  {group}" + (f": {text}" if text else "")]
    lines += [f"    {file.stem:<14} {describe(file, 100)}" for file in files]
    return "\n".join(lines)


def describe(file: Path, width: int | None = None) -> str:
    """Return the first sentence of a config file's comment, behind the line with its command, cut to ``width``."""
    comments = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        comments.append(line.lstrip("# "))
    prose = [line for line in comments if not line.startswith(("@package", "mtl train"))]
    sentence = re.split(r"(?<! al)\. ", " ".join(prose))[0].rstrip(".")
    return sentence if width is None or len(sentence) <= width else sentence[: width - 2].rsplit(" ", 1)[0] + " …"
