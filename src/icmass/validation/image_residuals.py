"""Residuals of proxies at fixed mass and redshift, and their rank correlations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.stats import rankdata

BODY = (-0.8, 0.7)
"""Residuals of ln L_X of the clusters that are not outliers of Magneticum's catalogue."""


def _design(m500c: np.ndarray, redshift: np.ndarray) -> np.ndarray:
    mass = np.log(m500c / 1e14)
    return np.stack([np.ones_like(mass), mass, mass**2, np.log1p(redshift)], axis=1)


def _residual(values: np.ndarray, design: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    coefficients = np.linalg.lstsq(design[fitted], values[fitted], rcond=None)[0]
    return np.asarray(values - design @ coefficients)


def body_residuals(
    proxies: Mapping[str, np.ndarray], m500c: np.ndarray, redshift: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return residuals of ln proxy, and which clusters belong to the body of ln L_X.

    Parameters
    ----------
    proxies : mapping of str to ndarray, shape (n,)
        With ``L_X``; in any unit.
    m500c, redshift : ndarray, shape (n,)

    Returns
    -------
    residuals : dict of str to ndarray, shape (n,)
        About a parabola in ln M500c plus a line in ln(1 + z), fitted to the body.
    body : ndarray of bool, shape (n,)
        Residual of ln L_X within `BODY`, found by iteration.
    """
    design = _design(m500c, redshift)
    body = np.ones(len(design), bool)
    ln_l = np.log(proxies["L_X"])
    for _ in range(20):
        residual = _residual(ln_l, design, body)
        inside = (residual > BODY[0]) & (residual < BODY[1])
        if (inside == body).all():
            break
        body = inside
    return {name: _residual(np.log(v), design, body) for name, v in proxies.items()}, body


def rank_correlation(
    statistic: np.ndarray,
    residual: np.ndarray,
    body: np.ndarray,
    m500c: np.ndarray,
    redshift: np.ndarray,
) -> float:
    """Return the partial rank correlation of a statistic with a residual, given mass and redshift.

    Parameters
    ----------
    statistic, residual : ndarray, shape (n,)
        Clusters with a statistic that is not finite are left out.
    body : ndarray of bool, shape (n,)
        Clusters to take.
    m500c, redshift : ndarray, shape (n,)

    Notes
    -----
    Pearson's correlation of the ranks of both, each less its parabola in ln M500c and line in
    ln(1 + z): Spearman's where the statistic depends on neither.
    """
    use = body & np.isfinite(statistic)
    design = _design(m500c[use], redshift[use])
    every = np.ones(len(design), bool)
    first, second = (_residual(rankdata(v[use]), design, every) for v in (statistic, residual))
    return float(first @ second / np.sqrt((first @ first) * (second @ second)))
