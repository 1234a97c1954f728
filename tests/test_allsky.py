"""Sightlines of the all-sky survey against astropy's frames, closed forms and published numbers."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import BarycentricMeanEcliptic, Galactic, SkyCoord
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import kstest

from icmass.errors import InputError
from icmass.observe.allsky import (
    L_WEST_DEG,
    AllSkyConfig,
    column_density,
    draw_sightline,
    ecliptic_latitude,
    exposure,
    galactic_to_icrs,
)

ERASS1 = AllSkyConfig()


@pytest.fixture(scope="module")
def sightlines():
    rng = np.random.default_rng(5)
    drawn = [draw_sightline(ERASS1, rng) for _ in range(20_000)]
    return {name: np.array([getattr(s, name) for s in drawn]) for name in vars(drawn[0])}


@pytest.fixture(scope="module")
def places(sightlines):
    return SkyCoord(sightlines["ra"], sightlines["dec"], unit="deg")


def test_positions_agree_with_the_frames_of_astropy():
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(0, 360, 300), np.degrees(np.arcsin(rng.uniform(-1, 1, 300)))
    ours = np.array([galactic_to_icrs(*place) for place in zip(lon, lat, strict=True)])
    theirs = SkyCoord(lon, lat, unit="deg", frame=Galactic()).icrs
    apart = SkyCoord(ours[:, 0], ours[:, 1], unit="deg").separation(theirs)
    assert apart.max() < 0.1 * u.arcsec
    beta = [ecliptic_latitude(*place) for place in ours]
    expected = theirs.transform_to(BarycentricMeanEcliptic()).lat
    assert np.abs(beta - expected.deg).max() < 1 / 3600


def test_the_footprint_is_the_western_sky_off_the_plane(places):
    galactic = places.galactic
    assert galactic.l.deg.min() > L_WEST_DEG[0] - 1e-4
    assert galactic.l.deg.max() < L_WEST_DEG[1] + 1e-4
    assert np.abs(galactic.b.deg).min() > 20 - 1e-4
    sphere = 4 * np.pi * np.degrees(1) ** 2
    assert AllSkyConfig(b_min_deg=30).area_deg2 == pytest.approx(sphere / 4, rel=1e-6)
    # the eRASS1 cluster catalogue: 13,116 deg^2 (Bulbul et al. 2024)
    assert ERASS1.area_deg2 == pytest.approx(13_116, rel=0.05)


def test_places_are_spread_evenly(places):
    galactic = places.galactic
    sin_b = np.sin(galactic.b.rad)
    low = np.sin(np.radians(20))
    assert kstest((np.abs(sin_b) - low) / (1 - low), "uniform").pvalue > 1e-3
    assert kstest((galactic.l.deg - L_WEST_DEG[0]) / 180, "uniform").pvalue > 1e-3
    assert abs(np.mean(sin_b > 0) - 0.5) < 4 * 0.5 / np.sqrt(len(sin_b))


def test_mean_exposure_over_the_sphere_is_the_share_of_the_field_of_view():
    # even steps in arcsin(sin beta) resolve the poles
    edges = np.sin(np.radians(np.concatenate([np.linspace(0, 85, 800), np.linspace(85, 90, 4001)])))
    beta = np.degrees(np.arcsin((edges[1:] + edges[:-1]) / 2))
    mean = np.sum([exposure(ERASS1, b) for b in beta] * np.diff(edges))
    field = np.pi * (ERASS1.fov_deg / 2) ** 2 / (4 * np.pi * np.degrees(1) ** 2)
    assert mean == pytest.approx(182.6 * 86400 * field, rel=2e-3)
    assert mean == pytest.approx(np.pi / 2 * exposure(ERASS1, 0), rel=2e-3)


def test_exposure_is_the_mean_over_scans():
    """Against turns of the telescope that are followed one by one in three dimensions."""
    radius = np.radians(1.03 / 2)
    for beta in (0.0, 45.0, 80.0, 89.0, 89.7, 90.0):
        lam = (np.arange(200_000) + 0.5) / 200_000 * np.pi
        apart = np.arcsin(np.cos(np.radians(beta)) * np.sin(lam))
        inside = np.abs(apart) < radius
        chord = np.arccos(np.cos(radius) / np.cos(apart[inside])) / np.pi
        expected = chord.sum() / len(lam) * ERASS1.duration_s
        assert exposure(ERASS1, beta) == pytest.approx(expected, rel=3e-3)


@given(st.floats(0, 90), st.integers(1, 8))
def test_exposure_is_symmetric_deepest_at_the_poles_and_adds_up(beta, n):
    deep = AllSkyConfig(n_surveys=n)
    assert exposure(deep, beta) == exposure(deep, -beta)
    assert exposure(deep, beta) == pytest.approx(n * exposure(ERASS1, beta), rel=1e-9)
    less = AllSkyConfig(n_surveys=n, efficiency=0.5, survey_days=2 * 182.6)
    assert exposure(less, beta) == pytest.approx(exposure(deep, beta), rel=1e-9)
    assert exposure(ERASS1, 0) * 0.999 < exposure(ERASS1, beta) <= exposure(ERASS1, 90) * 1.001


def test_exposure_of_erass1_and_of_the_full_survey(sightlines, places):
    beta = places.transform_to(BarycentricMeanEcliptic()).lat.deg
    # survey-averaged over on-axis area at 1 keV, 1219/2188 cm^2; eRASS1 sources with DESI spectra
    # have a vignetted exposure of 121 s in the median
    vignetted = 1219 / 2188 * np.median(sightlines["exposure_s"][np.abs(beta) < 30])
    assert vignetted == pytest.approx(121, rel=0.1)
    assert np.median(sightlines["exposure_s"]) == pytest.approx(227, rel=0.02)
    eight = AllSkyConfig(n_surveys=8)
    depth = [exposure(eight, b) for b in beta[:4000]]
    assert np.median(depth) == pytest.approx(2000, rel=0.12)


def test_column_densities_are_those_of_the_sky(sightlines, places):
    """HI4PI west of the Galactic centre above 20 deg: 16, 50, 84 per cent measured on the map."""
    found = np.percentile(sightlines["nh_1e20"], [16, 50, 84])
    assert found == pytest.approx([1.61, 3.23, 6.52], rel=0.06)
    median, scatter = column_density(np.sin(np.radians(34.5)))
    # eFEDS, b = 34.5 deg: 3.5e20 cm^-2
    assert abs(np.log(3.5 / median)) < 1.5 * scatter
    polar = sightlines["nh_1e20"][np.abs(places.galactic.b.deg) > 65]
    assert np.median(polar) == pytest.approx(1.7, rel=0.1)


def test_the_north_has_more_hydrogen_at_middle_latitudes_and_less_scatter():
    """HI4PI at 50 deg: 3.2e20 cm^-2 north of the plane, 1.9e20 south of it, in holes and clouds."""
    north, south = (column_density(sign * np.sin(np.radians(50))) for sign in (1, -1))
    assert north == pytest.approx((3.2, 0.31), rel=1e-6)
    assert south == pytest.approx((1.9, 0.68), rel=1e-6)


@given(st.floats(-1, 1))
def test_column_density_is_positive_everywhere(sin_b):
    median, scatter = column_density(sin_b)
    assert 1 < median < 20
    assert 0.2 < scatter < 0.8


def test_the_same_seed_gives_the_same_sightline():
    first = draw_sightline(ERASS1, np.random.default_rng(3))
    assert first == draw_sightline(ERASS1, np.random.default_rng(3))
    assert first != draw_sightline(ERASS1, np.random.default_rng(4))


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="91 is not within -90 and 90 deg"):
        exposure(ERASS1, 91)
    with pytest.raises(InputError, match="ecliptic latitude"):
        exposure(ERASS1, float("nan"))
    for wrong in ({"n_surveys": 9}, {"n_surveys": 0}, {"b_min_deg": 5}, {"depth": 1}):
        with pytest.raises(ValidationError):
            AllSkyConfig(**wrong)
