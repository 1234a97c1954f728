"""Photon-count proxies from arrays."""

from __future__ import annotations

import timeit

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from icmass.errors import InputError
from icmass.proxies.observables import photon_counts

NAMES = ("n_phot", "n_phot_r500", "n_phot_2r500")


def brute_force(image: np.ndarray, radius: float, half_width: float) -> int:
    n, total = len(image), 0
    pixel = 2 * half_width / n
    for j in range(n):
        for i in range(n):
            y, x = (j + 0.5) * pixel - half_width, (i + 0.5) * pixel - half_width
            if x * x + y * y <= radius * radius:
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


def test_speed() -> None:
    maps = np.random.default_rng(0).poisson(0.3, (1, 3, 128, 128)).astype("u2")
    photon_counts(maps, 0.8, half_width=2.3)
    seconds = min(timeit.repeat(lambda: photon_counts(maps, 0.8, half_width=2.3), number=20)) / 20
    assert seconds < 1e-3  # 0.13 ms on a quiet core
