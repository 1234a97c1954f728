"""Scores in bins of mass and redshift, as rows of ``results.json``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from icmass.estimators.posterior import Prediction

MASS_BIN_EDGES = (13.0, 13.5, 13.75, 14.0, 14.25, 14.5, 14.75, 16.0)
"""Edges of the bins of true mass, log10 M500c [Msun/h]."""
PREDICTED_MASS_BIN_EDGES = (13.4, 13.7, 14.0, 14.3, 14.6, 14.9, 15.2, 15.5, 15.8)
"""Edges of the bins of predicted mass, log10 M500c [Msun/h]."""
REDSHIFT_BIN_EDGES = (0.0, 0.12, 0.2, 0.3, 0.4, 0.8)

Row = dict[str, Any]


def mass_bins(
    ln_m_true: np.ndarray, residual: np.ndarray, edges: Sequence[float] = MASS_BIN_EDGES
) -> list[Row]:
    """Return bias and scatter in bins of true log10 M500c; bins without a cluster are left out."""
    return _bias("log10_m500c_msun_h", ln_m_true / np.log(10), residual, edges)


def redshift_bins(
    redshift: np.ndarray, residual: np.ndarray, edges: Sequence[float] = REDSHIFT_BIN_EDGES
) -> list[Row]:
    """Return bias and scatter in bins of redshift; bins without a cluster are left out."""
    return _bias("redshift", redshift, residual, edges)


def coverage_bins(
    prediction: Prediction, ln_m_true: np.ndarray, redshift: np.ndarray
) -> dict[str, list[Row]]:
    """Return how often central intervals hold the truth, in bins of mass and of redshift.

    The bins of mass are bins of the *predicted* mass (the posterior's mean). A perfect posterior
    holds the truth as often as it says among all clusters with the same data, so also among
    those with the same mean, which is a function of the data. It does not among clusters of the
    same true mass: where clusters are rare the prior draws the mean towards the common masses,
    rightly, and the intervals of the rarest clusters miss on one side.

    Parameters
    ----------
    prediction : Prediction
        Posteriors of n clusters.
    ln_m_true, redshift : ndarray, shape (n,)
        True ln M500c [Msun/h] and redshift.

    Returns
    -------
    dict
        Rows ``predicted_mass`` and ``redshift``; errors are those of a calibrated posterior,
        sqrt(p (1 - p) / n), with clusters taken as independent. Empty bins are left out.
    """
    pit = prediction.cdf(ln_m_true)
    log10_m = prediction.mean / np.log(10)
    return {
        "predicted_mass": _coverage("log10_m500c_msun_h", log10_m, pit, PREDICTED_MASS_BIN_EDGES),
        "redshift": _coverage("redshift", redshift, pit, REDSHIFT_BIN_EDGES),
    }


def central_coverage(pit: np.ndarray, level: float) -> float:
    """Return the fraction of truths inside the central interval that should hold `level`.

    Parameters
    ----------
    pit : ndarray, shape (n,)
        The posterior probability of less than the true mass, `Prediction.cdf` at the truth.
    level : float
        Between 0 and 1.
    """
    return float(np.mean(np.abs(pit - 0.5) <= level / 2))


def _inside(
    value: np.ndarray, edges: Sequence[float]
) -> Iterator[tuple[list[float], np.ndarray, int]]:
    """Yield the edges of each bin that is not empty, which are inside, and how many."""
    for low, high in pairwise(edges):
        inside = (value >= low) & (value < high)
        if inside.any():
            yield [low, high], inside, int(inside.sum())


def _bias(key: str, value: np.ndarray, residual: np.ndarray, edges: Sequence[float]) -> list[Row]:
    return [
        {
            key: ends,
            "n": n,
            "bias_lnm": float(residual[inside].mean()),
            "bias_lnm_error": float(residual[inside].std() / np.sqrt(n)),
            "sigma_lnm": float(residual[inside].std()),
        }
        for ends, inside, n in _inside(value, edges)
    ]


def _coverage(key: str, value: np.ndarray, pit: np.ndarray, edges: Sequence[float]) -> list[Row]:
    rows = []
    for ends, inside, n in _inside(value, edges):
        row: Row = {key: ends, "n": n}
        for level in (0.68, 0.95):
            name = f"coverage{100 * level:.0f}"
            row[name] = central_coverage(pit[inside], level)
            row[f"{name}_error"] = float(np.sqrt(level * (1 - level) / n))
        rows.append(row)
    return rows
