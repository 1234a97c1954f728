"""Folds for cross-validation: octants of the simulation box, so that no halo is on both sides."""

from __future__ import annotations

import numpy as np
import xarray as xr

from icmass.errors import InputError
from icmass.survey.catalog import survey_config

OCTANTS = 8
BOX_MPC_H = 352.0
"""Side of Magneticum's Box2 [comoving Mpc/h], where a survey's configuration does not name one."""


def octants(position: np.ndarray, box: float) -> np.ndarray:
    """Return the octant 0..7 of each position: x is the highest bit, z the lowest.

    Parameters
    ----------
    position : ndarray, shape (n, 3)
        Positions in the periodic box [comoving Mpc/h].
    box : float
        Side of the box [comoving Mpc/h].
    """
    upper = np.floor(np.mod(position, box) / (box / 2)).astype(int).clip(0, 1)
    return upper @ np.array([4, 2, 1])


def octant_folds(survey: xr.Dataset, n_folds: int = OCTANTS) -> np.ndarray:
    """Return the fold 0..n_folds-1 of every cluster.

    The octants (2 x 2 x 2) of the box are grouped: eight folds are the octants (as in Ho et al.
    2023), four are columns along z, two are halves along x. A halo has one fold at all
    snapshots: its position at the lowest redshift decides.

    Parameters
    ----------
    survey : Dataset
        With ``position``, and ``halo_id`` where halos appear more than once.
    n_folds : {2, 4, 8}
        Number of folds.

    Returns
    -------
    ndarray of int, shape (cluster,)
    """
    if n_folds < 2 or OCTANTS % n_folds:
        raise InputError(
            f"{n_folds} folds cannot be made of the box's {OCTANTS} octants",
            field="folds",
            hint="use 2, 4 or 8",
        )
    if "position" not in survey:
        raise InputError(
            "is missing, and folds are octants of the simulation box",
            field="variable position",
            hint="use a survey made by `icmass simulate`",
        )
    position = survey["position"].values
    if not np.isfinite(position).all():
        raise InputError("holds values that are not finite", field="variable position")
    fold = octants(position, box_side(survey)) * n_folds // OCTANTS
    if "halo_id" in survey:
        fold = _as_latest_self(fold, survey["halo_id"].values, survey["redshift"].values)
    missing = sorted(set(range(n_folds)) - set(fold.tolist()))
    if missing:
        raise InputError(
            f"fold {missing[0]} of {n_folds} holds none of the {len(fold)} clusters",
            field="folds",
            hint="use fewer folds or more clusters",
        )
    return fold


def box_side(survey: xr.Dataset) -> float:
    """Return the side of the survey's simulation box [comoving Mpc/h]."""
    config = survey_config(survey)
    return float(config.get("halos", config).get("box_mpc_h", BOX_MPC_H))


def split(fold: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices to train on and to test on for fold `k`."""
    return np.flatnonzero(fold != k), np.flatnonzero(fold == k)


def _as_latest_self(fold: np.ndarray, halo_id: np.ndarray, redshift: np.ndarray) -> np.ndarray:
    """Give every appearance of a halo the fold of its appearance at the lowest redshift."""
    order = np.lexsort((redshift, halo_id))
    _, first, inverse = np.unique(halo_id[order], return_index=True, return_inverse=True)
    by_halo = np.empty_like(fold)
    by_halo[order] = fold[order][first][inverse]
    return by_halo
