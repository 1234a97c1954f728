"""Can posteriors be believed? PIT, simulation-based calibration and expected coverage.

The tests take clusters as independent; where halos appear several times p-values are too small.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import chisquare, kstest

from icmass.benchmarking.bins import central_coverage
from icmass.estimators.posterior import Prediction

LEVELS = np.arange(1, 20) / 20
"""Levels of the central intervals and of TARP's regions: 0.05 to 0.95."""
PIT_BINS = 20


def calibration(
    prediction: Prediction, ln_m_true: np.ndarray, rng: np.random.Generator
) -> dict[str, Any]:
    """Return how well posteriors of n clusters are calibrated, ready for JSON.

    Parameters
    ----------
    prediction : Prediction
        Posteriors of n clusters.
    ln_m_true : ndarray, shape (n,)
        True ln M500c [Msun/h].
    rng : Generator
        Draws TARP's reference points.

    Returns
    -------
    dict
        ``levels`` and ``coverage``, the fraction of truths in the central intervals;
        ``pit_histogram``, counts in even bins; ``pit_ks_p`` and ``pit_chi2_p``, see
        `uniformity`; ``tarp``, the expected coverage at ``levels``, ``tarp_max_deviation``, its
        greatest distance from the diagonal at any level, and ``tarp_ks_p``, the p-value of that.
    """
    pit = prediction.cdf(ln_m_true)
    ks_p, chi2_p = uniformity(pit)
    credibility = tarp_credibility(prediction, ln_m_true, rng)
    tarp = kstest(credibility, "uniform")
    return {
        "levels": LEVELS.tolist(),
        "coverage": [central_coverage(pit, level) for level in LEVELS],
        "pit_histogram": pit_histogram(pit).tolist(),
        "pit_ks_p": ks_p,
        "pit_chi2_p": chi2_p,
        "tarp": expected_coverage(credibility, LEVELS).tolist(),
        "tarp_max_deviation": float(tarp.statistic),
        "tarp_ks_p": float(tarp.pvalue),
    }


def pit_histogram(pit: np.ndarray) -> np.ndarray:
    """Return the counts of PIT values (`Prediction.cdf` at the truth) in `PIT_BINS` even bins."""
    return np.histogram(pit, PIT_BINS, (0.0, 1.0))[0]


def uniformity(pit: np.ndarray) -> tuple[float, float]:
    """Return p-values of uniform PIT values: Kolmogorov-Smirnov, and chi-square in 20 bins.

    The first sees biases best, the second also what is local; a calibrated posterior gives
    p-values that are themselves uniform (Gneiting, Balabdaoui & Raftery 2007, JRSS B 69, 243).
    """
    return float(kstest(pit, "uniform").pvalue), float(chisquare(pit_histogram(pit)).pvalue)


def sbc_ranks(
    prediction: Prediction, ln_m_true: np.ndarray, n_draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Return how many of `n_draws` samples of each posterior are below the truth, shape (n,).

    Uniform over 0 to n_draws if the posteriors are calibrated (Talts et al. 2018,
    arXiv:1804.06788).
    """
    return (prediction.sample(n_draws, rng) < ln_m_true[:, None]).sum(1)


def tarp_credibility(
    prediction: Prediction, ln_m_true: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return the posterior probability of masses nearer to a random point than the truth is.

    TARP (Lemos et al. 2023, arXiv:2302.03026, algorithm 2), in one dimension, where the region
    is an interval whose probability the cumulative posterior gives without samples. It sees
    wrong widths and shapes; not a small shift, which points on both sides of the truth average
    out (the PIT sees it), nor that a posterior is no sharper than the prior.

    Parameters
    ----------
    prediction : Prediction
        Posteriors of n clusters.
    ln_m_true : ndarray, shape (n,)
        True ln M500c [Msun/h].
    rng : Generator
        Draws the reference points, evenly between the least and the greatest true ln M500c.

    Returns
    -------
    ndarray, shape (n,)
        Uniform if the posteriors are calibrated.
    """
    reference = rng.uniform(ln_m_true.min(), ln_m_true.max(), len(ln_m_true))
    return region_credibility(prediction, ln_m_true, reference)


def region_credibility(
    prediction: Prediction, ln_m_true: np.ndarray, reference: np.ndarray
) -> np.ndarray:
    """Return the probability of masses nearer to `reference` than the truth is, shape (n,)."""
    mirrored = 2 * reference - ln_m_true
    return np.abs(prediction.cdf(ln_m_true) - prediction.cdf(mirrored))


def expected_coverage(credibility: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return the fraction of credibilities up to each level, shape of `levels`.

    On the diagonal if the posteriors are calibrated (Lemos et al. 2023, eq. 4).
    """
    return np.mean(credibility[:, None] <= levels, axis=0)
