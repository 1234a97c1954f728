"""The score of one estimator, trained on one survey and tested on another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from icmass.benchmarking.scores import bootstrap_errors, rms_error, score
from icmass.estimators.estimator import Prediction
from icmass.proxies.names import read_halos, read_scalar


@dataclass(frozen=True)
class TransferRow:
    """Scores of one model on one survey, all of ln M500c predicted - true.

    Attributes
    ----------
    model, train, test : str
        Name of the estimator; survey that it was fitted on, ``"saved"`` if it came so; survey that
        it is scored on.
    n, n_refused : int
        Clusters scored, and those that the model refuses: at redshifts that it was not trained
        for, or of an exposure or N_H that cannot be.
    held_out : bool
        Whether the surveys have halos in common, of which those held out are scored.
    rms_lnm, bias_lnm, sigma_lnm : float
        Root mean square, mean and standard deviation; each with a bootstrap error, halos drawn.
    coverage68, coverage95 : float
        Fraction of true masses within the central intervals.
    crps : float
        Continuous ranked probability score.
    flagged : float or None
        Fraction that the model itself calls out of its training's range; None: it has no detector.
    """

    model: str
    train: str
    test: str
    n: int
    n_refused: int
    held_out: bool
    rms_lnm: float
    rms_lnm_error: float
    bias_lnm: float
    bias_lnm_error: float
    sigma_lnm: float
    sigma_lnm_error: float
    coverage68: float
    coverage68_error: float
    coverage95: float
    crps: float
    flagged: float | None


def transfer_row(
    prediction: Prediction,
    survey: xr.Dataset,
    index: np.ndarray,
    *,
    names: tuple[str, str, str],
    n_refused: int,
    held_out: bool,
    seed: int,
) -> TransferRow:
    """Score the prediction of the clusters `index` of a survey.

    Parameters
    ----------
    prediction : Prediction
        Posteriors of ln M500c, one a cluster of `index`.
    survey : Dataset
    index : ndarray of int, shape (n,)
    names : (str, str, str)
        Model, survey that it was fitted on, survey that it is scored on.
    n_refused : int
        Clusters that the model refuses.
    held_out : bool
        Whether the clusters are those held out of the fit.
    seed : int
        Seed of the bootstrap.
    """
    ln_m = np.log(read_scalar(survey, "m500c", index))
    halo = read_halos(survey)[index]
    redshift = read_scalar(survey, "redshift", index)
    rng = np.random.default_rng([seed, 7])
    scores = score(ln_m, prediction, halo_id=halo, redshift=redshift, rng=rng)
    residual = prediction.mean - ln_m
    inside = np.abs(prediction.cdf(ln_m) - 0.5) < 0.34
    far = prediction.out_of_domain
    return TransferRow(
        *names,
        n=scores.n,
        n_refused=n_refused,
        held_out=held_out,
        rms_lnm=float(np.sqrt(np.mean(residual**2))),
        rms_lnm_error=rms_error(residual, halo, rng),
        bias_lnm=scores.bias_lnm,
        bias_lnm_error=scores.bias_lnm_error,
        sigma_lnm=scores.sigma_lnm,
        sigma_lnm_error=scores.sigma_lnm_error,
        coverage68=scores.coverage68,
        coverage68_error=bootstrap_errors(inside.astype(float), halo, rng)[1],
        coverage95=scores.coverage95,
        crps=scores.crps,
        flagged=None if far is None else float(np.mean(far > 1)),
    )
