"""Explorers of made-up clusters whose every number is known, and pages of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from icmass.estimators.posterior import Prediction
from icmass.report.explorer.contents import (
    Attributions,
    Contents,
    Estimates,
    Part,
    survey_properties,
)
from icmass.report.explorer.section import make_explorer
from icmass.report.page import fill_template

SCATTER = {"network": 0.15, "count": 0.4}
EVIL = "</script><img src=x onerror=alert(1)>"


def made_up(survey: xr.Dataset, seed: int = 0) -> Contents:
    """Return two estimators, one with whole posteriors, scores and attributions."""
    rng = np.random.default_rng(seed)
    n = survey.sizes["cluster"]
    rows = np.arange(n)
    truth = np.log(survey["m500c"].values)
    estimates = []
    for name, sigma in SCATTER.items():
        score = rng.uniform(0, 1.1, n) if name == "network" else None
        found = Prediction(truth + rng.normal(0, sigma, n), np.full(n, sigma), None, score)
        if name == "network":
            found = Prediction.from_density(found.tabulated(), found.out_of_domain)
        estimates.append(Estimates(name, rows, found))
    part = Part("survey", survey, rows)
    side = survey.sizes["x"]
    maps = rng.normal(0, 1, (n, side, side)) ** 3 * 1e-3
    return Contents(
        [part],
        survey_properties([part]),
        estimates,
        [[f"off-centre: {EVIL}"] if i == 3 else [] for i in rows],
        [Attributions("network", rows[:500], maps[:500])],
        "network",
    )


def write_page(contents: Contents, file: Path) -> Path:
    """Write a page that holds an explorer alone."""
    text = fill_template(
        kicker="test", title="Test", lead="", sections=[], explorer=make_explorer(contents)
    )
    file.write_text(text, encoding="utf-8")
    return file
