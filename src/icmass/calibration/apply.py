"""Masses on the lensing's scale: likelihoods of network masses moved, widened, and mixed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from icmass.errors import InputError
from icmass.estimators.posterior import LNM_GRID, LNM_STEP, Prediction, normalised


@dataclass(frozen=True)
class MassScale:
    """Draws of a scale: how a network's ln M depends on the true one.

    Attributes
    ----------
    amplitude, slope, evolution, scatter : ndarray, shape (draw,)
        A (the lensing bias included), B, C and sigma.
    pivot_ln_mass, pivot_redshift : float
        ln M_p [Msun/h] and z_p.
    """

    amplitude: np.ndarray
    slope: np.ndarray
    evolution: np.ndarray
    scatter: np.ndarray
    pivot_ln_mass: float
    pivot_redshift: float

    def network_mass(self, ln_mass: np.ndarray, redshift: float) -> np.ndarray:
        """Return the network's mean ln M of true ln M, shape (draw, len(ln_mass))."""
        zeta = np.log1p(redshift) - np.log1p(self.pivot_redshift)
        shift = self.amplitude + self.evolution * zeta
        result: np.ndarray = (
            ln_mass + shift[:, None] + np.outer(self.slope, ln_mass - self.pivot_ln_mass)
        )
        return result


@dataclass(frozen=True)
class CalibratedPrediction:
    """Calibrated posteriors.

    Attributes
    ----------
    prediction : Prediction
        Marginal over the scale.
    std_scale : ndarray, shape (n,)
        Standard deviation of their means between draws of the scale: its part of the error.
    """

    prediction: Prediction
    std_scale: np.ndarray


def calibrate_prediction(
    likelihood: Prediction,
    redshift: np.ndarray,
    scale: MassScale,
    log_prior: np.ndarray | None = None,
) -> CalibratedPrediction:
    """Return posteriors of the true mass, marginal over a scale.

    Parameters
    ----------
    likelihood : Prediction
        Of the network's mass: posteriors with a flat prior of ln M.
    redshift : ndarray, shape (n,)
    scale : MassScale
    log_prior : ndarray, shape (n, node), optional
        Log of the prior of the true ln M at `LNM_GRID`, of any norm; default: flat.

    Notes
    -----
    For each draw the likelihood, sigma times as wide about its median, is read at the network
    mass of every true mass, multiplied by the prior and given a norm of 1; the mean over the draws
    is what is returned. The prior comes in once, on the true mass.
    """
    density, median = likelihood.tabulated(), likelihood.median
    found = np.empty_like(density)
    spread = np.empty(len(density))
    weight = np.full(len(LNM_GRID), LNM_STEP)
    weight[[0, -1]] /= 2
    for i, row in enumerate(density):
        at = scale.network_mass(LNM_GRID, float(redshift[i]))
        at = median[i] + (at - median[i]) / scale.scatter[:, None]
        of_draws = np.interp(at.ravel(), LNM_GRID, row, left=0.0, right=0.0).reshape(at.shape)
        if log_prior is not None:
            top = log_prior[i].max()
            of_draws = of_draws * np.exp(log_prior[i] - top)
        total = of_draws @ weight
        known = total > 1e-12
        if not known.any():
            what = "the calibrated posterior is outside the masses trained on"
            hint = "predict it without --calibration"
            raise InputError(what, field="mass scale", hint=hint)
        of_draws = of_draws[known] / total[known, None]
        found[i] = of_draws.mean(axis=0)
        spread[i] = (of_draws @ (weight * LNM_GRID)).std()
    prediction = Prediction.from_density(normalised(found), likelihood.out_of_domain)
    return CalibratedPrediction(prediction, spread)
