"""Scores of predicted masses: scatter, bias, coverage and proper scores of the posteriors.

All are in ln M500c; a scatter of 0.178 is 17.8 per cent.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from icmass.benchmarking.bins import central_coverage, coverage_bins, mass_bins, redshift_bins
from icmass.estimators.posterior import Prediction

BOOTSTRAP_DRAWS = 1000


@dataclass(frozen=True)
class Scores:
    """What `score` measures; the names are those of ``results.json``."""

    n: int
    sigma_lnm: float
    sigma_lnm_error: float
    bias_lnm: float
    bias_lnm_error: float
    coverage68: float
    coverage95: float
    crps: float
    log_score: float
    mass_bins: list[dict[str, Any]]
    redshift_bins: list[dict[str, Any]]
    coverage_bins: dict[str, list[dict[str, Any]]]

    def as_dict(self) -> dict[str, Any]:
        """Return the scores as a dict ready for JSON."""
        return asdict(self)


def score(
    ln_m_true: np.ndarray,
    prediction: Prediction,
    *,
    halo_id: np.ndarray,
    redshift: np.ndarray,
    rng: np.random.Generator,
) -> Scores:
    """Score posteriors of ln M500c.

    Parameters
    ----------
    ln_m_true : ndarray, shape (n,)
        True ln M500c [Msun/h].
    prediction : Prediction
        Posteriors of the n clusters. Scatter and bias are those of their means; coverage is that
        of their central intervals; `crps` is the mean of `Prediction.crps` and `log_score` of
        `Prediction.log_prob` at the truth.
    halo_id : ndarray of int, shape (n,)
        Halos are what the bootstrap draws, with all of their appearances.
    redshift : ndarray, shape (n,)
        For the bins.
    rng : Generator
        Draws the bootstrap.
    """
    residual = prediction.mean - ln_m_true
    sigma_error, bias_error = bootstrap_errors(residual, halo_id, rng)
    pit = prediction.cdf(ln_m_true)
    return Scores(
        n=len(residual),
        sigma_lnm=float(np.std(residual)),
        sigma_lnm_error=sigma_error,
        bias_lnm=float(np.mean(residual)),
        bias_lnm_error=bias_error,
        coverage68=central_coverage(pit, 0.68),
        coverage95=central_coverage(pit, 0.95),
        crps=float(np.mean(prediction.crps(ln_m_true))),
        log_score=float(np.mean(prediction.log_prob(ln_m_true))),
        mass_bins=mass_bins(ln_m_true, residual),
        redshift_bins=redshift_bins(redshift, residual),
        coverage_bins=coverage_bins(prediction, ln_m_true, redshift),
    )


def bootstrap_errors(
    residual: np.ndarray,
    halo_id: np.ndarray,
    rng: np.random.Generator,
    n_draws: int = BOOTSTRAP_DRAWS,
) -> tuple[float, float]:
    """Return the errors of the standard deviation and of the mean of residuals, halos drawn."""
    (sigma, mean), *_ = _bootstrap([residual], halo_id, rng, n_draws)
    return float(np.std(sigma, ddof=1)), float(np.std(mean, ddof=1))


def rms_error(residual: np.ndarray, halo_id: np.ndarray, rng: np.random.Generator) -> float:
    """Return the bootstrap error of the root mean square of residuals, halos drawn."""
    (sigma, mean), *_ = _bootstrap([residual], halo_id, rng, BOOTSTRAP_DRAWS)
    return float(np.std(np.hypot(sigma, mean), ddof=1))


def scatter_ratio(
    residual: np.ndarray,
    other: np.ndarray,
    halo_id: np.ndarray,
    rng: np.random.Generator,
    n_draws: int = BOOTSTRAP_DRAWS,
) -> tuple[float, float]:
    """Return the scatter of one estimator over that of another on the same clusters.

    Parameters
    ----------
    residual, other : ndarray, shape (n,)
        ln M500c predicted - true of both.
    halo_id : ndarray of int, shape (n,)
        Halos are what the bootstrap draws, the same for both: the part of their scatters that
        the clusters themselves make cancels in the ratio.
    rng : Generator
        Draws the bootstrap.

    Returns
    -------
    ratio, error : float
        sigma / sigma of the other, and its bootstrap error.
    """
    (ours, _), (theirs, _) = _bootstrap([residual, other], halo_id, rng, n_draws)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.std(residual) / np.std(other)), float(np.std(ours / theirs, ddof=1))


def _bootstrap(
    residuals: list[np.ndarray], halo_id: np.ndarray, rng: np.random.Generator, n_draws: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return standard deviations and means, each of shape (n_draws,), of the same drawn halos."""
    _, halo = np.unique(halo_id, return_inverse=True)
    number = np.bincount(halo)
    drawn = rng.integers(len(number), size=(n_draws, len(number)))
    n = number[drawn].sum(1)
    found = []
    for residual in residuals:
        first, second = (np.bincount(halo, residual**power)[drawn].sum(1) for power in (1, 2))
        mean = first / n
        found.append((np.sqrt(np.maximum(second / n - mean**2, 0)), mean))
    return found


def published_network_scatter(ln_m_true: np.ndarray, mean: np.ndarray) -> float:
    """Return the network scatter as Ho et al. (2023) quote it.

    std(log10 M_pred - log10 M_true) ln 10 over all clusters, each predicted by the fold that did
    not see it. By construction it equals `Scores.sigma_lnm`.
    """
    return float(np.std((mean - ln_m_true) / np.log(10)) * np.log(10))
