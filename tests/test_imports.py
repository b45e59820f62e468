"""No two files need each other: the imports of the package, of types and in functions too, go round in no circle."""

from __future__ import annotations

import grimp

REMAINING = [
    {"mtl_cli.models.embedding_layers", "mtl_cli.models.embeddings"},
    {"mtl_cli.models.esm2.files", "mtl_cli.models.esm2.layers", "mtl_cli.models.trunks.esm2"},
]
"""Circles that are still there; none may be added, and one that is gone is taken out here."""


def circles(graph: grimp.ImportGraph) -> list[set[str]]:
    """Return the sets of modules of which each needs, by way of others, every other (Tarjan's components)."""
    found: list[set[str]] = []
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_: list[str] = []

    def visit(module: str) -> None:
        number[module] = lowest[module] = len(number)
        open_.append(module)
        for other in graph.find_modules_directly_imported_by(module):
            if other not in number:
                visit(other)
                lowest[module] = min(lowest[module], lowest[other])
            elif other in open_:
                lowest[module] = min(lowest[module], number[other])
        if lowest[module] == number[module]:
            place = open_.index(module)
            if len(open_) - place > 1:
                found.append(set(open_[place:]))
            del open_[place:]

    for module in sorted(graph.modules):
        if module not in number:
            visit(module)
    return found


def test_circles_are_found() -> None:
    graph = grimp.ImportGraph()
    for importer, imported in (("a", "b"), ("b", "c"), ("c", "b"), ("c", "d"), ("d", "e"), ("e", "a"), ("f", "a")):
        graph.add_import(importer=importer, imported=imported)
    assert circles(graph) == [{"a", "b", "c", "d", "e"}]


def test_no_two_files_need_each_other() -> None:
    found = circles(grimp.build_graph("mtl_cli", cache_dir=None))
    assert sorted(map(sorted, found)) == sorted(map(sorted, REMAINING))
