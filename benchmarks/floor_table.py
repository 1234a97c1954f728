"""Both bounds of the scatter in one table: ideal observers, and the best that has been trained.

    python benchmarks/floor_table.py results/floor.json [--write]

The upper bound is the least scatter of any network in the committed results of a preset
(`<preset>-<n>.json`, and `learning-curve*.json` with more clusters), beside the lower bounds that
`ideal_observer.py` has put into the file. Where `upper-bound.json` (`upper_bound.py`) is beside it,
the large networks have a column of their own. Printed as Markdown; `--write` keeps the upper bounds
in the file as `upper_bound` and `large_network`, and where each comes from.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OF_DATA = {
    "one band": ("paper-1band", "icm-1band"),
    "three bands": ("paper-3band", "icm-3band"),
    "maps and galaxies": ("paper-multimodal", "icm-multimodal"),
}
OBSERVERS = ("photon noise", "halo scatter", "gas unknown", "AGN unknown")
LARGE = "upper-bound.json"
BANDS = 3
"""Those of the ideal observers; networks that see more are bound by others."""


def trained(folder: Path, preset: str) -> Iterator[dict[str, Any]]:
    """Yield every network of the results of a preset: name, scatter, and where it stands."""
    for file in sorted(folder.glob(f"{preset}-[0-9]*.json")):
        document = json.loads(file.read_text())
        for row in document.get("estimators", []):
            n = document["survey"]["n_clusters"]
            yield _kept(row, file, n - n // document["folds"])
    for file in sorted(folder.glob("learning-curve*.json")):
        document = json.loads(file.read_text())
        for row in document["rows"] if document["preset"] == preset else ():
            if row["bands"] <= BANDS:
                yield _kept(row, file, row["n_train"])


def _kept(row: dict[str, Any], file: Path, n_train: int) -> dict[str, Any]:
    kept = {key: row[key] for key in ("name", "sigma_lnm", "sigma_lnm_error")}
    return kept | {"n_train": n_train, "file": file.name}


def upper_bounds(folder: Path, preset: str) -> dict[str, dict[str, Any]]:
    """Return the network of least scatter for each kind of data, where one was trained."""
    rows = list(trained(folder, preset))
    found = {}
    for data, names in OF_DATA.items():
        of_data = [row for row in rows if row["name"].partition("@")[0] in names]
        if of_data:
            found[data] = min(of_data, key=lambda row: float(row["sigma_lnm"]))
    return found


def large_networks(folder: Path, preset: str) -> dict[str, dict[str, Any]]:
    """Return the large network of each kind of data, where one was trained."""
    file = folder / LARGE
    rows = json.loads(file.read_text())["rows"] if file.exists() else []
    return {
        row["data"]: _kept(row, file, row["n_train"])
        for row in rows
        if row["kind"] == "large" and row["preset"] == preset
    }


def table(document: dict[str, Any]) -> str:
    """Return lower and upper bounds as Markdown, in per cent."""
    large = document.get("large_network", {})
    most = max((row["n_train"] for of in large.values() for row in of.values()), default=0)
    last_column = [f"large network, {_power(most)} clusters"] if most else []
    columns = ["preset", "data", *OBSERVERS, "best trained", *last_column]
    lines = ["| " + " | ".join(columns) + " |"]
    lines.append("|---|---" + (len(columns) - 2) * "|---:" + "|")
    for preset, observed in document["ideal_observer"].items():
        of = {(row["data"], row["told_all_but"]): row for row in observed["rows"]}
        for data in OF_DATA:
            cells = [_shown(of[data, observer]) for observer in OBSERVERS]
            best = document["upper_bound"][preset].get(data)
            cells.append("–" if best is None else f"{_shown(best)} (`{best['name']}`)")
            if last_column:
                row = large.get(preset, {}).get(data)
                cells.append("–" if row is None else _shown(row))
            lines.append("| " + " | ".join([f"`{preset}`", data, *cells]) + " |")
    return "\n".join(lines)


def _power(n: int) -> str:
    """Return a number with one digit, as 1e5."""
    return f"{n:.0e}".replace("e+0", "e").replace("e+", "e")


def _shown(row: dict[str, Any]) -> str:
    return f"{100 * row['sigma_lnm']:.1f} ± {100 * row['sigma_lnm_error']:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("floor", type=Path)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    try:
        document = json.loads(given.floor.read_text())
        presets = list(document["ideal_observer"])
    except (OSError, ValueError, KeyError) as error:
        raise SystemExit(
            f"floor_table: {given.floor}: no ideal_observer in it ({error}); run ideal_observer.py"
        ) from None
    document["upper_bound"] = {
        preset: upper_bounds(given.floor.parent, preset) for preset in presets
    }
    large = {preset: large_networks(given.floor.parent, preset) for preset in presets}
    document.pop("large_network", None)
    if any(large.values()):
        document["large_network"] = large
    print(table(document))
    if given.write:
        given.floor.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
