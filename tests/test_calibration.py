"""Calibration: a perfect posterior passes, wrong ones fail, and sbi finds the same."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from icmass.benchmarking.calibration import (
    LEVELS,
    calibration,
    expected_coverage,
    pit_histogram,
    region_credibility,
    sbc_ranks,
    tarp_credibility,
    uniformity,
)
from icmass.estimators.posterior import Prediction

N = 2000
PRIOR_MEAN, PRIOR_STD, NOISE = 32.5, 0.6, 0.3


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return PRIOR_MEAN + PRIOR_STD * np.random.default_rng(3).normal(size=N)


@pytest.fixture(scope="module")
def perfect(truth: np.ndarray) -> Prediction:
    """The posterior of data with Gaussian noise under the prior that the truths come from."""
    data = truth + NOISE * np.random.default_rng(4).normal(size=N)
    weight = PRIOR_STD**2 / (PRIOR_STD**2 + NOISE**2)
    mean = PRIOR_MEAN + weight * (data - PRIOR_MEAN)
    return Prediction(mean, np.full(N, NOISE * np.sqrt(weight)))


def shifted(posterior: Prediction, by: float) -> Prediction:
    return Prediction(posterior.mean + by, posterior.std)


def told(posterior: Prediction, truth: np.ndarray) -> dict:
    return calibration(posterior, truth, np.random.default_rng(5))


@pytest.mark.parametrize("table", [False, True])
def test_a_perfect_posterior_passes(perfect: Prediction, truth: np.ndarray, table: bool) -> None:
    posterior = Prediction.from_density(perfect.tabulated()) if table else perfect
    found = told(posterior, truth)
    for key in ("pit_ks_p", "pit_chi2_p", "tarp_ks_p"):
        assert found[key] > 0.01
    for curve in (found["coverage"], found["tarp"]):
        error = np.sqrt(LEVELS * (1 - LEVELS) / N)
        assert (np.abs(np.array(curve) - LEVELS) < 4 * error).all()
    assert found["tarp_max_deviation"] < 1.63 / np.sqrt(N)  # KS, 1 per cent
    assert sum(found["pit_histogram"]) == N and len(found["pit_histogram"]) == 20


def test_an_overconfident_posterior_fails(perfect: Prediction, truth: np.ndarray) -> None:
    found = told(perfect.scale_width(0.7), truth)
    assert max(found["pit_ks_p"], found["pit_chi2_p"], found["tarp_ks_p"]) < 1e-3
    assert (np.array(found["coverage"]) < LEVELS).all()
    histogram = found["pit_histogram"]
    assert min(histogram[0], histogram[-1]) > 1.5 * N / 20


def test_a_timid_posterior_fails(perfect: Prediction, truth: np.ndarray) -> None:
    found = told(perfect.scale_width(1.4), truth)
    assert max(found["pit_ks_p"], found["pit_chi2_p"], found["tarp_ks_p"]) < 1e-3
    assert (np.array(found["coverage"]) > LEVELS).all()


def test_a_biased_posterior_fails(perfect: Prediction, truth: np.ndarray) -> None:
    found = told(shifted(perfect, 0.1), truth)
    assert max(found["pit_ks_p"], found["pit_chi2_p"]) < 1e-3
    assert found["tarp_ks_p"] > 0.01  # in one dimension points on both sides hide a small shift
    assert told(shifted(perfect, 0.3), truth)["tarp_ks_p"] < 1e-3


def test_the_credibility_is_that_of_samples(perfect: Prediction, truth: np.ndarray) -> None:
    n_draws = 4000
    few = Prediction(perfect.mean[:50], perfect.std[:50])
    reference = np.random.default_rng(6).uniform(31, 34, 50)
    drawn = few.sample(n_draws, np.random.default_rng(7))
    nearer = np.abs(drawn - reference[:, None]) < np.abs(truth[:50] - reference)[:, None]
    exact = region_credibility(few, truth[:50], reference)
    assert np.abs(nearer.mean(1) - exact).max() < 5 * 0.5 / np.sqrt(n_draws)


def test_ranks_are_uniform(perfect: Prediction, truth: np.ndarray) -> None:
    ranks = sbc_ranks(perfect, truth, 99, np.random.default_rng(8))
    assert ranks.min() >= 0 and ranks.max() <= 99
    counts = np.bincount(ranks // 5, minlength=20)
    assert np.abs(counts - N / 20).max() < 4.5 * np.sqrt(N / 20)
    narrow = sbc_ranks(perfect.scale_width(0.5), truth, 99, np.random.default_rng(8))
    assert np.mean((narrow == 0) | (narrow == 99)) > 0.1


def test_p_values_by_hand() -> None:
    even = (np.arange(400) + 0.5) / 400
    assert uniformity(even) == pytest.approx((1, 1))
    assert pit_histogram(even).tolist() == [20] * 20
    assert pit_histogram(np.array([0.0, 1.0])).sum() == 2
    np.testing.assert_allclose(expected_coverage(even, LEVELS), LEVELS)


class Sampled:
    """What sbi asks of a posterior, given by ours: the data are the clusters' numbers."""

    def __init__(self, posterior: Prediction) -> None:
        self.posterior = posterior

    def sample_batched(self, shape, x, show_progress_bars=False):
        torch = pytest.importorskip("torch")
        drawn = self.posterior.sample(shape[0], np.random.default_rng(9))
        return torch.as_tensor(drawn.T[:, x[:, 0].long().numpy(), None])


@pytest.mark.parametrize(("factor", "believed"), [(1.0, True), (0.6, False), (1.7, False)])
def test_sbi_finds_the_same(
    perfect: Prediction, truth: np.ndarray, factor: float, believed: bool
) -> None:
    diagnostics = pytest.importorskip("sbi.diagnostics")
    import torch

    posterior = perfect.scale_width(factor)
    theta, x = torch.as_tensor(truth)[:, None], torch.arange(N)[:, None].double()
    reference = np.random.default_rng(10).uniform(truth.min(), truth.max(), N)
    how = {"num_posterior_samples": 1000, "show_progress_bar": False}

    ecp, alpha = diagnostics.run_tarp(
        theta, x, Sampled(posterior), torch.as_tensor(reference)[:, None], num_bins=20, **how
    )
    credibility = region_credibility(posterior, truth, reference)
    ours = expected_coverage(credibility, alpha.double().numpy())
    assert np.abs(ecp.numpy() - ours)[1:].max() < 0.015  # 1000 samples, N clusters
    area, _ = diagnostics.check_tarp(ecp, alpha)
    assert (abs(area) < 0.01) == believed
    assert (kstest(credibility, "uniform").pvalue > 0.01) == believed

    ranks, _ = diagnostics.run_sbc(theta, x, Sampled(posterior), **how)
    again = sbc_ranks(posterior, truth, 1000, np.random.default_rng(9))
    np.testing.assert_array_equal(ranks[:, 0].numpy(), again)
    pit = posterior.cdf(truth)
    assert np.abs(ranks[:, 0].numpy() / 1000 - pit).max() < 5 * 0.5 / np.sqrt(1000)
    from sbi.diagnostics.sbc import check_uniformity_frequentist

    theirs = float(check_uniformity_frequentist(ranks, 1000)[0])
    assert (theirs > 0.01) == (uniformity(pit)[0] > 0.01) == believed


def test_reference_points_are_between_the_truths(perfect: Prediction, truth: np.ndarray) -> None:
    found = tarp_credibility(perfect, truth, np.random.default_rng(11))
    assert found.shape == (N,) and (found >= 0).all() and (found <= 1).all()
