"""Why a mass is not to be trusted; and apertures that are solved together with the mass."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from conftest import beta_model_survey
from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.estimators.info import EstimatorInfo, TrainingExtent
from icmass.estimators.posterior import Prediction
from icmass.estimators.registry import make_estimator
from icmass.inference import quality_flags
from icmass.inference.aperture import needs_aperture, solved_with_aperture
from icmass.inference.description import assumptions, describe, warnings
from icmass.inference.ensemble import Ensemble, Training, mix
from icmass.inference.quality_flags import (
    LEAST_SIGNIFICANCE,
    OFF_CENTRE_MPC_H,
    central_photons,
    is_upper_limit,
    reasons,
)
from icmass.observe.rates import count_rates
from icmass.proxies.observables import photon_counts
from icmass.survey.counts import counts, read_coverage
from icmass.telescope.instrument import load_instrument

N = 12
INDEX = np.arange(N)


@pytest.fixture
def survey() -> xr.Dataset:
    """Twelve clusters on 64 pixels: bright, in a background of 0.5 photons a pixel and band."""
    return beta_model_survey(N, n_pixels=64, seed=4)


def blank(seed: int = 0, level: float = 0.5) -> xr.Dataset:
    """Return fields of background alone."""
    survey = beta_model_survey(N, n_pixels=64, seed=4)
    maps = np.zeros(survey["maps"].shape, "u2")
    maps[:, 2] = np.random.default_rng(seed).poisson(level, maps[:, 2].shape)
    survey["maps"] = (survey["maps"].dims, maps)
    return survey


def ensemble(inputs: tuple[str, ...] = ("maps",), **training: Any) -> Ensemble:
    """Return a model of which only what it was trained on is asked for."""
    known = {
        "redshift_range": (0.05, 0.3), "mass_range": (1e13, 1e15), "grid": None, "n": 100,
        "survey": {"config": json.dumps({"observe": {"nh_1e20": 3.0}})},
        "exposure_range": (1000.0, 4000.0),
    }  # fmt: skip
    trained = TrainingExtent((0.05, 0.3), (1e13, 1e15), 100, nh_range_1e20=(1.0, 10.0))
    member = SimpleNamespace(info=EstimatorInfo("network", inputs, training=trained))
    return Ensemble(
        name="it", members=[member], training=Training(**(known | training)), folder=Path(),
        scatter=None,
    )  # type: ignore[list-item]  # fmt: skip


def prediction(n: int = N, score: float | None = None) -> Prediction:
    out = None if score is None else np.full(n, score)
    return Prediction(np.full(n, np.log(2e14)), np.full(n, 0.2), out_of_domain=out)


def why(survey: xr.Dataset, model: Ensemble | None = None, score: float | None = None) -> list[str]:
    """Return the reasons of the first cluster."""
    photons = central_photons(survey, INDEX)
    return reasons(model or ensemble(), survey, INDEX, prediction(score=score), photons)[0]


# ---------------------------------------------------------------- photons


def test_bright_clusters_in_the_middle_are_well(survey: xr.Dataset) -> None:
    photons = central_photons(survey, INDEX)
    assert min(p.significance for p in photons) > 2 * LEAST_SIGNIFICANCE
    assert all(p.offset is None and not is_upper_limit(p) for p in photons)
    x = survey["x"].values
    inside = np.hypot(x[:, None], x) <= 0.5
    soft = counts(survey)[:, :2].sum(1)
    assert [p.number for p in photons] == [m[inside].sum() for m in soft]
    assert why(survey) == []


def test_blank_fields_have_no_mass() -> None:
    found = [p for seed in range(8) for p in central_photons(blank(seed), INDEX)]
    shares = [is_upper_limit(p) for p in found]
    assert np.mean(shares) > 0.97
    assert sum(p.offset is not None for p in found) <= 2
    numbers = np.array([[p.number, p.expected] for p in found])
    assert numbers[:, 0].mean() == pytest.approx(numbers[:, 1].mean(), rel=0.05)
    [words] = [w for w in why(blank()) if "photons too few" in w]
    assert "within 0.5 Mpc/h" in words and "background" in words


def test_a_withheld_mass_is_an_upper_limit() -> None:
    mixed = mix([prediction(), prediction()])
    rows = describe(blank(), INDEX, mixed, None, ensemble())
    dim = [row for row in rows if row["excess_sigma"] < LEAST_SIGNIFICANCE]
    assert len(dim) >= N - 1
    for row in dim:
        assert row["m500c_1e14_msun_h"] is None and row["ln_m500c"] is None and row["flagged"]
        assert row["m500c_below_1e14_msun_h"] == pytest.approx(2 * np.exp(1.96 * 0.2), rel=0.01)
    rows = describe(beta_model_survey(N, n_pixels=64, seed=4), INDEX, mixed, None, ensemble())
    for row in rows:
        assert row["m500c_1e14_msun_h"]["median"] == pytest.approx(2)
        assert not row["flagged"] and "m500c_below_1e14_msun_h" not in row


@pytest.mark.parametrize("shift", [(24, 0), (-20, 20), (0, -26)])
def test_a_cluster_beside_the_middle_is_off_centre(
    survey: xr.Dataset, shift: tuple[int, int]
) -> None:
    moved = survey.copy(deep=True)
    maps = survey["maps"].values.copy()
    maps[:, 0] = np.roll(maps[:, 0], shift, (2, 3))
    moved["maps"] = (survey["maps"].dims, maps)
    distance = np.hypot(*shift) * 4.6 / 64
    bright = [p.significance > 40 for p in central_photons(survey, INDEX)]
    found = [p.offset for p, b in zip(central_photons(moved, INDEX), bright, strict=True) if b]
    offsets = np.array(found, float)  # NaN: not seen
    assert len(offsets) > 9 and (offsets > OFF_CENTRE_MPC_H).all()
    assert np.median(offsets) == pytest.approx(distance, abs=0.3)
    assert any("off-centre: a brighter source" in w for w in why(moved))


def test_a_point_source_is_not_an_extended_one(survey: xr.Dataset) -> None:
    spiked = survey.copy(deep=True)
    maps = survey["maps"].values.copy()
    maps[:, 1, :, 50, 50] = 2000
    spiked["maps"] = (survey["maps"].dims, maps)
    assert all(p.offset is None for p in central_photons(spiked, INDEX))


def test_large_maps_are_looked_at_on_fewer_pixels(survey: xr.Dataset) -> None:
    fine = beta_model_survey(N, n_pixels=128, seed=4)
    coarse = fine.isel(x=slice(0, None, 2), y=slice(0, None, 2)).copy(deep=True)
    maps = fine["maps"].values.reshape(N, 3, 3, 64, 2, 64, 2).sum((4, 6))
    coarse["maps"] = (fine["maps"].dims, maps.astype("u2"))
    for name in ("x", "y"):
        coarse[name] = fine[name].values.reshape(-1, 2).mean(1)
    for a, b in zip(central_photons(fine, INDEX), central_photons(coarse, INDEX), strict=True):
        assert a == b


def test_masked_pixels_are_not_dark(survey: xr.Dataset) -> None:
    """The background is per pixel that is seen: half of the outskirts hidden changes little."""
    half = survey.copy(deep=True)
    coverage = np.ones((N, 64, 64), "f2")
    coverage[:, :, :16] = 0
    half["coverage"] = (("cluster", "y", "x"), coverage)
    half["maps"] = survey["maps"] * coverage[:, None, None].astype("u2")
    whole, seen = central_photons(survey, INDEX), central_photons(half, INDEX)
    expected = np.array([[a.expected, b.expected] for a, b in zip(whole, seen, strict=True)])
    np.testing.assert_allclose(expected[:, 1], expected[:, 0], rtol=0.25)
    half["coverage"][:] = 0
    half["maps"][:] = 0
    assert all(is_upper_limit(p) and p.offset is None for p in central_photons(half, INDEX))


# ---------------------------------------------------------------- what the model was trained on


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("exposure", 900.0, ["exposure 900 s outside 1000 to 4000"]),
        ("exposure", 999.5, []),
        ("exposure", 5000.0, ["exposure 5000 s outside 1000 to 4000"]),
        ("nh", 30.0, ["N_H 30e20 cm^-2 outside 1 to 10"]),
        ("nh", 0.3, []),
        ("nh", 10.9, []),
        ("nh", 11.2, ["N_H 11.2e20 cm^-2 outside 1 to 10"]),
    ],
)
def test_exposure_and_column_density(
    survey: xr.Dataset, name: str, value: float, words: list[str]
) -> None:
    survey[name][:] = value
    assert why(survey) == words


def test_an_exposure_that_is_thinned_is_not_too_long(survey: xr.Dataset) -> None:
    survey["exposure"][:2] = [900.0, 5000.0]
    one = ensemble()
    one.members[0].info = replace(one.members[0].info, thins_exposures=True)
    assert why(survey, one) == ["exposure 900 s outside 1000 to 4000"]
    few = survey.isel(cluster=slice(1, None))
    given = few, INDEX[:-1], prediction(N - 1)
    assert not [w for w in warnings(one, *given) if "exposure" in w]
    said = assumptions(one, *given)
    assert any("4000 s trained on (1 of 11 clusters)" in line for line in said)


def test_column_density_is_judged_alike_in_warnings_and_reasons(survey: xr.Dataset) -> None:
    """Near is within 1e20 cm^-2 of the training: 4 per cent of the counts, whatever the value."""
    one = ensemble()
    one.members[0].info = EstimatorInfo("network", ("maps",))
    survey["visible_fraction"] = ("cluster", np.ones(N))
    told = {"notes": [], "exposure_maps_differ": 0.0, "bands_not_used": []}
    survey.attrs["observed"] = json.dumps(told)
    seen = {}
    for nh in (1.9, 2.1, 3.0, 3.9, 4.1):
        survey["nh"][:] = 3.0
        survey["nh"][0] = nh
        said = warnings(one, survey, INDEX, prediction())
        assert bool(why(survey, one)) == bool(said)
        seen[nh] = said
    tail = "of 1 of 12 clusters is not the training survey's 3e20, and the model doesn't correct"
    assert [nh for nh, said in seen.items() if said] == [1.9, 4.1]
    assert seen[4.1] == [f"N_H 4.1e20 cm^-2 {tail} for it."]
    bands = ((0.5, 1.2),)
    counts_at = [count_rates(4, 0.3, 0.3, nh, load_instrument(), bands) for nh in (3.0, 4.0)]
    low, high = (rates.counts[bands[0]] for rates in counts_at)
    assert 1 - high / low == pytest.approx(0.04, abs=0.005)


def test_hidden_parts_and_bands_of_unequal_exposure(survey: xr.Dataset) -> None:
    told = ensemble(("maps", "coverage"))
    for hidden, words, of_told in (
        (0.05, 0, 0),
        (0.2, 0, 0),
        (0.4, 1, 0),
        (0.7, 1, 1),
        (0.95, 1, 1),
    ):
        survey["visible_fraction"] = ("cluster", np.full(N, 1 - hidden))
        found = why(survey)
        assert len(found) == words and len(why(survey, told)) == of_told
        if found:
            assert found[0].startswith(f"masked: {hidden:.0%} hidden within 0.5 Mpc/h")
            assert found[0].endswith("the model was not trained on masks")
    del survey["visible_fraction"]
    survey["band_exposure"] = (("cluster", "band"), np.tile([5 / 7, 1, 1], (N, 1)))
    assert why(survey) == ["bands of unequal exposure: down to 71% of the most exposed"]


def test_a_coverage_is_read_once(survey: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def counted(survey: xr.Dataset, index: np.ndarray) -> np.ndarray:
        read.extend(index)
        return read_coverage(survey, index)

    monkeypatch.setattr(quality_flags, "read_coverage", counted)
    clusters = survey.assign(coverage=(("cluster", "y", "x"), np.zeros((N, 64, 64), "f2")))
    assert any(words.startswith("masked: 100% hidden") for words in why(clusters))
    assert read == INDEX.tolist()


def test_hidden_parts_of_a_survey_that_has_a_coverage_alone(survey: xr.Dataset) -> None:
    radius = np.hypot(survey["y"].values[:, None], survey["x"].values)
    half = np.where((radius <= 0.5) & (survey["x"].values < 0), 0.1, 1.0)
    for coverage, words in ((half, 1), (np.where(radius > 0.6, 0.0, 1.0), 0)):
        seen = np.tile(coverage.astype("f2"), (N, 1, 1))
        clusters = survey.assign(coverage=(("cluster", "y", "x"), seen))
        assert len([each for each in why(clusters) if each.startswith("masked: 50%")]) == words


def test_out_of_domain(survey: xr.Dataset) -> None:
    assert why(survey, score=0.99) == []
    assert why(survey, score=1.5) == ["unlike the training maps: out-of-domain score 1.50 above 1"]


# ---------------------------------------------------------------- apertures


@pytest.fixture(scope="module")
def trained(toy_survey: xr.Dataset) -> Any:
    estimator = make_estimator("N_phot_r500")
    estimator.fit(toy_survey, np.arange(toy_survey.sizes["cluster"]))
    return estimator


def test_which_estimators_need_an_aperture(toy_survey: xr.Dataset, trained: Any) -> None:
    bare = toy_survey.drop_vars(["r500c", "n_phot_r500", "n_phot_2r500"])
    assert needs_aperture(trained.inputs, bare) and not needs_aperture(trained.inputs, toy_survey)
    assert not needs_aperture(("maps", "redshift"), bare)


def test_mass_without_r500c_is_near_that_with_it(toy_survey: xr.Dataset, trained: Any) -> None:
    index = np.arange(0, 96, 2)
    known = trained.predict(toy_survey, index)
    bare = toy_survey.drop_vars(["r500c", "n_phot_r500", "n_phot_2r500"])
    solved = solved_with_aperture(
        lambda few: trained.predict(few, np.arange(len(index))), bare, index, Cosmology()
    )
    difference = solved.mean - known.mean
    assert np.abs(np.median(difference)) < 0.03 and difference.std() < 0.15
    truth = np.log(toy_survey["m500c"].values[index])
    assert (solved.mean - truth).std() < 1.5 * (known.mean - truth).std()


def test_the_radius_found_belongs_to_the_mass_found(toy_survey: xr.Dataset, trained: Any) -> None:
    """Given the radius that it found, the estimator finds the same mass: a fixed point."""
    index = np.arange(10, 40)
    bare = toy_survey.drop_vars(["r500c", "n_phot_r500", "n_phot_2r500"])
    rows = np.arange(len(index))
    solved = solved_with_aperture(lambda few: trained.predict(few, rows), bare, index, Cosmology())
    few = toy_survey.isel(cluster=index).copy(deep=True)
    radius = Cosmology().r500c(np.exp(solved.mean), few["redshift"].values)
    few["r500c"][:] = radius
    maps = counts(few).sum(1, dtype="u4")
    for name, values in photon_counts(maps, radius, half_width=2.3).items():
        few[name] = ("cluster", values)
    np.testing.assert_allclose(trained.predict(few, rows).mean, solved.mean, atol=0.02)


def test_a_mass_that_no_radius_has_is_refused(toy_survey: xr.Dataset) -> None:
    """A relation that falls steeply with the radius goes back and forth for ever."""

    def predict(few: xr.Dataset) -> Prediction:
        low = few["r500c"].values < 0.8
        return Prediction(np.log(np.where(low, 1e15, 1e13)), np.full(1, 0.1))

    with pytest.raises(InputError, match=r"cluster: 7: no radius gives the mass .* use a network"):
        solved_with_aperture(predict, toy_survey, np.array([7]), Cosmology())
