"""The glossary against the code: its order, and every name that it says is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROWS = [
    [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]
    for line in (ROOT / "docs/glossary.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| term")
]


def names_of(file: Path) -> set[str]:
    """Return what a module defines at any depth: functions, classes, fields, constants."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def references(where: str) -> list[tuple[str, str]]:
    """Return the pairs of file and name of a row's last cell."""
    pairs = []
    for part in where.split(";"):
        file, *names = re.findall(r"`([^`]+)`", part)
        pairs += [(file, name) for name in names]
    return pairs


def test_terms_are_in_alphabetical_order_and_have_a_meaning():
    terms = [row[0] for row in ROWS]
    assert len(terms) >= 60 and len({*terms}) == len(terms)
    assert terms == sorted(terms, key=lambda term: re.sub(r"[\s(),-]+", " ", term).casefold())
    assert [row[0] for row in ROWS if len(row) != 4 or len(row[2].split()) < 2] == []


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_what_a_term_refers_to_is_in_the_code(row: list[str]):
    pairs = references(row[3])
    assert pairs
    for file, name in pairs:
        path = ROOT / "src/icmass" / file
        assert path.is_file(), file
        assert name in names_of(path), f"{file}: {name}"


def test_documents_link_the_glossary():
    for document in ("README.md", "docs/architecture.md"):
        assert "glossary.md" in (ROOT / document).read_text(encoding="utf-8"), document
