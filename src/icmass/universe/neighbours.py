"""Halos around a cluster and along its line of sight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Neighbours:
    """Other halos around a cluster.

    Attributes
    ----------
    x, y, z : ndarray, shape (n,)
        Offset from the cluster [comoving Mpc/h]; z along the line of sight.
    m500c : ndarray, shape (n,)
        [Msun/h]
    v_los : ndarray, shape (n,)
        Peculiar velocity along the line of sight relative to the cluster [km/s], without the Hubble
        flow.
    """

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    m500c: np.ndarray
    v_los: np.ndarray
