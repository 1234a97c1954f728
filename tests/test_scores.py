"""Scores against closed forms and numerical integrals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from icmass.benchmark.scores import (
    bootstrap_errors,
    coverage,
    crps_gaussian,
    mass_bins,
    published_network_scatter,
    score,
)
from icmass.proxies.published import published_correlation, published_sigma


@pytest.mark.parametrize(("residual", "std"), [(0.0, 0.2), (0.3, 0.2), (-0.5, 0.1), (1.0, 2.0)])
def test_crps_is_the_integral(residual: float, std: float) -> None:
    """The integral of (F(x) - H(x - truth))^2 with the truth at 0 and the mean at residual."""
    low = quad(lambda x: norm.cdf(x, residual, std) ** 2, -20, 0, points=[residual - std])[0]
    high = quad(lambda x: norm.sf(x, residual, std) ** 2, 0, 20, points=[abs(residual) + std])[0]
    found = crps_gaussian(np.array([residual]), np.array([std]))[0]
    assert found == pytest.approx(low + high, rel=1e-6)


def test_crps_limits() -> None:
    assert crps_gaussian(np.array([-0.3]), np.array([1e-9]))[0] == pytest.approx(0.3)
    at_mean = crps_gaussian(np.array([0.0]), np.array([1.0]))[0]
    assert at_mean == pytest.approx((np.sqrt(2) - 1) / np.sqrt(np.pi))


def test_score_of_perfectly_calibrated_predictions() -> None:
    n, sigma, bias = 20000, 0.2, 0.01
    rng = np.random.default_rng(0)
    truth = np.log(10) * rng.uniform(13.5, 15, n)
    mean = truth + bias + sigma * rng.normal(size=n)
    found = score(truth, mean, np.full(n, sigma), halo_id=np.arange(n), rng=rng)
    assert found.n == n
    assert abs(found.sigma_lnm - sigma) < 4 * sigma / np.sqrt(2 * n)
    assert found.sigma_lnm_error == pytest.approx(sigma / np.sqrt(2 * n), rel=0.1)
    assert abs(found.bias_lnm - bias) < 4 * sigma / np.sqrt(n)
    assert found.bias_lnm_error == pytest.approx(sigma / np.sqrt(n), rel=0.1)
    assert abs(found.coverage68 - 0.68) < 4 * np.sqrt(0.68 * 0.32 / n)
    assert abs(found.coverage95 - 0.95) < 4 * np.sqrt(0.95 * 0.05 / n)
    assert found.crps == pytest.approx(sigma / np.sqrt(np.pi), rel=0.03)  # of a calibrated one
    assert published_network_scatter(truth, mean) == pytest.approx(found.sigma_lnm)
    assert sum(row["n"] for row in found.mass_bins) == n


def test_coverage_sees_wrong_errors() -> None:
    residual = np.random.default_rng(1).normal(size=4000)
    assert coverage(residual, np.full(4000, 0.5), 0.68) < 0.45
    assert coverage(residual, np.full(4000, 2.0), 0.68) > 0.9
    by_hand = np.mean(abs(residual) <= 1.9599639845)
    assert coverage(residual, np.ones(4000), 0.95) == pytest.approx(by_hand)


def test_bootstrap_draws_halos() -> None:
    """Ten copies of each halo carry no more information than one."""
    one = np.random.default_rng(2).normal(0, 0.3, 400)
    copies, halo = np.repeat(one, 10), np.repeat(np.arange(400), 10)
    by_halo = bootstrap_errors(copies, halo, np.random.default_rng(3))
    by_cluster = bootstrap_errors(copies, np.arange(4000), np.random.default_rng(3))
    for error, expected in zip(by_halo, (0.3 / np.sqrt(800), 0.3 / np.sqrt(400)), strict=True):
        assert error == pytest.approx(expected, rel=0.15)
    for halos, clusters in zip(by_halo, by_cluster, strict=True):
        assert halos / clusters == pytest.approx(np.sqrt(10), rel=0.15)


def test_mass_bins() -> None:
    truth = np.log(10) * np.array([13.6, 13.7, 14.6, 14.7])
    bins = mass_bins(truth, np.array([0.1, 0.3, -0.2, -0.2]))
    assert [row["log10_m500c_msun_h"] for row in bins] == [[13.5, 13.75], [14.5, 14.75]]
    assert [row["n"] for row in bins] == [2, 2]
    assert [row["bias_lnm"] for row in bins] == pytest.approx([0.2, -0.2])
    assert [row["sigma_lnm"] for row in bins] == pytest.approx([0.1, 0.0])


def test_published_values() -> None:
    assert published_sigma("L_X") == 0.2633
    assert published_sigma("paper-1band") == 0.178
    assert published_sigma("T+M_gas") is None
    assert published_correlation("M_gas", "T") == published_correlation("T", "M_gas") == -0.55
    assert published_correlation("T", "N_phot_r500") is None
