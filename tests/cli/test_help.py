"""Pages of the manual in a narrow terminal."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from mtl_cli.cli.commands import OURS
from mtl_cli.cli.help import rendered, topics
from tests.conftest import InProcess


@pytest.mark.parametrize("width", [50, 80])
def test_no_heading_and_no_cell_of_a_table_is_cut(width: int) -> None:
    for topic, page in topics().items():
        lines = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
        written = io.StringIO()
        Console(file=written, width=width).print(rendered("\n".join(lines)))
        assert "…" not in written.getvalue(), topic
        assert max(map(cell_len, written.getvalue().splitlines()), default=0) <= width, topic


@pytest.mark.parametrize("command", sorted(set(OURS) - {"train", "list"}))
def test_the_help_of_a_command_fits(mtl: InProcess, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    status, out, err = mtl(command, "--help")
    assert (status, err) == (0, "")
    assert [line for line in out.splitlines() if cell_len(line) > 80] == []
