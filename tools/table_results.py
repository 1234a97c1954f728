"""What the tables of README and docs are read from: files of `benchmarks/results/`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results"
sys.path.insert(0, str(RESULTS.parent))
EROSITA_SURVEYS = {
    "erass1": "eRASS1",
    "erass1-cosmology": "eRASS1, extent likelihood 6",
    "erass8": "eRASS:8",
    "erass8-cosmology": "eRASS:8, extent likelihood 6",
    "efeds": "eFEDS",
}


def table_row(*cells: str) -> str:
    """Return a row of a table in Markdown."""
    return f"| {' | '.join(cells)} |"


@cache
def results(name: str) -> Any:
    """Return a file of results."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def per_cent(row: dict[str, Any], key: str, *, signed: bool = False) -> str:
    """Return a number and its error, if it has one, in per cent."""
    text = f"{100 * row[key]:{'+' if signed else ''}.1f}"
    error = row.get(f"{key}_error")
    return text if error is None else f"{text} ± {100 * error:.1f}"


def estimators(name: str, *names: str) -> Iterator[dict[str, Any]]:
    """Yield rows of a benchmark in the order of the names given."""
    found = {row["name"]: row for row in results(name)["estimators"]}
    yield from (found[key] for key in names)
