"""The distribution of masses that a sample is drawn from, with what is known of its selection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.estimators.posterior import M500C_GRID
from icmass.estimators.prior import mass_function_prior, parse_prior
from icmass.survey.selection_function import SelectionFunction


@dataclass(frozen=True)
class PopulationPrior:
    """A distribution of ln M for each cluster.

    Attributes
    ----------
    log_density : ndarray, shape (n, node)
        At `LNM_GRID`, of any norm; ``-inf`` where there is none.
    free_turn_on : bool
        Whether a turn-on of unknown mass and width is to multiply it.
    about : str
        In words.
    """

    log_density: np.ndarray
    free_turn_on: bool
    about: str


def log_population(
    kind: str,
    survey: xr.Dataset,
    rows: np.ndarray,
    cosmology: Cosmology,
    *,
    training: np.ndarray | None = None,
    selection: SelectionFunction | None = None,
) -> PopulationPrior:
    """Return what the masses of clusters of a survey are drawn from.

    Parameters
    ----------
    kind : str
        ``"mass-function"``, with changes of the cosmology as in ``mass-function:om0=0.3``: Tinker
        et al. 2008, ApJ 688, 709; or ``"training"``.
    survey : Dataset
    rows : ndarray of int, shape (n,)
    cosmology : Cosmology
        The survey's.
    training : ndarray, shape (n, node), optional
        Log of the training prior.
    selection : SelectionFunction, optional
        The probability that a halo is in the sample.
    """
    prior = parse_prior(kind)
    redshift = survey["redshift"].isel(cluster=rows).values
    if prior.kind == "flat":
        hint = "choose mass-function or training"
        raise InputError("is no distribution of clusters", field="--population", hint=hint)
    if prior.kind == "training":
        if training is None:
            hint = "leave --population out"
            raise InputError("the model keeps no training prior", field="--population", hint=hint)
        if selection is not None:
            hint = "leave one of them out"
            raise InputError("has its own selection", field="--population training", hint=hint)
        return PopulationPrior(training, False, prior.describe(cosmology))
    log = mass_function_prior(redshift, prior.cosmology(cosmology))
    about = prior.describe(cosmology).replace(" over the masses trained on", "")
    if selection is None:
        return PopulationPrior(
            log, True, f"{about}, times a turn-on (probit in ln M) of unknown mass and width"
        )
    log = log + _log_probability(selection, survey, rows)
    return PopulationPrior(log, False, f"{about}, times the selection given")


def _log_probability(
    selection: SelectionFunction, survey: xr.Dataset, rows: np.ndarray
) -> np.ndarray:
    """Return ln p(detected) of each cluster at the masses of `LNM_GRID`, shape (n, node)."""
    redshift, exposure, nh = (
        survey[name].isel(cluster=rows).values for name in ("redshift", "exposure", "nh")
    )
    found = detection_by_mass(selection, redshift, exposure, nh, "--selection")
    if not (found.max(axis=1) > 0).all():
        raise InputError("detects nothing at some clusters' redshifts", field="--selection")
    with np.errstate(divide="ignore"):
        result: np.ndarray = np.log(found)
        return result


def detection_by_mass(
    selection: SelectionFunction,
    redshift: np.ndarray,
    exposure: np.ndarray,
    nh: np.ndarray,
    field: str = "selection",
) -> np.ndarray:
    """Return the probability that halos of the masses of `LNM_GRID` are detected, (n, node).

    Below the table's masses nothing is detected; above them what is at the last.

    Parameters
    ----------
    selection : SelectionFunction
    redshift, exposure, nh : ndarray, shape (n,)
        Unvignetted exposure [s], column density [1e20 cm^-2].
    field : str
        What an error says of.
    """
    mass = M500C_GRID
    inside = np.clip(mass, selection.m500c[0], selection.m500c[-1])
    found = selection(inside, redshift[:, None], exposure[:, None], nh[:, None])
    if (lost := np.isnan(found).any(axis=1)).any():
        i = int(np.flatnonzero(lost)[0])
        told = f"redshift {redshift[i]:g}, exposure {exposure[i]:g}, nh {nh[i]:g}"
        what = f"a cluster or place ({told}) is outside of its grid"
        raise InputError(what, field=field, hint="make a table that reaches so far")
    return np.where(mass < selection.m500c[0], 0.0, found)
