"""Scores of predicted masses: scatter, bias, coverage and the continuous ranked probability score.

All are in ln M500c; a scatter of 0.178 is 17.8 per cent.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

MASS_BIN_EDGES = (13.0, 13.5, 13.75, 14.0, 14.25, 14.5, 14.75, 16.0)
"""Edges of the mass bins, log10 M500c [Msun/h]."""
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
    mass_bins: list[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """Return the scores as a dict ready for JSON."""
        return asdict(self)


def score(
    ln_m_true: np.ndarray,
    mean: np.ndarray,
    std: np.ndarray,
    *,
    halo_id: np.ndarray,
    rng: np.random.Generator,
) -> Scores:
    """Score Gaussian predictions of ln M500c.

    Parameters
    ----------
    ln_m_true, mean, std : ndarray, shape (n,)
        True ln M500c; mean and standard deviation of the predictions.
    halo_id : ndarray of int, shape (n,)
        Halos are what the bootstrap draws, with all of their appearances.
    rng : Generator
        Draws the bootstrap.
    """
    residual = mean - ln_m_true
    sigma_error, bias_error = bootstrap_errors(residual, halo_id, rng)
    return Scores(
        n=len(residual),
        sigma_lnm=float(np.std(residual)),
        sigma_lnm_error=sigma_error,
        bias_lnm=float(np.mean(residual)),
        bias_lnm_error=bias_error,
        coverage68=coverage(residual, std, 0.68),
        coverage95=coverage(residual, std, 0.95),
        crps=float(np.mean(crps_gaussian(residual, std))),
        mass_bins=mass_bins(ln_m_true, residual),
    )


def coverage(residual: np.ndarray, std: np.ndarray, level: float) -> float:
    """Return the fraction of truths inside the central interval that should hold `level`."""
    return float(np.mean(np.abs(residual) <= ndtri((1 + level) / 2) * std))


def crps_gaussian(residual: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Return the continuous ranked probability score of Gaussians, shape (n,).

    std [w (2 Phi(w) - 1) + 2 phi(w) - 1/sqrt(pi)] with w = residual/std (Gneiting et al. 2005,
    Mon. Weather Rev. 133, 1098, eq. 5). Smaller is better; for std -> 0 it is the
    absolute residual.
    """
    w = residual / std
    density = np.exp(-(w**2) / 2) / np.sqrt(2 * np.pi)
    return std * (w * (2 * ndtr(w) - 1) + 2 * density - 1 / np.sqrt(np.pi))


def bootstrap_errors(
    residual: np.ndarray,
    halo_id: np.ndarray,
    rng: np.random.Generator,
    n_draws: int = BOOTSTRAP_DRAWS,
) -> tuple[float, float]:
    """Return the errors of the standard deviation and of the mean of residuals, halos drawn."""
    _, halo = np.unique(halo_id, return_inverse=True)
    per_halo = [np.bincount(halo, weights=residual**power) for power in (0, 1, 2)]
    drawn = rng.integers(len(per_halo[0]), size=(n_draws, len(per_halo[0])))
    n, first, second = (np.sum(total[drawn], axis=1) for total in per_halo)
    mean = first / n
    variance = np.maximum(second / n - mean**2, 0)
    return float(np.std(np.sqrt(variance), ddof=1)), float(np.std(mean, ddof=1))


def mass_bins(
    ln_m_true: np.ndarray, residual: np.ndarray, edges: tuple[float, ...] = MASS_BIN_EDGES
) -> list[dict[str, Any]]:
    """Return bias and scatter in bins of true log10 M500c; bins without a cluster are left out."""
    log10_m = ln_m_true / np.log(10)
    found: list[dict[str, Any]] = []
    for low, high in pairwise(edges):
        inside = residual[(log10_m >= low) & (log10_m < high)]
        if len(inside) == 0:
            continue
        found.append(
            {
                "log10_m500c_msun_h": [low, high],
                "n": len(inside),
                "bias_lnm": float(inside.mean()),
                "bias_lnm_error": float(inside.std() / np.sqrt(len(inside))),
                "sigma_lnm": float(inside.std()),
            }
        )
    return found


def published_network_scatter(ln_m_true: np.ndarray, mean: np.ndarray) -> float:
    """Return the network scatter as Ho et al. (2023) quote it.

    std(log10 M_pred - log10 M_true) ln 10 over all clusters, each predicted by the fold that did
    not see it. By construction it equals `Scores.sigma_lnm`.
    """
    return float(np.std((mean - ln_m_true) / np.log(10)) * np.log(10))
