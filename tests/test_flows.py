"""Posteriors from flows against closed forms, and their calibration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from icmass.estimators.flow_posterior import fit_width_recalibration, flow_posterior
from icmass.estimators.posterior import LNM_GRID, Prediction
from icmass.networks.rqs_flow import N_PARAMETERS

ZERO, SCALE = float(np.log(2e14)), 0.8
quick = settings(max_examples=25, deadline=None)


def gaussians(mean: np.ndarray, std: np.ndarray, extra: int = 0) -> np.ndarray:
    """Return outputs of a network of which the spline is straight, shape (n, output)."""
    outputs = np.zeros((len(mean), N_PARAMETERS + extra))
    outputs[:, 0], outputs[:, 1] = mean, np.log(std)
    return outputs


@quick
@given(mean=st.floats(-1, 1), std=st.floats(0.1, 0.5))
def test_a_straight_spline_is_a_gaussian_of_the_mass(mean: float, std: float) -> None:
    outputs = gaussians(np.array([mean]), np.array([std]))[None]
    found = flow_posterior(outputs, ZERO, SCALE)
    expected = norm.pdf(LNM_GRID, ZERO + SCALE * mean, SCALE * std)
    assert found.density is not None
    assert found.density[0] == pytest.approx(expected, abs=1e-3 * expected.max())
    assert found.mean[0] == pytest.approx(ZERO + SCALE * mean, abs=1e-3)
    assert found.std[0] == pytest.approx(SCALE * std, rel=0.01)


def test_networks_are_averaged_as_densities() -> None:
    rng = np.random.default_rng(0)
    outputs = 0.5 * rng.normal(size=(3, 5, N_PARAMETERS))
    outputs[..., 1] -= 1
    together = flow_posterior(outputs, ZERO, SCALE)
    alone = [flow_posterior(one[None], ZERO, SCALE) for one in outputs]
    mean = np.mean([one.density for one in alone], 0)
    # each alone is normalised on the grid, where a kink costs some thousandths
    np.testing.assert_allclose(together.density, mean, rtol=5e-3, atol=1e-4)
    # two that disagree leave a hump each, and a mixture's variance
    apart = np.stack([gaussians(np.array([m]), np.array([0.1])) for m in (-0.8, 0.8)])
    both = flow_posterior(apart, ZERO, SCALE)
    assert both.mean[0] == pytest.approx(ZERO, abs=1e-3)
    assert both.std[0] == pytest.approx(SCALE * np.hypot(0.8, 0.1), rel=1e-3)
    middle, hump = both.log_prob(np.array([ZERO])), both.log_prob(np.array([ZERO + 0.8 * SCALE]))
    assert hump[0] - middle[0] > 20


def test_each_cluster_has_its_own_row() -> None:
    mean, std = np.linspace(-1, 1, 7), np.linspace(0.1, 0.4, 7)
    found = flow_posterior(gaussians(mean, std)[None], ZERO, SCALE)
    assert found.mean == pytest.approx(ZERO + SCALE * mean, abs=1e-3)
    assert found.std == pytest.approx(SCALE * std, rel=0.01)
    order = np.array([3, 0, 6])
    some = flow_posterior(gaussians(mean, std)[None][:, order], ZERO, SCALE)
    assert np.array_equal(some.density, found.density[order])  # type: ignore[index]


def test_what_follows_the_parameters_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    bare = gaussians(np.array([0.2]), np.array([0.3]))[None]
    more = np.concatenate([bare, rng.normal(size=(1, 1, 64))], -1)
    assert np.array_equal(
        flow_posterior(bare, ZERO, SCALE).density, flow_posterior(more, ZERO, SCALE).density
    )


def test_a_bent_spline_is_no_gaussian_but_a_density() -> None:
    outputs = gaussians(np.array([0.0]), np.array([0.4]))
    outputs[:, 2:] = np.random.default_rng(2).normal(size=N_PARAMETERS - 2)
    found = flow_posterior(outputs[None], ZERO, SCALE)
    assert found.density is not None
    assert np.trapezoid(found.density[0], LNM_GRID) == pytest.approx(1)
    expected = norm.pdf(LNM_GRID, ZERO, 0.4 * SCALE)
    assert np.abs(found.density[0] - expected).max() > 0.2 * expected.max()


@quick
@given(factor=st.floats(0.5, 2.2), seed=st.integers(0, 100))
def test_the_best_stretch_is_that_of_the_residuals(factor: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mean = ZERO + rng.uniform(-0.5, 0.5, 60)
    std = np.full(60, 0.25)
    truth = mean + factor * std * rng.normal(size=60)
    # of Gaussians it has a closed form: the root mean square of the standardised residuals
    expected = np.sqrt(np.mean(((truth - mean) / std) ** 2))
    exact = Prediction(mean, std)
    on_grid = Prediction.from_density(exact.tabulated())
    assert fit_width_recalibration(exact, truth) == pytest.approx(expected, rel=2e-3)
    assert fit_width_recalibration(on_grid, truth) == pytest.approx(expected, rel=0.02)


def test_the_stretch_is_bounded() -> None:
    exact = Prediction(np.full(5, ZERO), np.full(5, 0.3))
    assert fit_width_recalibration(exact, np.full(5, ZERO)) == pytest.approx(np.exp(-1), rel=0.01)
    assert fit_width_recalibration(exact, np.full(5, ZERO + 3)) == pytest.approx(
        np.exp(1), rel=0.01
    )
