"""The mock's count rates at fixed mass and redshift beside those of the eFEDS catalogue."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from icmass.cosmology import Cosmology
from icmass.observe.apertures import photon_counts
from icmass.survey.config import SurveyConfig
from icmass.survey.presets import resolve_config
from icmass.survey.simulate import Simulator
from icmass.validation.rate_relation import (
    AMPLITUDE,
    MASS_SLOPE,
    REDSHIFT_SLOPE,
    ROWS,
    RateRelation,
    onaxis_rates,
    rate_findings,
)

RNG = np.random.default_rng(4)
N = 300


@pytest.fixture
def survey() -> xr.Dataset:
    """Clusters of 3 keV whose L(0.5-2 keV)/E^2 goes as M^1.9, with a scatter of 0.2."""
    config = SurveyConfig(preset="efeds")
    cosmology = config.cosmology
    mass = np.geomspace(5e13, 9e14, N)
    redshift = RNG.permutation(np.linspace(0.11, 0.6, N))
    light = 0.46 * (mass / 2e14) ** 1.9 * cosmology.efunc(redshift) ** 2
    columns = {
        "m500c": mass * cosmology.h,
        "redshift": redshift,
        "L_X_soft": light * np.exp(0.2 * RNG.permutation(np.linspace(-1.7, 1.7, N))),
        "T": np.full(N, 3.0),
        "nh": np.full(N, 3.5),
    }
    attrs = {
        "preset": "efeds",
        "config": config.model_dump_json(),
        "cosmology": cosmology.model_dump_json(),
    }
    return xr.Dataset({name: ("cluster", v) for name, v in columns.items()}, attrs=attrs)


def test_a_relation_is_fitted_to_what_it_gives():
    true, cosmology = RateRelation(0.2, 1.7, -0.6, 0.0), Cosmology()
    mass, redshift = RNG.uniform(5e13, 1e15, 50), RNG.uniform(0.1, 0.9, 50)
    rate = true.rate(mass, redshift, cosmology)
    found = RateRelation.fit(rate, mass, redshift, cosmology)
    assert (found.amplitude, found.mass_slope) == pytest.approx((0.2, 1.7))
    assert found.redshift_slope == pytest.approx(-0.6) and found.scatter < 1e-9
    at = true.rate(np.array([2e14]), np.array([0.35]), cosmology)
    assert at == pytest.approx(0.2)
    z = np.array([0.35, 0.7])
    near, far = true.rate(np.full(2, 2e14), z, cosmology)
    dimmer = np.diff(np.log((1 + z) * cosmology.comoving_distance(z)))[0]
    brighter = np.diff(np.log(cosmology.efunc(z)))[0]
    assert np.log(far / near) == pytest.approx(2 * (brighter - dimmer) - 0.6 * np.log(1.7 / 1.35))


def test_rows_are_those_of_the_light_put_in(survey):
    found = rate_findings(survey, np.random.default_rng(0), 20)
    rate, mass_slope, redshift_slope = found.checks
    assert [check.name for check in found.checks] == list(ROWS)
    assert mass_slope.value == pytest.approx(1.9, abs=0.03) and mass_slope.ok
    later = survey.assign(L_X_soft=survey["L_X_soft"] * (1 + survey["redshift"]) ** 0.5)
    steeper = rate_findings(later, np.random.default_rng(0), 2).checks[2]
    assert steeper.value - redshift_slope.value == pytest.approx(0.5)
    assert 0.5 < rate.error / rate.value / (0.2 / np.sqrt(N)) < 2 and "scatter 0.20" in rate.unit
    brighter = survey.assign(L_X_soft=1.4 * survey["L_X_soft"])
    bright = rate_findings(brighter, np.random.default_rng(0), 2).checks[0]
    assert bright.value == pytest.approx(1.4 * rate.value) and not bright.ok
    tilted = survey.assign(L_X_soft=survey["L_X_soft"] * (survey["m500c"] / 2e14) ** -0.3)
    assert not rate_findings(tilted, np.random.default_rng(0), 2).checks[1].ok


def test_surveys_without_the_relation_say_why(survey):
    def absent(changed: xr.Dataset) -> str:
        found = rate_findings(changed, np.random.default_rng(0), 2)
        assert found.checks == []
        (reason,) = found.absent
        assert found.absent[reason] == list(ROWS)
        return reason

    assert "preset efeds" in absent(survey.assign_attrs(preset="phox"))
    assert "not in this survey" in absent(survey.drop_vars("L_X_soft"))
    assert "fewer than 30" in absent(survey.isel(cluster=slice(0, 20)))
    assert "not of this version" in absent(survey.assign_attrs(config=json.dumps({"a": 1})))
    config = SurveyConfig.model_validate(json.loads(resolve_config("erass1").model_dump_json()))
    assert "detected" in absent(survey.assign_attrs(config=config.model_dump_json()))


def test_rates_of_the_light_are_those_of_photons_counted_on_axis_without_psf():
    """The light is of a sphere, the photons of a cylinder: 3 per cent more."""
    settings = ("observe.vignetting=onaxis", "observe.psf=false", "observe.coverage=null")
    settings += ("observe.bands=[[0.2,2.3]]", "observe.exposure_s=20000", "observe.n_pixels=64")
    config = resolve_config("efeds", None, settings)
    simulator = Simulator(config, 11)
    clusters = [simulator.cluster(i) for i in range(40)]
    names = ("m500c", "redshift", "T", "L_X_soft", "nh", "r500c")
    table = xr.Dataset({n: ("cluster", np.array([float(c[n]) for c in clusters])) for n in names})
    table.attrs["config"] = config.model_dump_json()
    expected = 20000 * onaxis_rates(table, np.arange(40))
    gas = np.stack([np.asarray(c["maps"])[0] for c in clusters])
    counted = photon_counts(gas, table["r500c"].values, half_width=2.3)["n_phot_r500"]
    ratio = counted / expected
    assert 0.97 < np.median(ratio) < 1.15, np.median(ratio)


def test_targets_are_those_of_the_catalogue(data_dir: Path):
    file = data_dir / "erosita" / "efeds_clusters_mcmf.csv.gz"
    if not file.is_file():
        pytest.skip(f"absent: {file}")
    with gzip.open(file, "rt") as stream:
        rows = list(csv.DictReader(stream))
    names = ("ML_RATE", "MASSPROX_BEST_COMB", "Z_BEST_COMB")
    rate, mass, redshift = (np.array([float(row[name]) for row in rows]) for name in names)
    assert len(rate) == 542
    found = RateRelation.fit(rate, 1e14 * mass, redshift, Cosmology(h=0.7, om0=0.3))
    assert found.amplitude == pytest.approx(AMPLITUDE.value, abs=6e-4)
    assert found.mass_slope == pytest.approx(MASS_SLOPE.value, abs=0.006)
    assert found.redshift_slope == pytest.approx(REDSHIFT_SLOPE.value, abs=0.006)
    assert found.scatter < 0.04
