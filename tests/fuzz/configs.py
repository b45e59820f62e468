"""Odd command lines and config files: `python -m tests.fuzz.configs 5000 SEED`.

Words of real commands are changed: other values, keys, signs, nesting, quotes; or a whole config file is. The command
checks or trains; it ends well or in a line for each problem, and no word is dropped without one.
"""

from __future__ import annotations

import functools
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.fuzz.forks import command, main
from tests.fuzz.runs import change_value

VALUES = (
    "", "null", "0", "-1", "1e400", "nan", "inf", "true", "1.5", "[]", "{}", "[1,2]", "{a: 1}", "[[1]]", "a b", "'x'",
    "\"x", "${seed}", "${oc.env:HOME}", "${x", "range(0)", "range(3)", "range(0,1,0)", "range(inf)", "glob(*)",
    "choice(1,2)",
    "1,2", "sort(2,1)", "interval(0,1)", "???", "~", "=", "a=b", "\\", "é", "9" * 40, "../..", "/dev/null",
    "~nobody-here", "n" * 300, "[" * 60 + "]" * 60, "{kind: binary}", "wine", "gradnorm", "cuda", "[64,32]", "[0]",
    "[10000000000]",
)  # fmt: skip
SIGNS = ("", "", "", "", "+", "++", "~", "-", "--", "hydra.", "'", "model.", "trainer.")
STEMS = (
    "dataset=wine", "trainer.epochs=1", "plots=false", "trainer.folds=none", "trainer.baselines=none", "run_dir=run",
    "model.trunk.hidden=[4]",
)  # fmt: skip


@functools.cache
def keys() -> tuple[str, ...]:
    """Return every key of a config of the wine."""
    from mtl_cli.config.assemble import assemble
    from mtl_cli.config.keys import known_keys

    groups = (
        "balancer",
        "model",
        "optimizer",
        "scheduler",
        "regularizer",
        "experiment",
        "model/sharing",
        "resume",
        "init_from",
    )
    return (*known_keys(assemble(["dataset=wine"])), *groups)


def words(draw: random.Random) -> list[str]:
    """Return what follows ``mtl``."""
    found = list(STEMS)
    for _ in range(draw.choice([1, 1, 1, 2, 4])):
        key, value = draw.choice(keys()), draw.choice(VALUES)
        if draw.random() < 0.2:
            key = f"{key}.{draw.choice(['kind', '0', 'x', 'a.b', ''])}"
        word = f"{draw.choice(SIGNS)}{key}" + ("" if draw.random() < 0.05 else f"={value}")
        found.insert(draw.randrange(len(found) + 1), word)
    if draw.random() < 0.15:
        found.insert(
            draw.randrange(len(found)),
            draw.choice(["-m", "--json", "--resolve", "--cfg", "-x", "--help", "x.yaml", ""]),
        )
    return [*draw.choice([["train"], ["train"], ["config", "check"], ["config", "show"]]), *found]


def file_of(draw: random.Random) -> str:
    """Return the text of a changed config file."""
    import yaml

    from mtl_cli.config.assemble import assemble

    plain: Any = assemble(list(STEMS))
    for _ in range(draw.choice([1, 1, 2, 5])):
        plain = change_value(plain, draw)
    text = str(yaml.safe_dump(plain, sort_keys=False))
    if draw.random() < 0.3:
        lines = text.splitlines()
        place = draw.randrange(len(lines))
        lines[place] = draw.choice(
            ["hydra: {run: {dir: x}}", "<<: *a", "&a a: *a", "\t" + lines[place], lines[place] + ": :", "- x", "? x"]
        )
        text = "\n".join(lines)
    return text


def check(seed: int, number: int) -> str:
    """Run a changed command; return how it went."""
    draw = random.Random(f"{seed}/{number}")
    place = Path(tempfile.mkdtemp(prefix="mtl-fuzz-"))
    try:
        arguments = words(draw)
        if draw.random() < 0.35:
            (place / "c.yaml").write_text(file_of(draw), encoding="utf-8")
            arguments = [draw.choice(["train", "train", "config"]), "c.yaml", "run_dir=run"]
            if arguments[0] == "config":
                arguments[1:1] = ["check"]
        came = command(arguments, place, cpu=30)
        fault = came.fault()
        assert fault is None, f"{arguments}: {fault}"
        odd = [path.name for path in place.iterdir() if path.name not in ("run", "c.yaml", "outputs")]
        assert not odd or came.status == 0, f"{arguments}: {odd} were made"
        if came.status == 2 and (place / "run").exists():
            there = {path.name for path in (place / "run").iterdir()}
            assert not there or there & {"config.yaml", "study.yaml"}, f"{arguments}: a half-made run"
        return f"{arguments[0]} {'done' if came.status == 0 else 'refused'}"
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    sys.exit(main("commands", check, sys.argv[1:]))
