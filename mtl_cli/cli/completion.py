"""Tab completion, through Hydra's: `eval "$(mtl -sc install=bash)"`."""

from __future__ import annotations

import contextlib
import io
import os
import sys

import hydra

from mtl_cli.config.compose import VERSION_BASE
from mtl_cli.config.paths import conf_dir, options, plugin_conf_dirs


def complete(argv: list[str], commands: list[str]) -> int:
    """Answer the shell's ``mtl -sc query=bash``, or print the script that makes it ask (``install=bash``)."""
    line = os.environ.get("COMP_LINE", "")
    query = next((word.removeprefix("query=") for word in argv if word.startswith("query=")), None)
    words = line.split()
    typed = "" if line.endswith(" ") else (words[-1] if words else "")
    at_command = len(words) - (typed != "") <= 1
    if query and at_command:
        names = [name for name in commands if name.startswith(typed)]
        print(("\n" if query == "fish" else " ").join(names))
        return 0
    if query and words[1] == "data":
        from mtl_cli.data.images.downloads import DATASETS

        choices = ["fetch"] if len(words) - (typed != "") == 2 else list(DATASETS)
        print(("\n" if query == "fish" else " ").join(name for name in choices if name.startswith(typed)))
        return 0
    if query and words[1] != "train":
        return 0  # the shell completes file names by itself
    key, equals, value = typed.partition("=")
    if query and equals and "." in key and (found := options(key.replace(".", "/"), [conf_dir(), *plugin_conf_dirs()])):
        answers = [f"{key}={name}" for name in found if name.startswith(value)]  # Hydra knows model/sharing= only
        print(("\n" if query == "fish" else " ").join(answers))
        return 0
    if query:
        os.environ["COMP_LINE"] = line.replace(f"{words[1]} ", "", 1)
        point = int(os.environ.get("COMP_POINT", len(line))) - len(words[1]) - 1
        os.environ["COMP_POINT"] = str(max(point, 0))
    else:
        os.environ["HYDRA_FULL_ERROR"] = "1"  # a closed pipe is then ours to answer
    sys.argv = [sys.argv[0], "-sc", *argv]
    with contextlib.redirect_stderr(io.StringIO() if query else sys.stderr), contextlib.suppress(SystemExit):
        hydra.main(config_path=str(conf_dir()), config_name="train", **VERSION_BASE)(lambda config: None)()
    return 0
