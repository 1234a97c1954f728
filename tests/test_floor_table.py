"""The table of both bounds: the best network of each kind of data, and where it comes from."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import floor_table  # noqa: E402


def _row(name: str, sigma: float) -> dict:
    return {"name": name, "sigma_lnm": sigma, "sigma_lnm_error": 0.01}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    survey = {"n_clusters": 800}
    rows = [_row("L_X", 0.05), _row("paper-1band", 0.3), _row("icm-1band@4", 0.28)]
    rows.append(_row("icm-3band", 0.24))
    run = {"survey": survey, "folds": 8, "estimators": rows}
    (tmp_path / "erosita-800.json").write_text(json.dumps(run))
    rows = [
        _row("icm-3band", sigma) | {"n_train": 9000, "bands": bands}
        for sigma, bands in ((0.23, 3), (0.2, 9))
    ]
    curve = {"preset": "erosita", "rows": rows}
    (tmp_path / "learning-curve.json").write_text(json.dumps(curve))
    lower = [
        _row("", 0.1) | {"data": data, "told_all_but": observer}
        for data in floor_table.OF_DATA
        for observer in floor_table.OBSERVERS
    ]
    floor = {"oracles": {"photons": 1}, "ideal_observer": {"erosita": {"rows": lower}}}
    (tmp_path / "floor.json").write_text(json.dumps(floor))
    return tmp_path


def test_the_best_network_of_each_kind_is_the_upper_bound(folder: Path) -> None:
    found = floor_table.upper_bounds(folder, "erosita")
    assert found["one band"]["name"] == "icm-1band@4"  # and never a proxy
    assert found["one band"]["n_train"] == 700
    assert found["three bands"]["n_train"] == 9000
    assert found["three bands"]["file"] == "learning-curve.json"
    assert "maps and galaxies" not in found
    assert floor_table.upper_bounds(folder, "phox") == {}


def test_what_stood_in_the_file_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["floor_table", str(folder / "floor.json"), "--write"])
    floor_table.main()
    printed = capsys.readouterr().out
    ten = "10.0 ± 1.0"
    assert f"| `erosita` | three bands | {4 * f'{ten} | '}23.0 ± 1.0 (`icm-3band`) |" in printed
    assert f"| maps and galaxies | {4 * f'{ten} | '}– |" in printed
    document = json.loads((folder / "floor.json").read_text())
    assert document["oracles"] == {"photons": 1}
    assert document["upper_bound"]["erosita"]["one band"]["sigma_lnm"] == 0.28


def test_large_networks_have_a_column_where_there_are_any(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        _row(name, sigma) | {"preset": preset, "data": "three bands", "kind": kind, "n_train": n}
        for name, sigma, preset, kind, n in (
            ("icm-3band", 0.22, "erosita", "small", 99_900),
            ("icm-large-3band", 0.21, "erosita", "large", 99_800),
            ("icm-large-3band", 0.09, "phox", "large", 100_000),
        )
    ]
    monkeypatch.setattr("sys.argv", ["floor_table", str(folder / "floor.json"), "--write"])
    floor_table.main()
    assert "large" not in capsys.readouterr().out
    (folder / floor_table.LARGE).write_text(json.dumps({"n": 100_000, "rows": rows}))
    floor_table.main()
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].endswith("| best trained | large network, 1e5 clusters |")
    assert printed[1] == "|---|---|---:|---:|---:|---:|---:|---:|"
    assert printed[3].endswith("| 23.0 ± 1.0 (`icm-3band`) | 21.0 ± 1.0 |")
    assert printed[4].endswith("| – | – |")
    document = json.loads((folder / "floor.json").read_text())
    kept = document["large_network"]["erosita"]["three bands"]
    assert (kept["name"], kept["n_train"]) == ("icm-large-3band", 99_800)
    assert kept["file"] == "upper-bound.json"
    assert document["upper_bound"]["erosita"]["three bands"]["sigma_lnm"] == 0.23


def test_a_file_without_lower_bounds_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "floor.json").write_text("{}")
    monkeypatch.setattr("sys.argv", ["floor_table", str(folder / "floor.json")])
    with pytest.raises(SystemExit, match=r"floor\.json.*ideal_observer"):
        floor_table.main()


def test_committed_lower_bounds_lie_below_what_was_trained() -> None:
    document = json.loads((BENCHMARKS / "results" / "floor.json").read_text())
    assert {"photons", "noiseless", "spectrum"} <= document["oracles"].keys()
    for preset, observed in document["ideal_observer"].items():
        of = {(row["data"], row["told_all_but"]): row["sigma_lnm"] for row in observed["rows"]}
        for data in floor_table.OF_DATA:
            bounds = [of[data, observer] for observer in floor_table.OBSERVERS]
            assert 0 < bounds[0] < bounds[1] < bounds[2] <= bounds[3]
            best = document["upper_bound"][preset].get(data)
            assert best is None or bounds[3] < best["sigma_lnm"]
