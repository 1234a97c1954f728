"""The training clusters' masses, and which of them are held out to stop by and to calibrate on."""

from __future__ import annotations

import numpy as np
import xarray as xr

from icmass.errors import InputError

VALIDATION_SHARE = 0.1
"""Fraction of the training clusters held out (Ho et al. 2023)."""
_FEWEST = 10  # training clusters


def training_masses(survey: xr.Dataset, train: np.ndarray) -> np.ndarray:
    """Return ln M500c of the training clusters, once it is sure that there are some."""
    if "m500c" not in survey:
        raise InputError("is missing", field="variable m500c", hint="train on a simulated survey")
    if len(train) < _FEWEST:
        raise InputError(f"{len(train)} clusters", field="train", hint=f"give {_FEWEST} or more")
    lnm = np.log(survey["m500c"].isel(cluster=train).values)
    if not np.isfinite(lnm).all() or np.ptp(lnm) == 0:
        raise InputError("not finite and different", field="variable m500c")
    result: np.ndarray = lnm
    return result


def held_out(
    survey: xr.Dataset, train: np.ndarray, seed: int, share: float = VALIDATION_SHARE
) -> np.ndarray:
    """Choose about a share of the clusters, whole halos, for validation; bool, shape (n,)."""
    halo = np.arange(len(train))
    if "halo_id" in survey:
        _, halo = np.unique(survey["halo_id"].isel(cluster=train).values, return_inverse=True)
    order = np.random.default_rng([seed, 2]).permutation(halo.max() + 1)
    n_before = np.cumsum(np.bincount(halo)[order]) - np.bincount(halo)[order]
    held = np.isin(halo, order[n_before < share * len(train)])
    if held.all():
        raise InputError("one halo only", field="variable halo_id", hint="train on more halos")
    return held


def hold_out(halo_id: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split clusters by halo: return the indices to train on, and those of a share of the halos.

    Examples
    --------
    >>> train, test = hold_out(np.array([7, 7, 8, 9]), 0.3, seed=0)
    >>> len(train) + len(test), set(train) & set(test)
    (4, set())
    """
    halos = np.unique(halo_id)
    n = max(round(share * len(halos)), 1)
    if len(halos) < 2:
        raise InputError("one halo only", field="surveys", hint="train on more halos")
    chosen = np.random.default_rng([seed, 5]).permutation(halos)[:n]
    test = np.isin(halo_id, chosen)
    return np.flatnonzero(~test), np.flatnonzero(test)
