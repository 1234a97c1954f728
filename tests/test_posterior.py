"""Posteriors against closed forms: quantiles, scores, samples, another prior."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import ndtr
from scipy.stats import norm

from icmass.estimators.posterior import LNM_GRID, LNM_STEP, Prediction

inside = st.floats(13.6 * np.log(10), 14.9 * np.log(10))
widths = st.floats(0.08, 0.5)
levels = st.floats(0.01, 0.99)
quick = settings(max_examples=50, deadline=None)


def gaussian(mean: float, std: float) -> Prediction:
    return Prediction(np.array([mean]), np.array([std]))


def tabulated(mean: float, std: float) -> Prediction:
    return Prediction.from_density(gaussian(mean, std).tabulated())


def log_normal(mean: float, std: float) -> np.ndarray:
    """Return the log density of a Gaussian prior at the nodes, shape (node,)."""
    return norm.logpdf(LNM_GRID, mean, std)


@st.composite
def mixtures(draw: st.DrawFn) -> Prediction:
    """Draw a skewed or double-peaked posterior, partly cut off."""
    parts = draw(st.lists(st.tuples(inside, widths, st.floats(0.1, 1)), min_size=1, max_size=3))
    density = sum(weight * gaussian(mean, std).tabulated() for mean, std, weight in parts)
    cut = draw(st.none() | st.floats(parts[0][0] - 0.3, parts[0][0]))
    if cut is not None:
        density = np.where(cut <= LNM_GRID, density, 0.0)
    return Prediction.from_density(density)


@quick
@given(posterior=mixtures(), level=levels)
def test_the_quantile_is_the_inverse_of_the_cdf(posterior: Prediction, level: float) -> None:
    """Of one density linear between nodes: `quantile` is linear there, `cdf` quadratic."""
    at = posterior.quantile(level)
    steepest = posterior.density.max() * LNM_STEP
    assert posterior.cdf(at)[0] == pytest.approx(level, abs=steepest / 4)
    low, high = posterior.interval(0.9)
    assert low[0] < posterior.median[0] < high[0]


@quick
@given(posterior=mixtures(), a=levels, b=levels)
def test_quantiles_are_ordered(posterior: Prediction, a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert posterior.quantile(low)[0] <= posterior.quantile(high)[0]


@quick
@given(posterior=mixtures())
def test_densities_and_their_moments(posterior: Prediction) -> None:
    density = posterior.density[0]
    assert np.trapezoid(density, LNM_GRID) == pytest.approx(1)
    mean = np.trapezoid(density * LNM_GRID, LNM_GRID)
    assert posterior.mean[0] == pytest.approx(mean)
    variance = np.trapezoid(density * (LNM_GRID - mean) ** 2, LNM_GRID)
    assert posterior.std[0] == pytest.approx(np.sqrt(variance))
    ends = posterior.cdf(np.array([LNM_GRID[0]])), posterior.cdf(np.array([LNM_GRID[-1]]))
    assert (ends[0][0], ends[1][0]) == (0.0, pytest.approx(1))


@quick
@given(mean=inside, std=widths, level=levels, off=st.floats(-2.5, 2.5))
def test_a_tabulated_gaussian_is_a_gaussian(
    mean: float, std: float, level: float, off: float
) -> None:
    exact, table = gaussian(mean, std), tabulated(mean, std)
    at = np.array([mean + off * std])
    assert table.mean[0] == pytest.approx(mean, abs=1e-4)
    assert table.std[0] == pytest.approx(std, rel=1e-3)
    assert table.cdf(at)[0] == pytest.approx(exact.cdf(at)[0], abs=2e-3)
    # linear between nodes: at most step^2 / 8 times the curvature of the density
    curvature = LNM_STEP**2 / 8 / std**2 * max(1, abs(off**2 - 1))
    assert table.log_prob(at)[0] == pytest.approx(exact.log_prob(at)[0], abs=2 * curvature)
    slack = (LNM_STEP / std) ** 2 * std
    assert table.quantile(level)[0] == pytest.approx(exact.quantile(level)[0], abs=slack)


@pytest.mark.parametrize("std", [0.08, 0.2, 0.5])
@pytest.mark.parametrize("off", [-2.0, 0.0, 0.37, 1.5])
def test_crps_of_a_tabulated_gaussian(std: float, off: float) -> None:
    at = np.array([32.0 + off * std])
    found = tabulated(32.0, std).crps(at)[0]
    assert found == pytest.approx(gaussian(32.0, std).crps(at)[0], abs=6e-4)


@pytest.mark.parametrize(("residual", "std"), [(0.0, 0.2), (0.3, 0.2), (-0.5, 0.1), (1.0, 2.0)])
def test_crps_is_the_integral(residual: float, std: float) -> None:
    """The integral of (F(x) - H(x - truth))^2 with the truth at 0 and the mean at residual."""
    low = quad(lambda x: norm.cdf(x, residual, std) ** 2, -20, 0, points=[residual - std])[0]
    high = quad(lambda x: norm.sf(x, residual, std) ** 2, 0, 20, points=[abs(residual) + std])[0]
    found = gaussian(residual, std).crps(np.zeros(1))[0]
    assert found == pytest.approx(low + high, rel=1e-6)


def test_crps_limits() -> None:
    assert gaussian(-0.3, 1e-9).crps(np.zeros(1))[0] == pytest.approx(0.3)
    at_mean = gaussian(0.0, 1.0).crps(np.zeros(1))[0]
    assert at_mean == pytest.approx((np.sqrt(2) - 1) / np.sqrt(np.pi))


@settings(max_examples=20, deadline=None)
@given(posterior=mixtures(), seed=st.integers(0, 2**32 - 1))
def test_samples_have_the_moments_of_their_posterior(posterior: Prediction, seed: int) -> None:
    n = 20000
    drawn = posterior.sample(n, np.random.default_rng(seed))
    assert drawn.shape == (1, n)
    std = posterior.std[0]
    assert abs(drawn.mean() - posterior.mean[0]) < 5 * std / np.sqrt(n)
    fourth = np.mean((drawn - drawn.mean()) ** 4) / std**4
    error = std * np.sqrt((fourth - 1) / n) / 2
    # a linear inverse within a step adds at most step^2 / 12 to the variance
    assert abs(drawn.std() - std) < 5 * error + LNM_STEP**2 / 12 / std


def test_samples_of_gaussians() -> None:
    n = 40000
    drawn = gaussian(32.0, 0.3).sample(n, np.random.default_rng(1))[0]
    assert abs(drawn.mean() - 32) < 4 * 0.3 / np.sqrt(n)
    assert abs(drawn.std() - 0.3) < 4 * 0.3 / np.sqrt(2 * n)


@quick
@given(
    data=st.floats(31.8, 33.8), s=st.floats(0.1, 0.3), s0=st.floats(0.5, 0.9),
    s1=st.floats(0.5, 0.9), m0=st.floats(32, 33.5), m1=st.floats(32, 33.5), table=st.booleans(),
)  # fmt: skip
def test_another_prior_in_closed_form(
    data: float, s: float, s0: float, s1: float, m0: float, m1: float, table: bool
) -> None:
    """A Gaussian likelihood of width s times a Gaussian prior is a Gaussian."""

    def posterior(mean: float, width: float) -> tuple[float, float]:
        precision = 1 / s**2 + 1 / width**2
        return (data / s**2 + mean / width**2) / precision, precision**-0.5

    make = tabulated if table else gaussian
    found = make(*posterior(m0, s0)).with_prior(log_normal(m0, s0), log_normal(m1, s1))
    expected_mean, expected_std = posterior(m1, s1)
    assert found.mean[0] == pytest.approx(expected_mean, abs=2e-3)
    assert found.std[0] == pytest.approx(expected_std, rel=5e-3)
    flat = make(*posterior(m0, s0)).with_prior(log_normal(m0, s0), np.zeros(len(LNM_GRID)))
    assert flat.mean[0] == pytest.approx(data, abs=2e-3)
    assert flat.std[0] == pytest.approx(s, rel=5e-3)


def test_nothing_is_learned_outside_the_old_prior() -> None:
    edge = 32.0
    old = np.where(edge <= LNM_GRID, 0.0, -np.inf)
    found = gaussian(32.1, 0.3).with_prior(old, np.zeros(len(LNM_GRID)))
    assert found.cdf(np.array([edge - LNM_STEP]))[0] == 0
    weight = ndtr(0.1 / 0.3)
    expected = 32.1 + 0.3 * norm.pdf(0.1 / 0.3) / weight  # mean of a Gaussian cut from below
    assert found.mean[0] == pytest.approx(expected, abs=0.01)


def test_a_prior_for_each_cluster_and_the_rest_is_kept() -> None:
    out = np.array([0.2, 1.7])
    both = Prediction(np.array([32.0, 33.0]), np.array([0.2, 0.2]), out_of_domain=out)
    new = np.stack([log_normal(32.0, 0.2), np.zeros(len(LNM_GRID))])
    found = both.with_prior(np.zeros(len(LNM_GRID)), new)
    np.testing.assert_allclose(found.std, [0.2 / np.sqrt(2), 0.2], rtol=2e-3)
    np.testing.assert_array_equal(found.out_of_domain, out)
    np.testing.assert_array_equal(both.scale_width(2).out_of_domain, out)


@quick
@given(mean=st.floats(32, 33), std=st.floats(0.1, 0.3), factor=st.floats(0.6, 2))
def test_stretched(mean: float, std: float, factor: float) -> None:
    found = gaussian(mean, std).scale_width(factor)
    assert (found.mean[0], found.std[0]) == (mean, std * factor)
    table = tabulated(mean, std).scale_width(factor)
    assert table.mean[0] == pytest.approx(mean, abs=1e-3)
    assert table.std[0] == pytest.approx(std * factor, rel=0.01)
    assert table.quantile(0.9)[0] == pytest.approx(found.quantile(0.9)[0], abs=0.01)
