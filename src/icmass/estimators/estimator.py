"""The one protocol that proxies and networks share."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import numpy as np
import xarray as xr

from icmass.errors import InputError
from icmass.estimators.info import EstimatorInfo, Kind
from icmass.estimators.posterior import Prediction
from icmass.proxies.names import read_scalar
from icmass.survey.folds import split

__all__ = ["Estimator", "EstimatorInfo", "Kind", "Prediction", "check_redshifts"]

REDSHIFT_TOLERANCE = 0.015
"""How far outside the training range a redshift may lie; half the least step of the snapshots."""


def check_redshifts(
    redshifts: np.ndarray, trained: tuple[float, float], name: str | None = None
) -> None:
    """Refuse redshifts that an estimator was not trained for.

    Parameters
    ----------
    redshifts : ndarray, shape (n,)
    trained : (float, float)
        Least and largest redshift of the training clusters.
    name : str, optional
        The estimator, to be named.

    Raises
    ------
    InputError
        If one is outside `trained` by more than `REDSHIFT_TOLERANCE`.
    """
    low, high = trained
    z = np.atleast_1d(redshifts)
    bad = ~is_trained_redshift(z, trained)
    if bad.any():
        of = f" of {name}" if name else ""
        raise InputError(
            f"{z[bad][0]:g} is outside the training range {low:.3f}-{high:.3f}{of}",
            field="redshift",
            hint="use a model trained at this redshift",
        )


def is_trained_redshift(redshifts: np.ndarray, trained: tuple[float, float]) -> np.ndarray:
    """Return which redshifts an estimator was trained for, give or take `REDSHIFT_TOLERANCE`."""
    low, high = trained
    near: np.ndarray = (redshifts >= low - REDSHIFT_TOLERANCE) & (
        redshifts <= high + REDSHIFT_TOLERANCE
    )
    return near


def at_trained_redshifts(redshift: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return those of the clusters `test` that an estimator fitted on `train` predicts.

    Parameters
    ----------
    redshift : ndarray, shape (cluster,)
    train, test : ndarray of int
    """
    trained = float(redshift[train].min()), float(redshift[train].max())
    kept: np.ndarray = test[is_trained_redshift(redshift[test], trained)]
    return kept


def split_predicted(
    fold: np.ndarray, k: int, redshift: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the clusters to train on for fold `k`, and those of it that are then predicted.

    Clusters at redshifts beyond those of the other folds are left out, of every estimator alike.

    Parameters
    ----------
    fold : ndarray of int, shape (cluster,)
        See `icmass.survey.folds.octant_folds`.
    k : int
    redshift : ndarray, shape (cluster,)

    Raises
    ------
    InputError
        If none is left.
    """
    train, test = split(fold, k)
    test = at_trained_redshifts(redshift, train, test)
    if not len(test):
        what = f"fold {k} has no clusters at the redshifts of the others"
        raise InputError(what, field="redshift", hint="use fewer folds or more clusters")
    return train, test


def check_inputs(
    survey: xr.Dataset,
    info: EstimatorInfo,
    index: np.ndarray | None = None,
    *,
    file: str | Path | None = None,
) -> None:
    """Refuse clusters of a mass, redshift, exposure or N_H that cannot be fitted or scored on."""
    read = [name for name in ("exposure", "nh") if info.reads_maps and name in info.inputs]
    for name in ("m500c", "redshift", *read):
        read_scalar(survey, name, index, file=file)


@runtime_checkable
class Estimator(Protocol):
    """A mass estimator: fitted on some clusters of a survey, it predicts others.

    Attributes
    ----------
    name : str
        Name of the estimator, e.g. ``"T+M_gas"`` or ``"icm-3band"``.
    info : EstimatorInfo
        What it is, what it reads and what it was trained on: all that benchmark, inference,
        explanation and report know of it.
    """

    name: str

    @property
    def info(self) -> EstimatorInfo:
        """What the estimator says of itself."""
        ...

    def fit(self, survey: xr.Dataset, train: np.ndarray) -> None:
        """Fit on the clusters `train` (integer indices into ``survey.cluster``) alone."""
        ...

    def predict(self, survey: xr.Dataset, index: np.ndarray) -> Prediction:
        """Predict the clusters `index` (integer indices into ``survey.cluster``)."""
        ...

    def save(self, directory: Path) -> None:
        """Write the fitted estimator: ``model.safetensors``, ``config.json``, ``README.md``."""
        ...

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read an estimator that `save` wrote."""
        ...
