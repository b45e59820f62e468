"""`make readme`: writes the parts of the README that come from code and from runs.

The table of groups comes from `conf/`; the first result, its picture and the table over seeds come from commands.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import statistics
import tempfile
from pathlib import Path

from mtl_cli.cli.list import balancers_markdown
from mtl_cli.cli.main import run
from mtl_cli.cli.train_help import GROUPS, describe
from mtl_cli.config.paths import conf_dir

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PICTURE = ROOT / ".github" / "images" / "wine_gradnorm.png"
SEEDS = 5
RECIPES = {
    "`experiment=wine_baseline`": ["experiment=wine_baseline"],
    "`dataset=wine`": ["dataset=wine"],
    "`dataset=wine balancer=gradnorm`": ["dataset=wine", "balancer=gradnorm"],
}


def groups_table() -> str:
    """Return the table of config groups, as Markdown."""
    lines = ["| setting | |", "|---|---|"]
    for group in (group for group in GROUPS if group != "balancer"):  # those have a table of their own
        for file in sorted((conf_dir() / group.replace(".", "/")).glob("*.yaml")):
            lines.append(f"| `{group}={file.stem}` | {describe(file)} |")
    return "\n".join(lines)


def replace(text: str, name: str, content: str) -> str:
    """Put ``content`` between the marks called ``name``."""
    pattern = rf"(<!-- {name}: [^\n]*-->\n).*?(<!-- end -->)"
    return re.sub(pattern, lambda match: f"{match[1]}{content}\n{match[2]}", text, flags=re.DOTALL)


def mtl(*arguments: str) -> tuple[dict, str]:
    """Run a command; return its JSON line and what it told."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = run(["train", *arguments])
    if status:
        raise SystemExit(err.getvalue())
    return json.loads(out.getvalue()), err.getvalue()


def draw(folder: Path) -> None:
    """Draw the first result's losses and weights side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    history = list(csv.DictReader((folder / "mtl_history.csv").open()))
    weights = list(csv.DictReader((folder / "gradnorm_weights.csv").open()))
    for i, task in enumerate(("quality", "is_good")):
        for part, style in (("loss", "-"), ("val_loss", "--")):
            values = [float(row[f"{part}_{task}"]) for row in history]
            label = f"{task}, {'training' if part == 'loss' else 'validation'}"
            left.plot(range(1, len(values) + 1), values, style, color=f"C{i}", label=label)
        right.plot(
            [int(row["epoch"]) for row in weights], [float(row[f"weight_{task}"]) for row in weights], label=task
        )
    left.set(xlabel="epoch", title="Loss per task")
    right.set(xlabel="epoch", title="GradNorm's weight per task", ylim=(0, 2))
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE)


def seeds_table() -> str:
    """Return test metrics over seeds, as Markdown."""
    lines = [
        f"Test rows, mean over seeds 0 to {SEEDS - 1} (lowest to highest), from `make readme`:", "",
        "| | MSE of `quality` | on unseen rows | accuracy of `is_good` |", "|---|---|---|---|",
    ]  # fmt: skip
    for name, arguments in RECIPES.items():
        columns: list[list[float]] = [[], [], []]
        for seed in range(SEEDS):
            line, _ = mtl(*arguments, f"seed={seed}", "plots=false")
            splits = json.loads((Path(line["run_dir"]) / "metrics.json").read_text())["splits"]
            columns[0].append(splits["test"]["tasks"]["quality"]["mse"])
            columns[1].append(splits["test_unseen"]["tasks"]["quality"]["mse"])
            columns[2].append(splits["test"]["tasks"]["is_good"]["accuracy"])
        cells = [f"{statistics.mean(c):.3f} ({min(c):.3f} to {max(c):.3f})" for c in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    text = replace(README.read_text(), "groups", groups_table())
    text = replace(text, "balancers", balancers_markdown().strip())
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        line, told = mtl("dataset=wine", "balancer=gradnorm", "plots=false")
        shown = "\n".join(
            row.rstrip() for row in told.splitlines() if not row.startswith(("note:", "epoch", "results"))
        )
        text = replace(text, "result", f"```text\n{shown}\n```")
        draw(Path(line["run_dir"]))
        text = replace(text, "seeds", seeds_table())
        os.chdir(ROOT)
    README.write_text(text)


if __name__ == "__main__":
    main()
