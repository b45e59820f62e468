"""Odd command lines and config files: `python -m tests.fuzz.configs 5000 SEED`.

Words of real commands are changed: other values, keys, signs, nesting, quotes; or a whole config file is. The command
checks or trains; it ends well or in a line for each problem, and no word or key is dropped without one.
"""

from __future__ import annotations

import functools
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mtl_cli
from tests.fuzz.forks import Came, command, main
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
    "dataset=wine", "dataset.path=wine.csv", "trainer.epochs=1", "plots=false", "trainer.folds=none",
    "trainer.baselines=none", "run_dir=run", "model.trunk.hidden=[4]",
)  # fmt: skip


LIGHT = ("dataset", "tasks", "trainer")
"""What each config file has, so that it is of a short training."""
FILES, ASKED, ROWS = 0.02, 0.3, 150
"""The shares of config files, and of commands of which each word is asked for, which take long; rows of the wine."""


@functools.cache
def table() -> str:
    """Return the first rows of the wine."""
    lines = (Path(mtl_cli.__file__).parent / "data/builtin/winequality-red.csv").read_text().splitlines(keepends=True)
    return "".join(lines[: ROWS + 1])


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


@functools.cache
def usual() -> dict[str, Any]:
    """Return a config of the wine."""
    from mtl_cli.config.assemble import assemble

    return assemble(list(STEMS))


def takes_long(file: Path) -> bool:
    """Whether a changed config file may ask for more training than a case is to take."""
    plain = _plain(file.read_text(encoding="utf-8"))
    keys = ("trainer.epochs", "trainer.steps", "trainer.folds", "trainer.repeats", "trainer.baselines")
    return any(_at(plain, key) != _at(usual(), key) for key in keys)


def near(key: str, draw: random.Random) -> str:
    """Return a value that is like the usual one of a key."""
    there = _at(usual(), key)
    if isinstance(there, bool):
        return str(not there).lower()
    if isinstance(there, int | float):
        return str(draw.choice([there * 2, there + 1, there / 2, -there, str(there)]))
    return json.dumps(there) if draw.random() < 0.5 else draw.choice(["1", "0.3", "null", "[1]"])


def words(draw: random.Random) -> tuple[list[str], list[str]]:
    """Return what follows ``mtl``, and which words of it are odd settings."""
    found, odd = list(STEMS), list[str]()
    for _ in range(draw.choice([1, 1, 1, 2, 4])):
        key = draw.choice(keys())
        value = draw.choice(VALUES) if draw.random() < 0.75 else near(key, draw)
        if draw.random() < 0.2:
            key = f"{key}.{draw.choice(['kind', '0', 'x', 'a.b', ''])}"
        word = f"{draw.choice(SIGNS)}{key}" + ("" if draw.random() < 0.05 else f"={value}")
        found.insert(draw.randrange(len(found) + 1), word)
        odd.append(word)
    if draw.random() < 0.15:
        found.insert(
            draw.randrange(len(found)),
            draw.choice(["-m", "--json", "--resolve", "--cfg", "-x", "--help", "x.yaml", ""]),
        )
    return [*draw.choice([["train"], ["config", "check"], ["config", "show"]]), *found], odd


def file_of(draw: random.Random) -> str:
    """Return the text of a changed config file."""
    import yaml

    from mtl_cli.config.assemble import assemble

    plain: Any = assemble(list(STEMS))
    if draw.random() < 0.7:
        plain = {key: plain[key] for key in plain if key in LIGHT or draw.random() < 0.4}
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


def lost_of_words(arguments: list[str], odd: list[str], came: Came, place: Path) -> list[str]:
    """Return those words without which the config would be the same, though they say something else, and none is told.

    That is asked only of commands of nothing but settings: what ``--help`` is given is not looked at.
    """
    import yaml

    settings = arguments[2:] if arguments[0] == "config" else arguments[1:]
    if set(settings) - {*STEMS, *odd}:
        return []
    shown = command(["config", "show", *settings], place)
    if shown.status:
        return [shown.err]
    config, found = yaml.safe_load(shown.out), []
    for word in odd:
        key, _, value = word.lstrip("+~").partition("=")
        others = [other for other in settings if other != word]
        told = key in came.err or _holds(_at(config, key), value)
        if not told and command(["config", "show", *others], place).out == shown.out:
            found.append(f"{word} ({_at(config, key)!r})")
    return found


def _holds(there: Any, text: str) -> bool:
    """Whether a key has the value that the text of a word means; of a mapping, whether it has all that is in it."""
    value = _plain(text)
    if isinstance(there, dict):
        inside = isinstance(value, dict) and all(_at(there, key) == item for key, item in _leaves(value) if key)
        return inside or text in there.values() or (value is None and not there)
    return value == there or text in (str(there), json.dumps(there))


def lost_of_file(place: Path) -> list[str]:
    """Return the keys of a config file whose values are not those of the whole config."""
    import yaml

    shown = command(["config", "show", "c.yaml", "run_dir=run"], place)
    if shown.status:
        return [shown.err]
    given, config = (yaml.safe_load(text) for text in ((place / "c.yaml").read_text(), shown.out))
    given["run_dir"] = "run"
    return [
        f"{key}={value!r} ({_at(config, key)!r})"
        for key, value in _leaves(given)
        if "${" not in str(value) and _differ(_at(config, key), value)
    ]


def _plain(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _leaves(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{where}.{key}" if where else str(key))
    else:
        yield where, value


def _at(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = config.get(part, {}) if isinstance(config, dict) else {}
    return config


def _differ(there: Any, given: Any) -> bool:
    return bool(there != given and str(there) != str(given))


def check(seed: int, number: int) -> str:
    """Run a changed command; return how it went."""
    draw = random.Random(f"{seed}/{number}")
    place = Path(tempfile.mkdtemp(prefix="mtl-fuzz-"))
    try:
        (place / "wine.csv").write_text(table(), encoding="utf-8")
        arguments, odd_words = words(draw)
        if draw.random() < FILES:
            (place / "c.yaml").write_text(file_of(draw), encoding="utf-8")
            checked = takes_long(place / "c.yaml") or draw.random() < 0.3
            arguments = [*(["config", "check"] if checked else ["train"]), "c.yaml", "run_dir=run"]
        came = command(arguments, place)
        fault = came.fault()
        assert fault is None, f"{arguments}: {fault}"
        odd = [path.name for path in place.iterdir() if path.name not in ("run", "wine.csv", "c.yaml", "outputs")]
        assert not odd or came.status == 0, f"{arguments}: {odd} were made"
        if came.status == 2 and (place / "run").exists():
            there = {path.name for path in (place / "run").iterdir()}
            assert not there or there & {"config.yaml", "study.yaml"}, f"{arguments}: a half-made run"
        if came.status == 0 and ("c.yaml" in arguments or draw.random() < ASKED):
            lost = lost_of_file(place) if "c.yaml" in arguments else lost_of_words(arguments, odd_words, came, place)
            assert not lost, f"{arguments}: {lost} had no effect"
        return f"{arguments[0]} {'done' if came.status == 0 else 'refused'}"
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    sys.exit(main("commands", check, sys.argv[1:], before=keys))
