"""Photon-count proxies from arrays."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.proxies.names import has_background, log_proxies
from icmass.proxies.observables import aperture_areas, net_photon_counts, photon_counts

NAMES = ("n_phot", "n_phot_r500", "n_phot_2r500")


def brute_force(image: np.ndarray, radius: float, half_width: float) -> int:
    n, total = len(image), 0
    pixel = 2 * half_width / n
    for j in range(n):
        for i in range(n):
            y, x = (j + 0.5) * pixel - half_width, (i + 0.5) * pixel - half_width
            if np.hypot(x, y) <= radius * (1 + 1e-12):  # a centre on the edge is inside
                total += int(image[j, i])
    return total


@given(
    n_pixels=st.integers(2, 17),
    radius=st.floats(0.05, 3),
    half_width=st.floats(0.5, 4),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_apertures_are_pixel_centres_in_circle(
    n_pixels: int, radius: float, half_width: float, seed: int
) -> None:
    maps = np.random.default_rng(seed).poisson(2, (2, 3, n_pixels, n_pixels)).astype("u2")
    found = photon_counts(maps, np.array([radius, 1.5 * radius]), half_width=half_width)
    for i, r in enumerate((radius, 1.5 * radius)):
        image = maps[i].sum(axis=0)
        assert found["n_phot"][i] == image.sum()
        assert found["n_phot_r500"][i] == brute_force(image, r, half_width)
        assert found["n_phot_2r500"][i] == brute_force(image, 2 * r, half_width)


def test_the_survey_of_the_tests_agrees(toy_survey: xr.Dataset) -> None:
    found = photon_counts(
        toy_survey["maps"].values, toy_survey["r500c"].values, half_width=2.3
    )  # components and bands are added up
    for name in NAMES:
        np.testing.assert_array_equal(found[name], toy_survey[name].values)
    assert (found["n_phot_r500"] < found["n_phot_2r500"]).all()


def test_pixels_on_the_edge_are_in_the_aperture() -> None:
    """Pixels of 1 Mpc/h centred on whole numbers: 5 of them reach to 1, 13 to 2."""
    found = photon_counts(np.ones((1, 5, 5), "u2"), 1.0, half_width=2.5)
    areas = aperture_areas(np.array([1.0]), n_pixels=5, half_width=2.5)
    for each in (found, areas):
        assert {name: float(values[0]) for name, values in each.items()} == {
            "n_phot": 25, "n_phot_r500": 5, "n_phot_2r500": 13
        }  # fmt: skip


def test_area_of_the_aperture() -> None:
    radius = np.linspace(0.45, 1.1, 40)  # 10^13.5 to 10^14.8 Msun/h
    flat = np.ones((len(radius), 128, 128), "u2")
    area = photon_counts(flat, radius, half_width=2.3)["n_phot_r500"] * (4.6 / 128) ** 2
    np.testing.assert_allclose(area, np.pi * radius**2, rtol=0.02)
    assert abs(np.mean(area / (np.pi * radius**2)) - 1) < 0.003


def test_large_counts_do_not_overflow() -> None:
    full = np.full((1, 9, 128, 128), 65535, "u2")
    found = photon_counts(full, 9.0, half_width=2.3)
    assert {float(found[name][0]) for name in NAMES} == {9 * 128**2 * 65535.0}


@pytest.mark.parametrize(
    ("shape", "radius"), [((1, 4, 5), 1.0), ((4, 4), 1.0), ((2, 4, 4), 1.0), ((1, 4, 4), np.nan)]
)
def test_bad_input(shape: tuple[int, ...], radius: float) -> None:
    with pytest.raises(InputError):
        photon_counts(np.ones(shape, "u2"), radius, half_width=1.0)


def symmetric_maps(r500c: np.ndarray, background: float) -> np.ndarray:
    """Return expected counts of 300 photons spread evenly over R500c, on an even background."""
    centre = (np.arange(64) + 0.5) * 4.6 / 64 - 2.3
    inside = np.hypot(centre[:, None], centre) <= r500c[:, None, None]
    return background + 300 * inside / inside.sum(axis=(1, 2), keepdims=True)


@pytest.mark.parametrize("masked", [False, True])
def test_net_photons_are_those_of_the_source(masked: bool) -> None:
    r500c = np.linspace(0.4, 1.3, 30)
    coverage = np.ones((30, 64, 64))
    if masked:
        coverage[:, :, :32] = 0  # half of a symmetric cluster tells of the whole
    counts = photon_counts(symmetric_maps(r500c, 1.7) * coverage, r500c, half_width=2.3)
    whole = aperture_areas(r500c, n_pixels=64, half_width=2.3)
    seen = photon_counts(coverage, r500c, half_width=2.3)
    net = net_photon_counts(counts, total=whole, visible=seen)
    np.testing.assert_allclose(net["n_phot_r500"], 300)
    np.testing.assert_allclose(net["n_phot_2r500"], 300)
    if not masked:
        for name in NAMES:
            np.testing.assert_array_equal(whole[name], seen[name])


def background_alone(n: int, config: dict[str, object]) -> xr.Dataset:
    """Return maps that hold nothing but an even background, and so know no mass."""
    rng = np.random.default_rng(0)
    r500c = Cosmology().r500c(np.exp(rng.uniform(np.log(3e13), np.log(6e14), n)), 0.2)
    counts = photon_counts(rng.poisson(2.0, (n, 32, 32)), r500c, half_width=2.3)
    centre = (np.arange(32) + 0.5) * 4.6 / 32 - 2.3
    return xr.Dataset(
        {
            "r500c": ("cluster", r500c),
            "exposure": ("cluster", np.full(n, 2000.0)),
            **{name: ("cluster", values) for name, values in counts.items()},
        },
        {"x": ("x", centre)},
        {"config": json.dumps(config)},
    )


def test_background_does_not_tell_of_the_mass() -> None:
    n = 400
    survey = background_alone(n, {})
    assert has_background(survey)
    ln_r = np.log(survey["r500c"].values)
    for name in ("N_phot_r500", "N_phot_2r500"):
        ln_n = log_proxies(survey, [name])[:, 0]
        assert abs(np.corrcoef(ln_n, ln_r)[0, 1]) < 4 / np.sqrt(n)
        raw = np.log(survey[name.lower()].values)
        assert np.corrcoef(raw, ln_r)[0, 1] > 0.97  # what must not pass for a mass


def test_without_background_counts_are_as_they_are() -> None:
    survey = background_alone(20, {"observe": {"background": False}})
    assert not has_background(survey)
    found = log_proxies(survey, ["N_phot", "N_phot_2r500"])
    np.testing.assert_allclose(found[:, 0], np.log(survey["n_phot"].values + 1))
    np.testing.assert_allclose(found[:, 1], np.log(survey["n_phot_2r500"].values + 1))


def test_coverage_of_a_survey_is_taken_from_it() -> None:
    survey = background_alone(600, {})
    half = np.ones((600, 32, 32), "f2")
    half[:, :16] = 0
    halved = {name: survey[name] / 2 for name in NAMES}
    found = log_proxies(
        survey.assign(coverage=(("cluster", "y", "x"), half), **halved), ["N_phot_r500"]
    )
    np.testing.assert_allclose(found, log_proxies(survey, ["N_phot_r500"]), rtol=1e-6)
