"""Posterior predictive checks of a scale: does the model make data like those that were given?"""

from __future__ import annotations

from typing import Any

import numpy as np

from icmass.calibration.model import GRID, CalibrationData, CalibrationModel

_QUANTILES = (2.5, 16.0, 50.0, 84.0, 97.5)
_DOUBTFUL = 0.005
_WORDS = {
    "chi2": "the scatter of x about the relation",
    "slope": "the trend of the residuals with mass",
    "evolution": "the trend of the residuals with redshift",
    "mean_lensing_mass": "the mean lensing mass",
    "spread_lensing_mass": "the spread of the lensing masses",
}


def residuals(model: CalibrationModel, theta: np.ndarray, data: CalibrationData) -> np.ndarray:
    """Return x minus what w predicts, over its standard deviation, shape (n,).

    Its variance is that of x and w at fixed mass, sigma^2 s^2 + (1 + B)^2 (e^2 + sigma_wl^2).
    """
    pivot = model.data.pivot[0]
    bias = model.priors.lensing_bias[0] + model.priors.lensing_bias_evolution[0] * model.zeta
    w = data.w - bias
    expected = w + theta[0] + theta[1] * (w - pivot) + theta[2] * model.zeta
    of_w = (1 + theta[1]) ** 2 * (data.w_error**2 + theta[4] ** 2)
    result: np.ndarray = (data.x - expected) / np.sqrt(
        (np.exp(theta[3]) * data.x_error) ** 2 + of_w
    )
    return result


def replicate(
    model: CalibrationModel, theta: np.ndarray, rng: np.random.Generator
) -> CalibrationData:
    """Draw masses, and of them x and w, for the same clusters by a model's parameters."""
    d, pivot = model.data, model.data.pivot[0]
    cumulative = np.cumsum(model.selected(theta), axis=1)
    wanted = rng.random((len(d), 1)) * cumulative[:, -1:]
    node = np.minimum((cumulative < wanted).sum(1), len(GRID) - 1)
    ln_m = GRID[node] + (rng.random(len(d)) - 0.5) * (GRID[1] - GRID[0])
    normal = rng.normal(size=(2, len(d)))
    x = ln_m + theta[0] + theta[1] * (ln_m - pivot) + theta[2] * model.zeta
    x += np.exp(theta[3]) * d.x_error * normal[0]
    bias = model.priors.lensing_bias[0] + model.priors.lensing_bias_evolution[0] * model.zeta
    w = ln_m + bias + np.hypot(d.w_error, theta[4]) * normal[1]
    return CalibrationData(x, d.x_error, w, d.w_error, d.redshift)


def posterior_checks(
    model: CalibrationModel, draws: np.ndarray, *, seed: int, n: int = 400
) -> dict[str, Any]:
    """Compare the data with those that draws from the posterior would give.

    Parameters
    ----------
    model : CalibrationModel
    draws : ndarray, shape (n_draws, parameter)
    seed : int
    n : int
        Replications.

    Returns
    -------
    dict
        ``residual_quantiles``: by percentile, of the normalised residuals (`residuals`),
        ``observed`` (mean over the draws) and ``predicted``; ``p_values``: the share of the
        replications with a larger value than the data (Gelman, Meng & Stern 1996, Stat. Sinica 6,
        733), near 0 or 1 where the model does not fit; ``doubtful``: in words, which do not.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
    picked = draws[rng.integers(len(draws), size=n)]
    quantiles = np.empty((2, n, len(_QUANTILES)))
    larger: dict[str, list[bool]] = {name: [] for name in _WORDS}
    for k, theta in enumerate(picked):
        new = replicate(model, theta, rng)
        of_data = _statistics(model, theta, model.data)
        of_new = _statistics(model, theta, new)
        for name, values in larger.items():
            values.append(of_new[name] > of_data[name])
        for row, data in enumerate((model.data, new)):
            quantiles[row, k] = np.percentile(residuals(model, theta, data), _QUANTILES)
    observed, predicted = quantiles.mean(axis=1)
    p_values = {name: float(np.mean(values)) for name, values in larger.items()}
    return {
        "replications": n,
        "residual_quantiles": {
            f"{q:g}": {"observed": float(o), "predicted": float(p)}
            for q, o, p in zip(_QUANTILES, observed, predicted, strict=True)
        },
        "p_values": p_values,
        "doubtful": [words for name, words in _WORDS.items() if not _is_usual(p_values[name])],
    }


def _is_usual(p: float) -> bool:
    return _DOUBTFUL <= p <= 1 - _DOUBTFUL


def _statistics(
    model: CalibrationModel, theta: np.ndarray, data: CalibrationData
) -> dict[str, float]:
    normalised = residuals(model, theta, data)
    return {
        "chi2": float((normalised**2).sum()),
        "slope": float(normalised @ (data.w - data.w.mean())),
        "evolution": float(normalised @ (model.zeta - model.zeta.mean())),
        "mean_lensing_mass": float(data.w.mean()),
        "spread_lensing_mass": float(data.w.std()),
    }
