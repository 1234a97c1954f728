"""Scores of `benchmarks/erass.py`: against closed forms, and on a survey made here."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.stats import norm

from conftest import beta_model_survey
from icmass.estimators.posterior import Prediction
from icmass.estimators.registry import make_estimator
from icmass.inference.ensemble import load_ensemble

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import erass

SIGMA, BIAS, N = 0.3, 0.05, 4000


@pytest.fixture(scope="module")
def survey() -> xr.Dataset:
    return beta_model_survey(n=120, n_pixels=32, seed=8)


def test_scores_of_gaussian_posteriors_are_the_closed_forms() -> None:
    rng = np.random.default_rng(2)
    ln_m = rng.uniform(32.0, 33.0, N)
    prediction = Prediction(ln_m + BIAS + SIGMA * rng.normal(size=N), np.full(N, SIGMA))
    of = (prediction.mean - ln_m, prediction.cdf(ln_m), prediction.crps(ln_m), np.arange(N))
    found = erass.scores(*of)
    for name, value in (
        ("bias_lnm", BIAS),
        ("sigma_lnm", SIGMA),
        ("rms_lnm", np.hypot(BIAS, SIGMA)),
    ):
        error = found[f"{name}_error"]
        assert abs(found[name] - value) < 4 * error, name
    # errors of the mean and of the standard deviation; 200 draws give them to 5 per cent
    assert found["bias_lnm_error"] == pytest.approx(SIGMA / np.sqrt(N), rel=0.2)
    assert found["sigma_lnm_error"] == pytest.approx(SIGMA / np.sqrt(2 * N), rel=0.2)
    shift = BIAS / SIGMA
    for level in (68, 95):
        half = norm.ppf(0.5 + level / 200)
        expected = norm.cdf(half - shift) - norm.cdf(-half - shift)
        error = found[f"coverage{level}_error"]
        assert abs(found[f"coverage{level}"] - expected) < 4 * error
        assert error == pytest.approx(np.sqrt(expected * (1 - expected) / N), rel=0.2)


def test_errors_know_that_appearances_of_a_halo_are_one() -> None:
    rng = np.random.default_rng(3)
    residual = np.repeat(SIGMA * rng.normal(size=500), 4)
    one = np.full(2000, 0.5)
    alone = erass.scores(residual, one, one, np.arange(2000))
    together = erass.scores(residual, one, one, np.repeat(np.arange(500), 4))
    # a fourth of the halos: errors of the mean twice as large, each known to 5 per cent
    assert together["bias_lnm_error"] / alone["bias_lnm_error"] == pytest.approx(2, rel=0.25)
    # of n halos that are all inside the error is sqrt(p (1 - p) / n) at p = (n + 1) / (n + 2)
    assert together["coverage68_error"] == pytest.approx(np.sqrt(501 / 500) / 502)


def test_bins_hold_what_lies_in_them() -> None:
    value = np.concatenate([np.full(30, 13.1), np.full(5, 13.5), np.full(40, 13.7)])
    residual = np.concatenate([np.full(30, 0.1), np.full(5, 9.0), np.full(40, -0.2)])
    one = np.full(75, 0.5)
    rows = erass.binned(value, (13.0, 13.3, 13.6, 13.9), residual, one, one, np.arange(75))
    assert [(row["from"], row["n"]) for row in rows] == [(13.0, 30), (13.6, 40)]  # 5 are too few
    assert [row["bias_lnm"] for row in rows] == pytest.approx([0.1, -0.2])


def test_net_counts_are_those_of_the_cluster_alone(survey: xr.Dataset) -> None:
    radius = np.hypot(survey["y"].values[:, None], survey["x"].values)
    core = radius <= 0.5
    net, band = erass.net_counts(survey)
    assert band == "0.5-1.2, 1.2-2, 2-7"  # nothing adds up to 0.2-2.3: all are used
    maps = survey["maps"].values[:, 0].sum(1)
    rim = maps[:, radius >= erass.RIM_MPC_H].mean(1)
    expected = maps[:, core].sum(1) - rim * core.sum()
    # background of 1.5 a pixel: its noise within the aperture, and little of the rim's
    noise = np.sqrt(1.5 * core.sum() * (1 + core.sum() / (radius >= erass.RIM_MPC_H).sum()))
    pull = (net - expected) / noise
    assert abs(pull.mean()) < 4 / np.sqrt(len(pull)) and 0.7 < pull.std() < 1.3


def test_count_rates_are_turned_into_masses(survey: xr.Dataset) -> None:
    found = erass.count_rate_masses(erass.Truth(survey))
    # counts go with mass^1.3 and scatter by 0.35 in ln: by 0.27 in ln M, and what the noise adds
    assert found["n"] + found["without_net_counts"] == 120
    assert 0.9 < found["mass_slope"] < 1.7
    assert 0.2 < found["relation_inverted"]["sigma_lnm"] < 0.6
    assert found["mean_mass_at_rate"]["rms_lnm"] < 0.6


def test_a_model_is_scored_with_three_priors_and_told_in_a_table(
    tmp_path: Path, survey: xr.Dataset
) -> None:
    estimator = make_estimator("icm-3band", seed=1, max_epochs=1, device="cpu")
    estimator.fit(survey, np.arange(60))
    estimator.save(tmp_path)
    truth = erass.Truth(survey)
    found = erass.score_model(load_ensemble(tmp_path, device="cpu"), survey, truth)
    assert (found["n"], found["refused"]) == (120, 0)
    for prior in ("training", "mass-function", "population"):
        of_prior = found[prior]
        assert of_prior["n"] + of_prior["lost"] == 120
        assert sum(row["n"] for row in of_prior["by_true_mass"]) <= 120
    # the mass function falls steeply: it draws masses down from a prior that is flat
    assert found["mass-function"]["bias_lnm"] < found["training"]["bias_lnm"]
    about = {"n": 120, "seed": 8, "count_rate": erass.count_rate_masses(truth), "failed": {}}
    text = erass.table({"surveys": {"toy": about | {"models": {"net": found}}}})
    assert "toy, net" in text and "mass-function" in text and "relation inverted" in text


def test_surveys_are_in_bands_that_add_up_to_those_of_every_model() -> None:
    from icmass.inference.bundled import model_folder

    bands = erass.bands_of([load_ensemble(model_folder("erosita-v1"), device="cpu")])
    assert bands == [(0.2, 0.5), (0.5, 1.2), (1.2, 2.0), (2.0, 2.3), (2.3, 7.0)]
