"""Counts in apertures of R500c where R500c isn't known: solved together with the mass."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import xarray as xr

from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.estimators.posterior import Prediction
from icmass.proxies.observables import APERTURES, photon_counts
from icmass.survey.catalog import half_width_mpc_h
from icmass.survey.counts import counts

P = TypeVar("P", bound=Prediction)
MAX_STEPS = 60
TOLERANCE = 1e-3
"""Change of ln M500c from one step to the next at which the radius is found."""
_START = np.log(2e14)
_PIXEL = 0.02  # counts in circles of whole pixels leave ln M uncertain by about this


def needs_aperture(inputs: tuple[str, ...], survey: xr.Dataset) -> bool:
    """Return whether an estimator reads counts within R500c that a survey lacks."""
    wanted = {*APERTURES, "r500c"} & set(inputs)
    return bool(wanted) and any(name not in survey for name in wanted)


def solved_with_aperture(
    predict: Callable[[xr.Dataset], P],
    survey: xr.Dataset,
    index: np.ndarray,
    cosmology: Cosmology,
) -> P:
    """Predict masses from counts within an R500c that follows from the same masses.

    Starting at 2e14 Msun/h, R500c of the mass gives the counts, the counts give the mass, and the
    middle of old and new ln M goes on, until the mass stays.

    Parameters
    ----------
    predict : callable
        Predicts all clusters of the survey that it is given.
    survey : Dataset
        Holds maps, redshift and exposure.
    index : ndarray of int, shape (n,)
        The clusters.
    cosmology : Cosmology

    Returns
    -------
    Prediction
        At the radii that were found, in the order of `index`.

    Raises
    ------
    InputError
        If the mass of a cluster goes back and forth by more than the pixels explain.
    """
    index = np.asarray(index)
    kept = [n for n in survey.data_vars if set(survey[n].dims) <= {"cluster"} or n == "coverage"]
    few = survey[kept].isel(cluster=index).load()
    maps = counts(survey, index).sum(1, dtype="u4")
    half_width = half_width_mpc_h(survey)
    redshift = few["redshift"].values
    few["maps"] = survey["maps"].isel(cluster=index)
    ln_m = np.full(len(index), _START)
    change = np.full(len(index), np.inf)
    for _ in range(MAX_STEPS):
        r500c = cosmology.r500c(np.exp(ln_m), redshift)
        few["r500c"] = ("cluster", r500c)
        for name, values in photon_counts(maps, r500c, half_width=half_width).items():
            few[name] = ("cluster", values)
        prediction = predict(few)
        change = prediction.mean - ln_m
        if (np.abs(change) < TOLERANCE).all():
            return prediction
        ln_m = ln_m + change / 2
    lost = np.abs(change) > _PIXEL
    if lost.any():
        raise InputError(
            f"{index[lost][0]}: no radius gives the mass that belongs to it (ln M changes by "
            f"{np.abs(change[lost][0]):.2g})",
            field="cluster",
            hint="use a network, which needs no aperture",
        )
    return prediction
