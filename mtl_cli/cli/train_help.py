"""The text of `mtl train --help`, made from the config files themselves."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from dataclasses import fields
from pathlib import Path

from mtl_cli.config.paths import COMPONENTS, conf_dir, options, plugin_conf_dirs
from mtl_cli.config.registry import components

GROUPS = {
    "dataset": "what to learn from; dataset=FILE.csv for a table of your own",
    "model": "the trunk and the tasks' heads",
    "model.sharing": "which layers the tasks share",
    "balancer": "how the task losses are weighted",
    "regularizer": "what ties the tasks' heads together",
    "optimizer": "",
    "scheduler": "the learning rate over the epochs",
    "trainer": "epochs, batch size, early stopping",
    "callback": "a tracker that follows the training",
    "experiment": "a whole recipe, laid over the rest",
}

POST_HOC = ("calibrate", "threshold", "interval")
"""Keys that the base class of the kinds has, and only some kinds take."""

TEXT = """\
usage: mtl train [FLAG …] [CONFIG.yaml] GROUP=NAME … KEY=VALUE …

Train a model and write it, its history and its test metrics to a new folder
under outputs/. In a pipe stdout gets one JSON line per run: run_dir, status,
score (on the validation rows), metrics (on the test rows). Everything for
people goes to stderr.

  mtl train dataset=wine balancer=gradnorm
  mtl train dataset=wine model.trunk.hidden=[128,64] optimizer.lr=3e-3
  mtl train dataset=my.csv tasks='{{price: regression, sold: binary}}'
  mtl train -m dataset=wine balancer=uniform,gradnorm seed=0,1,2
                                         one run for each combination
  mtl train RUN/config.yaml seed=1       a run again, with another seed

tasks: NAME: KIND, or NAME: {{kind: KIND, target: COLUMN, …}};
tasks={{…}} replaces a data set's own tasks. Kinds and their keys:
{kinds}

groups and their files; each file's keys are set as GROUP.KEY=VALUE:
{groups}

every key and its default: mtl config show dataset=csv; explained in the files of
{conf}

other keys: seed=0 device=auto|cpu|cuda|mps plots=true|svg|false run_dir=FOLDER
  resume=RUN                             go on with a run that was cut off; or, with more
                                         trainer.epochs, with one that is done
  init_from=RUN                          start from the trunk of another run
  model.trunk.freeze=none|all|EPOCHS     do not train the trunk, or not at first
  optimizer.lr_scale.trunk=0.1           the trunk's learning rate, times optimizer.lr

a sweep, with -m: values are 1,2,3, range(1,4), choice(a,b), or glob(*), which
stands for all names of a group
  launcher=processes n_jobs=2            two runs at once; here: one by one; ray and
                                         slurm: on a cluster (mtl help cluster)
  cores=2 memory=4GB gpus=1 minutes=60   of each run
  run_dir=FOLDER                         the folder of the whole study; once more, it
                                         runs what is missing or has failed there
  mtl compare FOLDER                     what it shows (mtl help studies)

flags:
  -m, --multirun            run every combination of values given as a,b,c
  --config-dir DIR          a folder with config groups of your own
  --config-name NAME        a config of that folder instead of train.yaml
  --json                    print the JSON lines on a terminal too
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
    """Return the keys of each kind of task, its own first, and those that all kinds have."""
    from mtl_cli.tasks.task import TaskConfig

    base = [field.name for field in fields(TaskConfig)]
    found = {}
    for kind, cls in components("task").items():
        own = [field.name for field in fields(cls) if field.name not in base]
        found[kind] = own + [key for key in cls.post_hoc_keys if key in POST_HOC]
    found["all kinds"] = [key for key in base if key not in POST_HOC]
    indent = " " * 15
    return "\n".join(
        textwrap.fill(", ".join(keys), 80, initial_indent=f"  {kind:<12} ", subsequent_indent=indent)
        for kind, keys in found.items()
    )


def _describe(group: str, text: str, folders: list[Path]) -> str:
    config_group = group.replace(".", "/")
    width = min(100, shutil.get_terminal_size().columns - 19) if sys.stdout.isatty() else 100
    lines = [f"  {group}" + (f": {text}" if text else "")]
    lines += [
        f"    {name:<14} {describe_choice(config_group, name, folders, width)}"
        for name in options(config_group, folders)
    ]
    return "\n".join(lines)


def describe_choice(group: str, name: str, folders: list[Path], width: int | None = None) -> str:
    """Return what a config group's file says of itself, or where there is none what the component's class says."""
    file = next((file for folder in folders if (file := folder / group / f"{name}.yaml").is_file()), None)
    if file is not None:
        return describe(file, width)
    return _cut(first_sentence(components(COMPONENTS[group])[name].__doc__), width)


def first_sentence(text: str | None) -> str:
    """Return the first sentence of a docstring, without its full stop."""
    return " ".join((text or "").split("\n\n")[0].split()).split(". ")[0].rstrip(".")


def describe(file: Path, width: int | None = None) -> str:
    """Return the first sentence of a config file's comment, behind the line with its command, cut to ``width``."""
    comments = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        comments.append(line.lstrip("# "))
    prose = [line for line in comments if not line.startswith(("@package", "mtl train", "mtl tune", "mtl benchmark"))]
    sentence = re.split(r"(?<! al)\. |(?<=\?) ", " ".join(prose))[0].rstrip(".")
    return _cut(sentence, width)


def _cut(sentence: str, width: int | None) -> str:
    return sentence if width is None or len(sentence) <= width else sentence[: width - 2].rsplit(" ", 1)[0] + " …"
