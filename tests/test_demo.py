"""The demo: one command from nothing to a page, and again from what is there."""

from __future__ import annotations

import json

import pytest

from conftest import save_blank
from icmass.cli import demo


@pytest.mark.usefixtures("undrawn")
def test_demo_goes_from_nothing_to_a_page(run_cli, tmp_path, monkeypatch):
    small = {"EPOCHS": 1, "FOLDS": 2, "N_EXPLAINED": 4, "NETWORKS": "icm-3band", "MOST_JOBS": 1}
    for name, value in small.items():
        monkeypatch.setattr(demo, name, value)
    monkeypatch.setattr("icmass.main_process.usable_cores", lambda: 1)
    monkeypatch.setattr("icmass.report.explain.save", save_blank)
    out = tmp_path / "demo"
    first = run_cli("demo", "--out", out, "--n", "200")
    assert first.returncode == 0, first.stderr
    page = out / "run" / "report.html"
    assert page.exists() and str(page) in first.stdout
    assert "What the networks look at" in page.read_text()
    results = json.loads((out / "run" / "results.json").read_text())
    names = {row["name"] for row in results["estimators"]}
    assert names == {*demo.PROXIES.split(","), *demo.NETWORKS.split(",")}
    for row in results["estimators"]:
        assert row["n"] == 200 and 0.02 < row["sigma_lnm"] < 1.5
    again = run_cli("demo", "--out", out, "--n", "200")
    assert again.returncode == 0 and "Simulating" not in again.stdout
    assert json.loads((out / "run" / "results.json").read_text())["survey"] == results["survey"]
