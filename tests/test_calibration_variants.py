"""`benchmarks/calibration_variants.py`: the physics kept aside, lensing masses, scores."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.stats import norm

from icmass.calibration.lensing_table import read_lensing_table
from icmass.cosmology import Cosmology
from icmass.estimators.posterior import Prediction
from icmass.survey.presets import resolve_config
from icmass.survey.variants import VARIANTS

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import calibration_variants as benchmark


def test_the_physics_kept_aside_is_that_of_no_variant() -> None:
    plain = resolve_config()
    held = resolve_config(assignments=benchmark.KEPT_ASIDE)
    assert held.gas.f_gas < plain.gas.f_gas and held.gas.f_gas_slope > plain.gas.f_gas_slope
    assert held.gas.t_kev < plain.gas.t_kev and held.gas.cusp_share > plain.gas.cusp_share
    assert held.agn.satellites == pytest.approx(1.7 * plain.agn.satellites)
    brighter = held.agn.central_log_l - plain.agn.central_log_l
    assert brighter == pytest.approx(np.log10(1.7), abs=0.01)
    for name in VARIANTS:
        other = resolve_config(variants=(name,))
        assert (other.gas, other.agn) != (held.gas, held.agn)
        # "less gas, steeper": no variant with as little gas has as steep a relation
        assert other.gas.f_gas > held.gas.f_gas or other.gas.f_gas_slope < held.gas.f_gas_slope


def test_lensing_masses_scatter_by_35_per_cent_about_the_true_ones(tmp_path: Path) -> None:
    n = 2000
    rng = np.random.default_rng(1)
    survey = xr.Dataset(
        {
            "m500c": ("cluster", np.exp(rng.uniform(32, 34, n))),
            "redshift": ("cluster", rng.uniform(0.1, 0.5, n)),
        }
    )
    index = np.arange(5, n)
    file = benchmark.lensing_table(survey, index, rng, tmp_path / "wl.csv")
    found = read_lensing_table(file, Cosmology())
    assert list(found.cluster[:2]) == ["5", "6"] and np.all(found.ln_error == 0.35)
    off = found.ln_mass - np.log(survey["m500c"].values[index])
    # of 1995 draws: the mean to 0.008, the standard deviation to 0.0055
    assert abs(off.mean()) < 4 * 0.008 and abs(off.std() - 0.35) < 4 * 0.0055


def test_scores_of_a_shifted_gaussian_are_the_closed_forms() -> None:
    n, sigma, bias = 4000, 0.25, 0.1
    rng = np.random.default_rng(2)
    ln_m = rng.uniform(32, 34, n)
    prediction = Prediction(ln_m + bias + sigma * rng.normal(size=n), np.full(n, sigma))
    masses: Any = SimpleNamespace(prediction=prediction, rows=np.arange(n))
    found = benchmark.scores(masses, np.exp(ln_m))
    error = sigma / np.sqrt(n)
    assert abs(found["bias"] - bias) < 4 * error
    assert found["error_of_mean"] == pytest.approx(error, rel=4 / np.sqrt(2 * n))
    assert found["rms"] == pytest.approx(np.hypot(sigma, bias), rel=4 / np.sqrt(2 * n))
    half = norm.ppf(0.84)
    expected = norm.cdf(half - bias / sigma) - norm.cdf(-half - bias / sigma)
    assert abs(found["coverage68"] - expected) < 4 * np.sqrt(expected * (1 - expected) / n)
