"""The order of the rooms: imports go down only, and no module imports itself by way of others."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "icmass"
FLOORS = (
    *("cli", "face", "report", "explanation", "benchmarking", "inference", "calibration"),
    *("validation", "estimators", "training", "run", "proxies", "survey", "io", "missions"),
    *("observe", "universe", "networks", "telescope", "sky", "plasma", "cosmology"),
    *("parameter", "plugins", "files", "main_process", "arguments", "errors"),
)
"""From the top down; a room knows those that come after it."""
MODULES = sorted(path for path in ROOT.rglob("*.py") if path.name != "__main__.py")


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path, *, only_at_import: bool = False) -> Iterator[str]:
    """Yield the modules of icmass that a file imports, but for those of its types alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing = [
        node
        for test in ast.walk(tree)
        if isinstance(test, ast.If) and "TYPE_CHECKING" in ast.unparse(test.test)
        for node in ast.walk(test)
    ]
    for node in tree.body if only_at_import else ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node not in typing:
            module = node.module or ""
            for alias in node.names if module.split(".")[0] == "icmass" else ():
                inner = f"{module}.{alias.name}"
                yield (
                    inner if (ROOT.parent / (inner.replace(".", "/") + ".py")).is_file() else module
                )


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_down(path: Path) -> None:
    room = (*name_of(path).split("."), "")[1]
    if not room:
        return
    above = set(FLOORS[: FLOORS.index(room)])
    up = [module for module in imports(path) if (*module.split("."), "")[1] in above]
    assert up == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {name_of(path): set(imports(path, only_at_import=True)) for path in MODULES}
    for name, imported in graph.items():
        imported.discard(name)
    TopologicalSorter(graph).prepare()


def test_the_orders_of_docs_and_test_are_one() -> None:
    """The table of docs/architecture.md names the same rooms in the same order."""
    text = (ROOT.parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.partition("| floor | holds |")[2].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    named = [word.strip("`/ ") for cell in cells for word in cell.split(",")]
    assert named == list(FLOORS)
