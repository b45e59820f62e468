"""`mtl help`: the manual, one page of Markdown per topic."""

from __future__ import annotations

import difflib
import importlib.resources
import sys
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.cli.arguments import Parser
from mtl_cli.config.errors import UserError

if TYPE_CHECKING:
    from rich.markdown import Markdown

WIDEST = 100
"""Columns of running text that are still easy to read."""


def parser() -> Parser:
    """Return the parser of the arguments."""
    result = Parser("mtl help", description="Show a page of the manual; without a topic, list the topics.")
    result.add_argument("topic", metavar="TOPIC", nargs="?", help="such as tables, balancers or python")
    return result


def run(argv: list[str]) -> int:
    """Run ``mtl help`` with these arguments."""
    topic = parser().parse_args(argv).topic
    if topic is None:
        print(contents(), end="")
        return 0
    pages = topics()
    if topic not in pages:
        raise UserError(topic, "there is no such topic", _hint(topic, list(pages)))
    text = pages[topic].read_text(encoding="utf-8")
    if sys.stdout.isatty():
        show(text)
    else:
        print(text, end="")
    return 0


def topics() -> dict[str, Traversable]:
    """Return the pages by topic, in alphabetical order."""
    folder = importlib.resources.files("mtl_cli") / "help"
    pages = {page.name.removesuffix(".md"): page for page in folder.iterdir() if page.name.endswith(".md")}
    return dict(sorted(pages.items()))


def contents() -> str:
    """Return the list of topics, with the heading of each page."""
    pages = topics()
    width = max(len(topic) for topic in pages)
    lines = [f"  {topic:<{width}}  {_without(topic, heading(page))}" for topic, page in pages.items()]
    first = "  mtl help start\n"
    return f"The manual. Begin with\n\n{first}\ntopics, each shown by `mtl help TOPIC`:\n\n" + "\n".join(lines) + "\n"


def heading(page: Traversable) -> str:
    """Return a page's first heading."""
    return page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def _without(topic: str, text: str) -> str:
    """Leave out the topic's own name in front of what a heading says of it, and begin in lower case."""
    text = text[len(topic) + 2 :] if text.lower().startswith(f"{topic}: ") else text
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def show(text: str) -> None:
    """Print Markdown fitted to the terminal."""
    from rich.console import Console

    console = Console()
    console.print(rendered(text), width=min(console.width, WIDEST))


def rendered(text: str) -> Markdown:
    """Return Markdown for Rich, without the HTML comments on lines of their own, which are for the tests."""
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.markdown import Markdown, TableElement
    from rich.table import Table

    class WholeTable(TableElement):
        """A table whose long words are folded where it is too wide, and not cut off."""

        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            for table in super().__rich_console__(console, options):
                assert isinstance(table, Table)
                for column in table.columns:
                    column.overflow = "fold"
                yield table

    class Page(Markdown):
        elements: ClassVar = Markdown.elements | {"table_open": WholeTable}

    kept = [line for line in text.splitlines() if not line.startswith("<!--")]
    return Page("\n".join(kept), code_theme="ansi_dark")


def _hint(topic: str, pages: list[str]) -> str:
    from mtl_cli.cli.commands import find

    if find(topic) is not None:
        return f"`mtl {topic} --help` says what the command takes"
    near = difflib.get_close_matches(topic.lower(), pages, n=1, cutoff=0.6)
    starts = [page for page in pages if page.startswith(topic.lower()) or topic.lower().startswith(page)]
    return f"did you mean `mtl help {(near or starts)[0]}`?" if near or starts else "`mtl help` lists the topics"
