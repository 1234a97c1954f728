"""The error of the mass scale: apart from the statistical one, and what lensing would bring."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import icmass
from icmass.estimators.registry import make_estimator
from icmass.inference.ensemble import Ensemble, load_ensemble
from icmass.inference.scale_error import ScaleError, physics_prior_universes, physics_spread
from icmass.run.layout import TRANSFER
from icmass.survey.presets import resolve_config


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory, toy_survey: xr.Dataset) -> Path:
    """A scaling relation, saved: quick, and its folder may hold what a network's does."""
    folder = tmp_path_factory.mktemp("relation")
    estimator = make_estimator("N_phot", seed=1)
    estimator.fit(toy_survey, np.arange(toy_survey.sizes["cluster"]))
    estimator.save(folder)
    return folder


def model_with(folder: Path, tmp_path: Path, rows: Any = None, config: Any = None) -> Ensemble:
    """Return the model as if it were kept elsewhere, with scores or another training survey."""
    ensemble = load_ensemble(folder)
    if rows is not None:
        (tmp_path / TRANSFER).write_text(json.dumps({"rows": rows}))
    survey = ensemble.training.survey
    if config is not None:
        survey = survey | {"config": config}
    training = replace(ensemble.training, survey=survey)
    return replace(ensemble, folder=tmp_path, scatter=0.24, training=training)


def test_the_spread_is_what_sampling_errors_leave(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    n, spread, error = 4000, 0.15, 0.10
    bias = spread * rng.normal(size=n) + error * rng.normal(size=n)
    rows = [{"test": "x", "bias_lnm": b, "bias_lnm_error": error} for b in bias.tolist()]
    (tmp_path / TRANSFER).write_text(json.dumps({"rows": rows}))
    # the error of a standard deviation of 0.18 from 4000 is 0.002; of the corrected one 0.0025
    assert physics_spread(tmp_path) == pytest.approx(spread, abs=4 * 0.0025)
    (tmp_path / TRANSFER).write_text(json.dumps({"rows": rows[:1]}))
    assert physics_spread(tmp_path) is None


def test_lensing_masses_bring_what_their_number_says(fitted: Path, tmp_path: Path) -> None:
    error = ScaleError.of(model_with(fitted, tmp_path), is_calibrated=False)
    # sqrt(0.24^2 + 0.35^2) = 0.4244; over sqrt(100) and sqrt(300)
    assert error.with_lensing(100) == pytest.approx(0.04244, rel=1e-3)
    assert error.with_lensing(300) == pytest.approx(0.02450, rel=1e-3)
    rng = np.random.default_rng(1)
    off = 0.24 * rng.normal(size=(4000, 100)) - 0.35 * rng.normal(size=(4000, 100))
    assert error.with_lensing(100) == pytest.approx(off.mean(1).std(), rel=4 / np.sqrt(8000))


def test_physics_is_measured_marginal_calibrated_or_unknown(fitted: Path, tmp_path: Path) -> None:
    rows = [{"test": "rich", "bias_lnm": 0.1}, {"test": "poor", "bias_lnm": -0.3}]
    unknown = ScaleError.of(model_with(fitted, tmp_path), is_calibrated=False)
    assert (unknown.kind, unknown.std) == ("unknown", None)
    assert any("has not been measured" in line for line in unknown.lines())
    measured = ScaleError.of(model_with(fitted, tmp_path, rows), is_calibrated=False)
    assert measured.kind == "measured" and measured.std == pytest.approx(
        np.std([0.1, -0.3], ddof=1)
    )
    told = " ".join(measured.lines())
    assert "-0.30 (poor) to +0.10 (rich)" in told and "the gas physics adds 0.28 in ln M" in told
    prior = resolve_config("erosita", physics="prior", universes=500).model_dump_json()
    marginal = ScaleError.of(model_with(fitted, tmp_path, rows, prior), is_calibrated=False)
    assert (marginal.kind, marginal.std) == ("marginal", 0.0)
    told = " ".join(marginal.lines())
    assert "500 universes" in told and "no further physics error is added" in told
    assert "the errors given do not hold" not in told and "-0.30 (poor)" in told
    calibrated = ScaleError.of(model_with(fitted, tmp_path, rows), is_calibrated=True)
    assert (calibrated.kind, calibrated.lines()) == ("calibrated", [])
    assert calibrated.facts()["with_lensing_masses"] == []


@pytest.mark.parametrize("config", [None, "{", "[]", '{"physics": null}'])
def test_a_survey_of_one_physics_is_of_no_prior(config: str | None) -> None:
    assert physics_prior_universes({} if config is None else {"config": config}) is None


def test_predict_has_both_errors_apart(fitted: Path, toy_survey: xr.Dataset) -> None:
    rows = [{"test": "a", "bias_lnm": 0.1}, {"test": "b", "bias_lnm": -0.3}]
    (fitted / TRANSFER).write_text(json.dumps({"rows": rows}))
    try:
        masses = icmass.predict(toy_survey, model=fitted, index=[0, 1])
    finally:
        (fitted / TRANSFER).unlink()
    scale, row = masses.document["mass_scale"], next(iter(masses))
    assert scale["kind"] == "measured"
    assert (
        row["ln_m500c_std_physics"] == scale["physics_std_lnm"] == pytest.approx(0.2828, abs=1e-4)
    )
    alone = next(iter(icmass.predict(toy_survey, model=fitted, index=[0, 1])))
    assert alone["ln_m500c_std_physics"] is None
    assert alone["ln_m500c_std"] == row["ln_m500c_std"]
