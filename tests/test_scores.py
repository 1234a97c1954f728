"""Scores against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from icmass.benchmarking.bins import central_coverage, coverage_bins, mass_bins, redshift_bins
from icmass.benchmarking.scores import (
    bootstrap_errors,
    published_network_scatter,
    scatter_ratio,
    score,
)
from icmass.estimators.posterior import LNM_GRID, Prediction
from icmass.proxies.published import published_correlation, published_sigma


def test_score_of_perfectly_calibrated_predictions() -> None:
    n, sigma, bias = 20000, 0.2, 0.01
    rng = np.random.default_rng(0)
    truth = np.log(10) * rng.uniform(13.5, 15, n)
    mean = truth + bias + sigma * rng.normal(size=n)
    gaussian = Prediction(mean, np.full(n, sigma))
    how = {"halo_id": np.arange(n), "redshift": rng.uniform(0.05, 0.8, n)}
    found = score(truth, gaussian, **how, rng=rng)
    assert found.n == n
    assert abs(found.sigma_lnm - sigma) < 4 * sigma / np.sqrt(2 * n)
    assert found.sigma_lnm_error == pytest.approx(sigma / np.sqrt(2 * n), rel=0.1)
    assert abs(found.bias_lnm - bias) < 4 * sigma / np.sqrt(n)
    assert found.bias_lnm_error == pytest.approx(sigma / np.sqrt(n), rel=0.1)
    assert abs(found.coverage68 - 0.68) < 4 * np.sqrt(0.68 * 0.32 / n)
    assert abs(found.coverage95 - 0.95) < 4 * np.sqrt(0.95 * 0.05 / n)
    assert found.crps == pytest.approx(sigma / np.sqrt(np.pi), rel=0.03)  # of a calibrated one
    entropy = np.log(sigma * np.sqrt(2 * np.pi * np.e))
    assert abs(found.log_score + entropy + (bias / sigma) ** 2 / 2) < 4 * np.sqrt(0.5 / n)
    assert published_network_scatter(truth, mean) == pytest.approx(found.sigma_lnm)
    for rows in (found.mass_bins, found.redshift_bins, found.coverage_bins["redshift"]):
        assert sum(row["n"] for row in rows) == n


def test_a_tabulated_posterior_is_scored_as_it_is() -> None:
    """Of half-Gaussians with the truth at their peak, the mean is off but every PIT is near 0."""
    n = 50
    truth = np.log(10) * np.linspace(14, 14.5, n)
    gaussian = Prediction(truth, np.full(n, 0.3))
    tabulated = Prediction.from_density(gaussian.tabulated())
    how = {"halo_id": np.arange(n), "redshift": np.full(n, 0.1)}
    scores = [
        score(truth, each, **how, rng=np.random.default_rng(0)).as_dict()
        for each in (gaussian, tabulated)
    ]
    for key in ("sigma_lnm", "coverage68", "log_score"):
        assert scores[1][key] == pytest.approx(scores[0][key], abs=2e-3)
    upper = np.where(truth[:, None] <= LNM_GRID, gaussian.tabulated(), 0.0)
    found = score(truth, Prediction.from_density(upper), **how, rng=np.random.default_rng(0))
    assert found.coverage68 == 0.0
    assert found.bias_lnm == pytest.approx(0.3 * np.sqrt(2 / np.pi), abs=0.03)


def test_coverage_sees_wrong_errors() -> None:
    residual = np.random.default_rng(1).normal(size=4000)
    pit = {std: Prediction(residual, np.full(4000, std)).cdf(np.zeros(4000)) for std in (0.5, 1, 2)}
    assert central_coverage(pit[0.5], 0.68) < 0.45
    assert central_coverage(pit[2], 0.68) > 0.9
    by_hand = np.mean(abs(residual) <= 1.9599639845)
    assert central_coverage(pit[1], 0.95) == pytest.approx(by_hand)


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


def test_the_ratio_of_scatters_is_told_better_than_either() -> None:
    """Residuals b = (a + e) / sqrt(1 + v): their ratio's error follows from their correlation."""
    n, v = 4000, 0.1
    rng = np.random.default_rng(5)
    ours = rng.normal(0, 0.2, n)
    theirs = 1.1 * (ours + np.sqrt(v) * rng.normal(0, 0.2, n)) / np.sqrt(1 + v)
    ratio, error = scatter_ratio(ours, theirs, np.arange(n), np.random.default_rng(6))
    # var(ln s1 - ln s2) = (1 - r^2) / n of Gaussians with correlation r
    expected = np.sqrt((1 - 1 / (1 + v)) / n) / 1.1
    assert error == pytest.approx(expected, rel=0.15)
    assert abs(ratio - 1 / 1.1) < 4 * expected
    assert scatter_ratio(ours, ours, np.arange(n), rng) == (1.0, 0.0)


def test_mass_bins() -> None:
    truth = np.log(10) * np.array([13.6, 13.7, 14.6, 14.7])
    bins = mass_bins(truth, np.array([0.1, 0.3, -0.2, -0.2]))
    assert [row["log10_m500c_msun_h"] for row in bins] == [[13.5, 13.75], [14.5, 14.75]]
    assert [row["n"] for row in bins] == [2, 2]
    assert [row["bias_lnm"] for row in bins] == pytest.approx([0.2, -0.2])
    assert [row["sigma_lnm"] for row in bins] == pytest.approx([0.1, 0.0])


def test_redshift_bins() -> None:
    bins = redshift_bins(np.array([0.1, 0.11, 0.12, 0.5]), np.array([0.1, 0.3, -0.2, 0.0]))
    assert [row["redshift"] for row in bins] == [[0.0, 0.12], [0.12, 0.2], [0.4, 0.8]]
    assert [row["n"] for row in bins] == [2, 1, 1]
    assert [row["bias_lnm"] for row in bins] == pytest.approx([0.2, -0.2, 0.0])
    assert bins[0]["bias_lnm_error"] == pytest.approx(0.1 / np.sqrt(2))


def test_a_perfect_posterior_covers_in_bins_of_predicted_mass() -> None:
    """Prior N(14 ln 10, 0.6), data N(truth, 0.4): it covers by predicted mass, not by true one."""
    n, s0, s = 40000, 0.6, 0.4
    rng = np.random.default_rng(7)
    truth = 14 * np.log(10) + s0 * rng.normal(size=n)
    data = truth + s * rng.normal(size=n)
    weight = s0**2 / (s0**2 + s**2)
    mean = 14 * np.log(10) + weight * (data - 14 * np.log(10))
    perfect = Prediction(mean, np.full(n, s * np.sqrt(weight)))
    found = coverage_bins(perfect, truth, rng.uniform(0.05, 0.79, n))
    for rows in found.values():
        assert len(rows) >= 3
        for row in rows:
            assert row["coverage68_error"] == pytest.approx(np.sqrt(0.68 * 0.32 / row["n"]))
            for level in (68, 95):
                off = row[f"coverage{level}"] - level / 100
                assert abs(off) < 4 * row[f"coverage{level}_error"]
    rare = truth > 14.5 * np.log(10)
    assert central_coverage(perfect.cdf(truth)[rare], 0.68) < 0.5


def test_published_values() -> None:
    assert published_sigma("L_X") == 0.2633
    assert published_sigma("paper-1band") == 0.178
    assert published_sigma("T+M_gas") is None
    assert published_correlation("M_gas", "T") == published_correlation("T", "M_gas") == -0.55
    assert published_correlation("T", "N_phot_r500") is None
