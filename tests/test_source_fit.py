"""The fit of a source-detection chain: counts, core radius and likelihoods of photons in rings."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import dblquad
from scipy.optimize import minimize_scalar
from scipy.stats import chi2

from icmass.observe.source_fit import (
    EXTENT_LIMITS_ARCSEC,
    RING_EDGES_ARCSEC,
    chance_likelihood,
    fit_extended,
    ring_areas,
    ring_shares,
    scale_model,
)

PSF = 8.5


def _rings(counts: float, extent: float, sky: float, n: int, rng: np.random.Generator):
    expected = counts * ring_shares(np.array(extent + PSF)) + sky * ring_areas()
    return rng.poisson(expected, (n, len(expected))).astype(float)


def test_shares_are_those_of_a_beta_model_of_two_thirds() -> None:
    """Against a numerical integral of (1 + (r/a)^2)^-1.5 over the plane."""
    shares = ring_shares(np.array(20.0), np.array([0.0, 15.0, 60.0]))

    def brightness(y: float, x: float) -> float:
        return (1 + (x * x + y * y) / 400) ** -1.5 / (2 * np.pi * 400)

    def edge(r: float):
        return lambda x: np.sqrt(max(r * r - x * x, 0.0))

    inner = 4 * dblquad(brightness, 0, 15, 0, edge(15.0))[0]
    outer = 4 * dblquad(brightness, 0, 60, 0, edge(60.0))[0] - inner
    assert shares == pytest.approx([inner, outer], rel=1e-4)


def test_areas_add_up_to_the_circle() -> None:
    assert ring_areas().sum() == pytest.approx(np.pi * (RING_EDGES_ARCSEC[-1] / 60) ** 2)


def test_counts_are_those_of_another_maximiser() -> None:
    rng = np.random.default_rng(3)
    shares, sky = ring_shares(np.array(30.0)), 3.0 * ring_areas()
    rings = _rings(80, 21.5, 3.0, 5, rng)
    counts, gain = scale_model(rings, shares, sky)
    for k in range(5):

        def loss(n: float, k: int = k) -> float:
            model = n * shares + sky
            return float((model - rings[k] * np.log(model / sky)).sum() - sky.sum())

        best = minimize_scalar(loss, bounds=(0, 500), method="bounded", options={"xatol": 1e-7})
        assert counts[k] == pytest.approx(best.x, abs=1e-3)
        assert gain[k] == pytest.approx(-best.fun, abs=1e-6)


def test_no_counts_where_there_are_fewer_photons_than_sky() -> None:
    counts, gain = scale_model(np.zeros(15), ring_shares(np.array(30.0)), 5 * ring_areas())
    assert counts == 0 and gain == 0


def test_bright_sources_have_their_counts_and_core_radius_back() -> None:
    """200 sources of 2,000 counts: means within four standard errors, measured on the fits."""
    rng = np.random.default_rng(5)
    for extent in (15.0, 30.0, 45.0):
        fit = fit_extended(_rings(2000, extent, 3.0, 200, rng), np.full(200, 3.0), PSF)
        for values, truth, step in ((fit.counts, 2000, 20), (fit.extent, extent, 0.05 * extent)):
            error = 4 * values.std() / np.sqrt(200) + 0.1 * step
            assert abs(values.mean() - truth) < error
        assert (fit.extent_likelihood > 50).all()


def test_a_point_source_has_no_extent_likelihood() -> None:
    """-ln p exceeds 3 in less than 5 per cent of all cases: no extent below 8 arcsec is tried."""
    rng = np.random.default_rng(6)
    fit = fit_extended(_rings(200, 0.0, 3.0, 2000, rng), np.full(2000, 3.0), PSF)
    assert (fit.extent_likelihood > 3).mean() < 0.05
    assert np.median(fit.extent_likelihood) == 0
    assert np.median(fit.detection_likelihood) > 100
    assert (fit.extent == EXTENT_LIMITS_ARCSEC[0]).mean() > 0.5


def test_likelihoods_are_chances_of_chi_squared() -> None:
    gain = np.array([0.0, 1.0, 10.0, 200.0])
    for parameters in (1, 4):
        expected = -np.log(chi2.sf(2 * gain, parameters))
        assert chance_likelihood(gain, parameters) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    near, far = chance_likelihood(np.array([299.99, 300.01]), 4)
    assert 0 < far - near < 0.05
