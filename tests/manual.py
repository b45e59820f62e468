"""The README and the pages of `mtl help`: their blocks, for the tests, and what `make readme` writes into them.

`make readme` writes the first result and its picture in the README, the results over seeds in `help/balancers.md`, the
tables of benchmarks there, from their references, and the files of the template in `help/plugins.md`.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mtl_cli.cli.main import run
from mtl_cli.reports.rows import rendered

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
TEMPLATE = ROOT / "tests" / "plugin_template"
HELP = ROOT / "mtl_cli" / "help"
PICTURE = ROOT / ".github" / "images" / "wine_gradnorm.png"
SEEDS = 5
RECIPES = {
    "`experiment=wine_baseline`": ["experiment=wine_baseline"],
    "`dataset=wine`": ["dataset=wine"],
    "`dataset=wine balancer=gradnorm`": ["dataset=wine", "balancer=gradnorm"],
}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    language: str
    text: str
    note: str | None
    """The HTML comment on the line above it, such as ``not run: needs the network``."""

    @property
    def runs(self) -> bool:
        """Whether the commands are run by the tests of the manual themselves."""
        return self.language == "sh" and not (self.note or "").startswith("not run:")


def pages() -> list[Path]:
    """Return the README and every page of `mtl help`."""
    return [README, *sorted(HELP.glob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in their order."""
    found = re.findall(
        r"(?:^<!-- ([^\n]*) -->\n)?^```(\w+)\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE
    )
    return [Block(page, language, text, note or None) for note, language, text in found]


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
    files = (folder / "mtl_history.csv", folder / "gradnorm_weights.csv")
    history, weights = ([row for row in csv.DictReader(file.open()) if row["member"] == "0"] for file in files)
    for i, task in enumerate(("quality", "is_good")):
        for part, style in (("loss", "-"), ("val_loss", "--")):
            values = [float(row[f"{part}_{task}"]) for row in history]
            label = f"{task}, {'training' if part == 'loss' else 'validation'}"
            left.plot(range(1, len(values) + 1), values, style, color=f"C{i}", label=label)
        right.plot(
            [int(row["epoch"]) for row in weights], [float(row[f"weight_{task}"]) for row in weights], label=task
        )
    left.set(xlabel="epoch", title="Loss per task (first member)")
    right.set(xlabel="epoch", title="GradNorm's weight per task", ylim=(0, 2))
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE)


def seeds_lists() -> str:
    """Return test metrics over seeds, as lists in Markdown."""
    mse, accuracy = [], []
    for name, arguments in RECIPES.items():
        columns: list[list[float]] = [[], [], []]
        for seed in range(SEEDS):
            line, _ = mtl(*arguments, f"seed={seed}", "plots=false")
            splits = json.loads((Path(line["run_dir"]) / "metrics.json").read_text())["splits"]
            columns[0].append(splits["test"]["tasks"]["quality"]["mse"])
            columns[1].append(splits["test_unseen"]["tasks"]["quality"]["mse"])
            columns[2].append(splits["test"]["tasks"]["is_good"]["accuracy"])
        cells = [f"{statistics.mean(c):.3f} ({min(c):.3f} to {max(c):.3f})" for c in columns]
        mse.append(f"- {name}: {cells[0]}; unseen rows {cells[1]}")
        accuracy.append(f"- {name}: {cells[2]}")
    return "\n".join(["MSE of `quality`:", "", *mse, "", "Accuracy of `is_good`:", "", *accuracy])


def quoted(text: str) -> str:
    """Return the page on plugins with the files of the template as they are now."""

    def file(match: re.Match[str]) -> str:
        return f"`{match[1]}`:\n\n```{match[2]}\n{(TEMPLATE / match[1]).read_text()}```\n"

    return re.sub(r"^`([\w./]+)`:\n\n```(\w+)\n.*?^```\n", file, text, flags=re.DOTALL | re.MULTILINE)


def benchmarked(text: str) -> str:
    """Return a page with the tables of benchmarks as the references in the repository have them."""
    from mtl_cli.studies.overview import overview
    from mtl_cli.studies.protocol import read_protocol, reference_file
    from mtl_cli.studies.reference import read_reference

    def table(match: re.Match[str]) -> str:
        name, budget = match[2], match[3]
        rows = read_reference(reference_file(name), budget, read_protocol(name, budget == "small").problems)
        return f"{match[1]}{rendered(overview(rows), 'md')}{match[4]}"

    pattern = r"(<!-- benchmark (\w+) (\w+): [^\n]*-->\n).*?(<!-- end -->)"
    return re.sub(pattern, table, text, flags=re.DOTALL)


def shown(told: str) -> str:
    """Return what a run told, without notes, epochs and folders."""
    return "\n".join(
        row.rstrip() for row in told.splitlines() if not row.startswith(("note:", "epoch", "member", "results", "next"))
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        line, told = mtl("dataset=wine", "balancer=gradnorm", "plots=false")
        readme = replace(README.read_text(), "result", f"```text\n{shown(told)}\n```")
        draw(Path(line["run_dir"]))
        balancers = replace((HELP / "balancers.md").read_text(), "seeds", seeds_lists())
        (HELP / "balancers.md").write_text(balancers)
    for page in sorted(HELP.glob("*.md")):
        page.write_text(benchmarked(page.read_text()))
    plugins = HELP / "plugins.md"
    plugins.write_text(quoted(plugins.read_text()))
    README.write_text(readme)


if __name__ == "__main__":
    main()
